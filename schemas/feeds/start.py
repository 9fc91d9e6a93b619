"""Where to begin on a topic: at its beginning, or where a reader left off, if that is still a place."""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.feeds.events import Reason, Restarted, Skipped
from schemas.feeds.position import Position
from schemas.feeds.progress import Progress, may_have_missed

__all__ = ["Facts", "Start", "begin_log", "begin_state"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A topic as it was at one moment, under the name that readers know it by."""

    topic: str
    topic_id: str
    # By partition: the first offset that is left, and the one after the last that may be read.
    low: Mapping[int, int]
    high: Mapping[int, int]
    tombstone_life_ms: int
    asked_ms: int


@dataclass(frozen=True, slots=True)
class Start:
    """Where each partition is read from, and what the reader has to be told first."""

    progress: Mapping[int, Progress]
    told: tuple[Restarted | Skipped, ...] = ()


def begin_state(facts: Facts, saved: Position | None) -> Start:
    """Begin on a compacted topic; a place that may have missed something is given up as a whole."""
    if saved is None:
        return Start(_from(facts, facts.low))
    trouble = _trouble(facts, saved)
    if trouble is not None:
        return Start(_from(facts, facts.low), (trouble,))
    return Start(_from_saved(facts, saved))


def begin_log(facts: Facts, saved: Position | None, from_offsets: Mapping[int, int]) -> Start:
    """Begin on a plain log: where the reader left off, or else at `from_offsets`."""
    if saved is None:
        return Start(_from(facts, from_offsets))
    if saved.topic_id != facts.topic_id:
        return Start(_from(facts, facts.low), (_new_topic(facts, saved.topic_id),))
    told = []
    offsets = {}
    for partition, low in facts.low.items():
        at = saved.partitions.get(partition)
        wanted = from_offsets[partition] if at is None else at.next_offset
        offsets[partition] = min(max(wanted, low), facts.high[partition])
        if offsets[partition] > wanted:
            told.append(Skipped(facts.topic, partition, wanted, offsets[partition]))
        elif offsets[partition] < wanted:
            # The log was cut behind the reader: what it held from there on, it holds for nothing.
            detail = f"partition {partition} ends at {offsets[partition]}, the position is {wanted}"
            return Start(_from(facts, facts.low), (Restarted(facts.topic, Reason.POSITION_GONE, detail),))
    return Start(_from(facts, offsets), tuple(told))


def _trouble(facts: Facts, saved: Position) -> Restarted | None:
    if saved.topic_id != facts.topic_id:
        return _new_topic(facts, saved.topic_id)
    for partition, low in facts.low.items():
        at, high = saved.partitions.get(partition), facts.high[partition]
        if at is None:
            return Restarted(facts.topic, Reason.POSITION_GONE, f"the position says nothing of partition {partition}")
        if not low <= at.next_offset <= high:
            detail = f"partition {partition} holds offsets {low} to {high}, the position is {at.next_offset}"
            return Restarted(facts.topic, Reason.POSITION_GONE, detail)
        left = Progress(at.next_offset, high, at.as_of_ms)
        if may_have_missed(left, end_offset=high, now_ms=facts.asked_ms, tombstone_life_ms=facts.tombstone_life_ms):
            return away_too_long(facts.topic, facts.asked_ms - at.as_of_ms, facts.tombstone_life_ms)
    return None


def away_too_long(topic: str, away_ms: int, tombstone_life_ms: int) -> Restarted:
    hour_ms = 3_600_000
    detail = (
        f"{away_ms / hour_ms:.1f} h without reading; the topic remembers for "
        f"{tombstone_life_ms / hour_ms:.1f} h what was forgotten"
    )
    return Restarted(topic, Reason.AWAY_TOO_LONG, detail)


def _new_topic(facts: Facts, old_id: str) -> Restarted:
    return Restarted(
        facts.topic, Reason.NEW_TOPIC, f"the topic was made anew: its id was {old_id}, is {facts.topic_id}"
    )


def _from(facts: Facts, offsets: Mapping[int, int]) -> dict[int, Progress]:
    return {partition: Progress(offsets[partition], facts.high[partition], facts.asked_ms) for partition in facts.low}


def _from_saved(facts: Facts, saved: Position) -> dict[int, Progress]:
    started = {}
    for partition, high in facts.high.items():
        at = saved.partitions[partition]
        # Nothing was written since, so the place is as good as a new one.
        as_of_ms = facts.asked_ms if at.next_offset == high else at.as_of_ms
        started[partition] = Progress(at.next_offset, high, as_of_ms)
    return started
