"""Backtests: what was recorded, judged again by the same rules or by others."""
