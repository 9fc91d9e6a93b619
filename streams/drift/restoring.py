"""Bring a partition's state to an offset: from its checkpoint, and the log behind it."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from schemas import feeds
from schemas.cluster import Cluster
from schemas.drift_checkpoint import DriftCheckpoint
from schemas.feature_stats import FeatureStats
from streams.drift.checkpoint import CheckpointError, freeze, thaw
from streams.drift.desk import SOURCE, Opened
from streams.drift.known import Known
from streams.drift.measured import Group
from streams.drift.partition import Partition
from streams.drift.policy import Rules
from streams.drift.refill import FastRefill, first_offset, refill_slow
from streams.drift.replay import oldest_offset, replayed
from streams.drift.vault import Kept, in_parts, latest
from streams.kafka import Run

__all__ = ["ROLLUPS", "Held", "Restorer"]

log = logging.getLogger(__name__)

ROLLUPS = "telemetry.feature-rollups"


@dataclass
class Held:
    """A partition that this worker has, and how far it is."""

    partition: Partition
    next_offset: int
    slot: int = 0
    kept_s: float = field(default_factory=time.monotonic)

    def in_parts(self, number: int, *, at_ms: int) -> list[DriftCheckpoint]:
        """Return the records of a checkpoint of the present state."""
        self.slot = 1 - self.slot
        firsts = [first for engine in self.partition.engines.values() if (first := first_offset(engine)) is not None]
        kept = Kept(
            frozen=freeze(self.partition),
            slot=self.slot,
            next_offset=self.next_offset,
            first_offset=min([*firsts, self.next_offset]),
        )
        return in_parts(number, kept, at_ms=at_ms)


@dataclass
class Restorer:
    """Restores partitions; whatever it judges on the way was published before."""

    cluster: Cluster
    rules: Rules
    policy_id: str
    policy_revision: int
    known: Known
    open_run: Callable[[Run], Opened]
    folded: int = 0

    def restored(self, number: int, start: int) -> Held:
        """Return the partition as it stood at `start`, or further on where its checkpoint is further on."""
        held = self._from_checkpoint(number)
        if held is None:
            partition = Partition(self.rules, policy_id=self.policy_id, policy_revision=self.policy_revision)
            held = Held(partition, oldest_offset(self.cluster, SOURCE, number) if start else 0)
        for run in replayed(self.cluster, SOURCE, number, held.next_offset, start):
            held.partition.work(self.open_run(run).stretches)
            self.folded += len(run)
        held.next_offset = max(held.next_offset, start)
        return held

    def _from_checkpoint(self, number: int) -> Held | None:
        kept = latest(self.cluster, number)
        if kept is None:
            return None
        try:
            partition = thaw(kept.frozen, self.rules, self._resolve)
        except CheckpointError as why:
            log.warning("checkpoint left aside: partition=%d why=%s", number, why)
            return None
        self._refill_fast(partition, number, kept)
        rollups = self._rollups(number, partition)
        for engine in partition.engines.values():
            refill_slow(engine, rollups)
        return Held(partition, kept.next_offset, slot=kept.slot)

    def _refill_fast(self, partition: Partition, number: int, kept: Kept) -> None:
        refills = {grid_id: FastRefill(engine) for grid_id, engine in partition.engines.items()}
        for run in replayed(self.cluster, SOURCE, number, kept.first_offset, kept.next_offset):
            for stretch in self.open_run(run).stretches:
                grid_id = stretch.groups[0].against.grid.grid_id
                if grid_id in refills:
                    refills[grid_id].add(stretch.windows)
            self.folded += len(run)
        for refill in refills.values():
            refill.finish()

    def _rollups(self, number: int, partition: Partition) -> list[FeatureStats]:
        reach_ms = max((engine.reach_ms for engine in partition.engines.values()), default=0)
        arrived_ms = max((engine.presence.arrival_ms for engine in partition.engines.values()), default=0)
        return list(_told(self.cluster, number, max(arrived_ms - 2 * reach_ms, 0))) if reach_ms else []

    def _resolve(self, model_id: str, grid_id: str, labels: dict[str, str]) -> Group | None:
        self.known.shape_of(grid_id)
        against = self.known.against(model_id, grid_id)
        if isinstance(against, str):
            log.warning("model no longer known: why=%s", against)
            return None
        return Group(against, labels)


def _told(cluster: Cluster, number: int, from_ms: int) -> Iterator[FeatureStats]:
    with feeds.follow(cluster, ROLLUPS, from_ms=from_ms, partitions=[number], until_current=True) as feed:
        for event in feed:
            if isinstance(event, feeds.Changed):
                yield event.value
