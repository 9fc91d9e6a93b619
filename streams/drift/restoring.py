"""Bring a partition's state to an offset: from its checkpoint, and the log behind it."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, pairwise

from schemas import feeds
from schemas.cluster import Cluster
from schemas.drift_alert import DriftAlert
from schemas.drift_checkpoint import DriftCheckpoint
from schemas.drift_scores import CohortPane
from schemas.feature_stats import FeatureStats
from schemas.wire import Contract
from streams.drift.alerts import AlertBook
from streams.drift.checkpoint import CheckpointError, freeze, thaw
from streams.drift.desk import SOURCE, Opened
from streams.drift.known import Known
from streams.drift.measured import Group
from streams.drift.partition import Partition
from streams.drift.policy import Counting, InForce, Piece, Wanted, timelines
from streams.drift.refill import FastRefill, SlowRefill, first_offset
from streams.drift.replay import newest_offset, oldest_offset, replayed
from streams.drift.telling import Telling
from streams.drift.vault import Kept, in_parts, latest
from streams.kafka import Run

__all__ = ["ROLLUPS", "Held", "Restorer"]

log = logging.getLogger(__name__)

ROLLUPS = "telemetry.feature-rollups"
HOUR_MS = 3_600_000
# A checkpoint may take this share of the worker's time; larger states are kept less often.
_SHARE = 0.05
# Roll-ups of weeks are many.
_AT_ONCE = 2000


@dataclass
class Held:
    """A partition that this worker has, how far it is, and which policy counts."""

    partition: Partition
    next_offset: int
    policy: InForce
    counting: Counting
    slot: int = 0
    kept_s: float = field(default_factory=time.monotonic)
    took_s: float = 0.0

    def is_due(self, every_s: float) -> bool:
        """Say whether it is time for the next checkpoint."""
        return time.monotonic() - self.kept_s >= max(every_s, self.took_s / _SHARE)

    def pass_time(self, run: Run) -> list[DriftAlert]:
        """Have alerts grow old as hours of arrival turn, whether or not their devices are heard of."""
        return self.partition.pass_time(_arrival(run))

    def tell(self, run: Run, labels: Mapping[str, Mapping[str, str]]) -> list[CohortPane]:
        """Return the shares of cohorts that are to be told before the windows of a run."""
        return self.partition.tell(_arrival(run), labels, number=run.partition)

    def in_parts(self, number: int, *, at_ms: int) -> list[DriftCheckpoint]:
        """Return the records of a checkpoint of the present state."""
        begun_s = time.monotonic()
        self.slot = 1 - self.slot
        firsts = [first for engine in self.partition.engines.values() if (first := first_offset(engine)) is not None]
        kept = Kept(
            frozen=freeze(self.partition),
            slot=self.slot,
            next_offset=self.next_offset,
            first_offset=min([*firsts, self.next_offset]),
        )
        parts = in_parts(number, kept, at_ms=at_ms)
        self.took_s = time.monotonic() - begun_s
        return parts


@dataclass
class Restorer:
    """Restores partitions; whatever it judges on the way was published before."""

    cluster: Cluster
    contract: Contract
    wanted: Wanted
    known: Known
    open_run: Callable[[Run], Opened]
    # Tells a book what is known from elsewhere: silences, labels.
    furnish: Callable[[AlertBook], None]
    folded: int = 0

    def restored(self, number: int, start: int) -> Held:
        """Return the partition as it stood at `start`, or further on where its checkpoint is further on."""
        timeline = timelines(self.cluster, SOURCE, partitions=[number], contract=self.contract).get(number)
        # What was on the log by now may have been judged, and told of, by whoever had the partition before.
        counting = Counting() if timeline is None else Counting(timeline, newest_offset(self.cluster, SOURCE, number))
        held = self._from_checkpoint(number, counting)
        if held is None:
            first = oldest_offset(self.cluster, SOURCE, number) if start else 0
            policy = counting.before(first, self.wanted)
            held = Held(_fresh(policy), first, policy, counting)
        self.furnish(held.partition.book)
        for run in replayed(self.cluster, SOURCE, number, held.next_offset, start):
            for piece in self.pieces_of(run, held):
                for part in self.parts_of(number, run, piece, held):
                    held.pass_time(part)
                    held.partition.telling.take(_arrival(part))
                    held.partition.work(self.open_run(part).stretches)
            self.folded += len(run)
        held.next_offset = max(held.next_offset, start)
        return held

    def pieces_of(self, run: Run, held: Held) -> Iterator[Piece]:
        """Yield the pieces of a run, by the policy that counts."""
        return held.counting.pieces(run.start, run.end, self.wanted)

    def parts_of(self, number: int, run: Run, piece: Piece, held: Held) -> Iterator[Run]:
        """Yield a piece of a run in parts of one arrival hour and tick, with the partition judged by its policy.

        Where that is another one, the log may be read again: all that the partition told must be on it.
        """
        if piece.policy != held.policy:
            self._take_up(number, piece.policy, held, piece.start)
        yield from _by_turn(run.between(piece.start, piece.end), held.partition.telling)

    def _take_up(self, number: int, policy: InForce, held: Held, offset: int) -> None:
        """Have a partition judged by another policy from an offset on."""
        log.info(
            "policy counts: partition=%d offset=%d policy=%s revision=%d",
            number, offset, policy.policy_id, policy.revision,
        )  # fmt: skip
        partition, held.policy = held.partition, policy
        if policy.rules.horizons_ms == partition.rules.horizons_ms:
            if partition.take_up(policy.rules, policy_id=policy.policy_id, policy_revision=policy.revision):
                self._refill_slow(number, partition, only_past=True)
            return
        # Rings are laid out for their horizons: they are filled anew from the log, and the alerts go on.
        held.partition = _fresh(policy)
        for run in replayed(self.cluster, SOURCE, number, oldest_offset(self.cluster, SOURCE, number), offset):
            held.partition.work(self.open_run(run).stretches)
            self.folded += len(run)
        fresh = held.partition.book
        held.partition.book = partition.book
        held.partition.book.policy_id, held.partition.book.policy_revision = fresh.policy_id, fresh.policy_revision

    def _from_checkpoint(self, number: int, counting: Counting) -> Held | None:
        kept = latest(self.cluster, number, contract=self.contract)
        if kept is None:
            return None
        policy = counting.before(kept.next_offset, self.wanted)
        try:
            partition = thaw(kept.frozen, policy.rules, self._resolve)
        except CheckpointError as why:
            log.warning("checkpoint left aside: partition=%d why=%s", number, why)
            return None
        self._refill_fast(partition, number, kept)
        self._refill_slow(number, partition)
        return Held(partition, kept.next_offset, policy, counting, slot=kept.slot)

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

    def _refill_slow(self, number: int, partition: Partition, *, only_past: bool = False) -> None:
        reach_ms = max((engine.reach_ms for engine in partition.engines.values()), default=0)
        arrived_ms = max((engine.presence.arrival_ms for engine in partition.engines.values()), default=0)
        refills = [SlowRefill(engine, only_past=only_past) for engine in partition.engines.values()]
        told = self._told(number, max(arrived_ms - 2 * reach_ms, 0)) if refills else iter(())
        while some := list(islice(told, _AT_ONCE)):
            for refill in refills:
                refill.add(some)

    def _told(self, number: int, from_ms: int) -> Iterator[FeatureStats]:
        with feeds.follow(
            self.cluster, ROLLUPS, from_ms=from_ms, partitions=[number], until_current=True, contract=self.contract
        ) as feed:
            for event in feed:
                if isinstance(event, feeds.Changed):
                    yield event.value

    def _resolve(self, model_id: str, grid_id: str, labels: dict[str, str]) -> Group | None:
        self.known.shape_of(grid_id)
        against = self.known.against(model_id, grid_id)
        if isinstance(against, str):
            log.warning("model no longer known: why=%s", against)
            return None
        return Group(against, labels)


def _fresh(policy: InForce) -> Partition:
    return Partition(policy.rules, policy_id=policy.policy_id, policy_revision=policy.revision)


def _arrival(run: Run) -> int:
    return max(run.timestamps_ms, default=0)


def _by_turn(run: Run, telling: Telling) -> Iterator[Run]:
    times = [(arrived_ms // HOUR_MS, telling.tick_of(arrived_ms)) for arrived_ms in run.timestamps_ms]
    turns = [offset for (before, now), offset in zip(pairwise(times), run.offsets[1:], strict=True) if now != before]
    for start, end in pairwise([run.start, *turns, run.end]):
        yield run.between(start, end)
