"""A partition that a health worker has, and how it is brought to where a run begins."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from schemas.cluster import Cluster
from schemas.drift_alert import DriftAlert
from schemas.drift_checkpoint import DriftCheckpoint
from streams.drift.policy import Counting, Wanted, timelines
from streams.drift.replay import newest_offset, oldest_offset, replayed
from streams.drift.vault import Kept, in_parts, latest
from streams.health.checkpoint import CheckpointError, freeze, thaw
from streams.health.decoding import Decoded
from streams.health.partition import HEALTH, HealthPartition
from streams.kafka import Run

__all__ = ["CHECKPOINTS", "Held", "restored"]

log = logging.getLogger(__name__)

CHECKPOINTS = "health.checkpoints"
# A checkpoint may take this share of the worker's time; larger states are kept less often.
_SHARE = 0.05

Decode = Callable[[str, Run], list[Decoded]]


@dataclass
class Held:
    """State, how far into each topic it has come, and which policy counts."""

    number: int
    partition: HealthPartition
    counting: Counting
    # By topic; a topic that is missing was not read at all.
    offsets: dict[str, int] = field(default_factory=dict)
    slot: int = 0
    kept_s: float = field(default_factory=time.monotonic)
    took_s: float = 0.0

    def is_due(self, every_s: float) -> bool:
        """Say whether it is time for the next checkpoint."""
        return time.monotonic() - self.kept_s >= max(every_s, self.took_s / _SHARE)

    def work(self, topic: str, decoded: list[Decoded]) -> Iterator[DriftAlert]:
        """Take in decoded records of one topic; what cannot be used was set aside before."""
        for one in decoded:
            if one.record is not None:
                yield from self.partition.take(topic, one.record, arrived_ms=one.arrived_ms)

    def fold(self, cluster: Cluster, topic: str, end: int, wanted: Wanted, decode: Decode) -> int:
        """Take in what comes before `end` without a word, for it was told before; returns how many records."""
        folded = 0
        start = self.offsets.get(topic, 0)
        if start >= end:
            return folded
        for run in replayed(cluster, topic, self.number, max(start, oldest_offset(cluster, topic, self.number)), end):
            for part in self.parts_of(topic, run, wanted):
                for _ in self.work(topic, decode(topic, part)):
                    pass
            folded += len(run)
        self.offsets[topic] = end
        return folded

    def parts_of(self, topic: str, run: Run, wanted: Wanted) -> Iterator[Run]:
        """Yield a run in parts, the partition's policy being the one that counts for each."""
        if topic != HEALTH:
            yield run
            return
        for piece in self.counting.pieces(run.start, run.end, wanted):
            if piece.policy != self.partition.policy:
                self.partition.take_up(piece.policy)
            yield run.between(piece.start, piece.end)

    def in_parts(self, *, at_ms: int) -> list[DriftCheckpoint]:
        """Return the records of a checkpoint of the present state."""
        begun_s = time.monotonic()
        self.slot = 1 - self.slot
        health = self.offsets.get(HEALTH, 0)
        frozen = freeze(self.partition, self.offsets)
        kept = Kept(frozen=frozen, slot=self.slot, next_offset=health, first_offset=health)
        parts = in_parts(self.number, kept, at_ms=at_ms)
        self.took_s = time.monotonic() - begun_s
        return parts


def restored(cluster: Cluster, number: int, wanted: Wanted) -> Held:
    """Return the partition as its newest checkpoint has it, or one that knows nothing yet."""
    timeline = timelines(cluster, HEALTH, partitions=[number]).get(number)
    counting = Counting() if timeline is None else Counting(timeline, newest_offset(cluster, HEALTH, number))
    kept = latest(cluster, number, topic=CHECKPOINTS)
    if kept is not None:
        try:
            partition, offsets = thaw(kept.frozen)
        except CheckpointError as why:
            log.warning("checkpoint left aside: partition=%d why=%s", number, why)
        else:
            return Held(number, partition, counting, offsets, slot=kept.slot)
    return Held(number, HealthPartition(counting.before(0, wanted)), counting)
