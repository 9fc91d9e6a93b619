"""Policies: how drift is judged, read from documents and checked, and which of them counts."""

from streams.drift.policy.counting import Counting, Piece
from streams.drift.policy.document import PolicyError
from streams.drift.policy.feed import PolicyFeed, Refused
from streams.drift.policy.in_force import InForce, note_applied, own_policy, signed_policy
from streams.drift.policy.reader import read_policy
from streams.drift.policy.refusals import told_of
from streams.drift.policy.rules import (
    Against,
    Budget,
    Floors,
    Life,
    Limit,
    Minimum,
    Mode,
    Objectives,
    Override,
    Reporting,
    Rules,
)
from streams.drift.policy.timeline import Timeline, timelines
from streams.drift.policy.wanted import Wanted

__all__ = [
    "Against",
    "Budget",
    "Counting",
    "Floors",
    "InForce",
    "Life",
    "Limit",
    "Minimum",
    "Mode",
    "Objectives",
    "Override",
    "Piece",
    "PolicyError",
    "PolicyFeed",
    "Refused",
    "Reporting",
    "Rules",
    "Timeline",
    "Wanted",
    "note_applied",
    "own_policy",
    "read_policy",
    "signed_policy",
    "timelines",
    "told_of",
]
