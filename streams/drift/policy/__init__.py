"""Policies: how drift is judged, read from documents and checked."""

from streams.drift.policy.document import PolicyError
from streams.drift.policy.reader import read_policy
from streams.drift.policy.rules import Budget, Floors, Life, Limit, Minimum, Mode, Override, Reporting, Rules

__all__ = [
    "Budget",
    "Floors",
    "Life",
    "Limit",
    "Minimum",
    "Mode",
    "Override",
    "PolicyError",
    "Reporting",
    "Rules",
    "read_policy",
]
