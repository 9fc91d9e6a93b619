"""Drift: how far what devices see has moved from what their models were trained on, and what that amounts to."""
