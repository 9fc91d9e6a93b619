"""Rollouts: from a plan to a fleet that runs it, or safely does not."""
