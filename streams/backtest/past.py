"""What was done then: which policies counted, what was left out, and what was alerted."""

from schemas.drift_kind import DriftKind
from schemas.policy import PolicyApplied
from streams.backtest.history import History, records_of
from streams.backtest.span import Span
from streams.backtest.stories import Stories, Story
from streams.drift.policy import InForce, Timeline, read_policy
from streams.drift.scores import SCORES

__all__ = ["left_out_then", "published", "timelines_of"]

# What alerts of single devices by the drift and health workers are called; others' are called otherwise.
_KINDS = {*(kind.value for kind in DriftKind), *SCORES, "shift", "limit"}


def timelines_of(history: History, topic: str) -> dict[int, Timeline]:
    """Return which policies counted on the partitions of a topic."""
    found: dict[int, Timeline] = {}
    read: dict[tuple[str, int, str], InForce] = {}
    for _, record in records_of(history, "drift.policy-applied"):
        if record is not None and record.source_topic == topic:
            policy = _in_force(record, read)
            found[record.partition] = found.get(record.partition, Timeline()).then(record.source_offset, policy)
    return found


def left_out_then(history: History, topic: str) -> dict[int, frozenset[int]]:
    """Return the offsets of records that a worker could not use, by partition: dead letters."""
    found: dict[int, set[int]] = {}
    for _, letter in records_of(history, "dead-letters"):
        if letter is not None and letter.source_topic == topic:
            found.setdefault(letter.source_partition, set()).add(letter.source_offset)
    return {partition: frozenset(offsets) for partition, offsets in found.items()}


def published(history: History, span: Span) -> list[Story]:
    """Return the alerts of single devices' drift that fired within a span of broker time, as far as they are kept."""
    stories = Stories()
    stories.take(
        record
        for entry, record in records_of(history, "drift.alerts")
        if record is not None and entry.at_ms in span and record.kind in _KINDS and not record.subject_is_cohort
    )
    return stories.fired()


def _in_force(record: PolicyApplied, read: dict[tuple[str, int, str], InForce]) -> InForce:
    name = (record.policy_id, record.policy_revision, record.document)
    if name not in read:
        read[name] = InForce(
            policy_id=record.policy_id, revision=record.policy_revision, document=record.document,
            rules=read_policy(record.document), envelope=record.envelope,
        )  # fmt: skip
    return read[name]
