"""What joins runs about models, the partitions that judge them, and the topics that are told."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from schemas.cluster import Cluster
from schemas.drift_alert import DriftAlert
from schemas.errors import RegistryAwayError
from schemas.operators import OperatorRequest
from streams.drift.alert_news import ALERTS, news_of
from streams.drift.heeding import heeded
from streams.drift.operators import Operators
from streams.drift.policy import PolicyFeed, Refused, note_applied, told_of
from streams.drift.requests import is_about_silence
from streams.drift.time_passing import ON_ITS_WAY_MS, due_partitions
from streams.health.decoding import Decoded, decoded
from streams.health.holding import CHECKPOINTS, Held, restored
from streams.health.metrics import Metrics
from streams.health.partition import HEALTH, LABELS, SAMPLES
from streams.kafka import Outbox, Outgoing, Run
from streams.kafka.dead_letter import dead_letter

__all__ = ["READ", "HealthWorker"]

log = logging.getLogger(__name__)

WHO = "health worker"
READ = (HEALTH, SAMPLES, LABELS)
# Topics whose schemas must be known before the first run is worked on.
_WRITTEN = (ALERTS, "drift.policy-applied", CHECKPOINTS, "audit.log", "dead-letters")
_ASK_AGAIN_S = 0.5


class HealthWorker:
    """Works on one run at a time; `fronts` says which partitions of model health are the worker's, and how far."""

    def __init__(
        self,
        cluster: Cluster,
        policies: PolicyFeed,
        fronts: Callable[[], Mapping[int, int]],
        metrics: Metrics,
        *,
        checkpoint_every_s: float,
        cache_dir: Path | None,
    ) -> None:
        self._cluster, self._policies, self._fronts, self._metrics = cluster, policies, fronts, metrics
        self._checkpoint_every_s = checkpoint_every_s
        self._is_open = False
        self._names = {cluster.named(name): name for name in READ}
        self._held: dict[int, Held] = {}
        self._operators = Operators(cluster)
        # Runs and requests take turns: both change the alerts.
        self._turn = asyncio.Lock()
        self._outbox = Outbox(cluster, _WRITTEN, cache_dir=cache_dir)

    async def open(self) -> None:
        """Connect to the registry, and learn which policy counts and what is silenced."""
        await self._outbox.connect()
        await self._operators.current.wait()
        if self._policies.is_followed:
            await self._policies.current.wait()
        self._is_open = True

    async def work(self, run: Run) -> None:
        """Judge a run and publish what came of it; returns when Kafka has all of it."""
        async with self._turn:
            await self._work(self._names[run.topic], run)

    async def heed_operators(self) -> None:
        """Follow what operators ask, for as long as the worker runs."""
        await self._outbox.connect()
        await self._operators.follow(self._heed)

    async def follow_policy(self) -> None:
        """Follow the signed policy, for as long as the worker runs."""
        if self._policies.is_followed:
            await self._policies.follow(await self._outbox.connect(), self._refused)

    async def mind_time(self, now_ms: int) -> None:
        """Let alerts grow old on partitions on which all that arrived was judged."""
        if not self._is_open:
            return
        by_ms = now_ms - ON_ITS_WAY_MS
        due = await due_partitions(
            self._cluster, HEALTH, self._fronts(), held=self._held, take_up=self._brought_to,
            state_of=lambda held: held.partition, now_ms=by_ms,
        )  # fmt: skip
        for number, (held, end) in due.items():
            async with self._turn:
                if self._held.get(number) is held and held.offsets.get(HEALTH, 0) >= end:
                    await self._tell(number, held.partition.pass_time(by_ms))

    async def _brought_to(self, number: int, front: int) -> Held:
        async with self._turn:
            held = self._held.get(number)
            if held is None or held.offsets.get(HEALTH, 0) < front:
                held = await self._taken_up(HEALTH, number, front, follows=False)
            return held

    async def _work(self, topic: str, run: Run) -> None:
        held = await self._taken_up(topic, run.partition, run.start, follows=run.follows)
        fresh = run.between(held.offsets.get(topic, 0), run.end)
        for part in held.parts_of(topic, fresh, self._policies.wanted):
            await self._note(held)
            await self._judge(topic, part, held)
        held.offsets[topic] = max(run.end, held.offsets.get(topic, 0))
        if len(fresh) and held.is_due(self._checkpoint_every_s):
            await self._keep(held, max(fresh.timestamps_ms))

    async def _taken_up(self, topic: str, number: int, start: int, *, follows: bool) -> Held:
        """Return a partition, brought to where a run of one topic begins."""
        held = self._held.get(number)
        if held is None or (not follows and held.offsets.get(topic, 0) < start):
            held = await asyncio.to_thread(restored, self._cluster, number, self._policies.wanted)
            self._operators.silence_all(held.partition.alerting.book)
            self._held[number] = held
        begun_s = time.monotonic()
        folded = await asyncio.to_thread(held.fold, self._cluster, topic, start, self._policies.wanted, self._decoded)
        if not follows:
            seconds = time.monotonic() - begun_s
            self._metrics.restore.set(seconds)
            log.info(
                "partition taken up: topic=%s partition=%d offset=%d folded=%d seconds=%.1f",
                topic, number, start, folded, seconds,
            )  # fmt: skip
        return held

    async def _judge(self, topic: str, run: Run, held: Held) -> None:
        records = await asyncio.to_thread(self._decoded, topic, run)
        panel, join, begun_s = held.partition.panel, held.partition.join, time.monotonic()
        before, expired = replace(panel.counts), join.expired
        alerts = await asyncio.to_thread(lambda: list(held.work(topic, records)))
        self._metrics.judged(before, panel.counts, join.expired - expired, seconds=time.monotonic() - begun_s)
        self._metrics.read(topic, len(run), sum(one.record is None for one in records))
        if topic == HEALTH:
            rules = held.partition.policy.rules
            self._metrics.held_to(rules, (one.record for one in records if one.record is not None))
        await self._outbox.deliver(await asyncio.to_thread(self._letters, topic, run, records))
        await self._tell(run.partition, alerts)

    async def _heed(self, request: OperatorRequest, is_news: bool) -> None:
        async with self._turn:
            heeded_from: dict[int, int] = {}
            for number, held in self._held.items():
                changed = self._operators.heed(held.partition.alerting.book, request)
                if (changed or is_about_silence(request)) and number in self._fronts():
                    heeded_from[number] = held.offsets.get(HEALTH, 0)
                if changed:
                    await self._tell(number, changed)
                    # The logs that a restore folds know nothing of requests; the next checkpoint must.
                    held.kept_s = -math.inf
            if is_news and heeded_from:
                entry = heeded(request, HEALTH, heeded_from, who=WHO, now_ms=_now_ms())
                await self._outbox.send("audit.log", [entry])

    async def _refused(self, refused: Refused) -> None:
        told = await asyncio.to_thread(told_of, self._cluster, [refused], who=WHO, now_ms=_now_ms())
        for topic, record in told:
            await self._outbox.send(topic, [record])

    async def _note(self, held: Held) -> None:
        """Say from which record on another policy counts, before anything is told that follows from it."""
        applied = [
            note_applied(policy, topic=HEALTH, partition=held.number, offset=offset, at_ms=_now_ms())
            for offset, policy in held.counting.take_unnoted()
        ]
        await self._outbox.send("drift.policy-applied", applied)

    async def _keep(self, held: Held, now_ms: int) -> None:
        """Write a checkpoint, and forget devices that are long silent."""
        held.partition.panel.evict(now_ms)
        parts = await asyncio.to_thread(held.in_parts, at_ms=_now_ms())
        await self._outbox.send(CHECKPOINTS, parts, partition=held.number)
        held.kept_s = time.monotonic()
        self._metrics.devices.set(sum(len(one.partition.panel.models) for one in self._held.values()))

    def _decoded(self, topic: str, run: Run) -> list[Decoded]:
        """Decode a run; while the registry is away, wait with it."""
        while True:
            try:
                return decoded(self._outbox.contract, topic, run)
            except RegistryAwayError as away:
                log.warning("registry away: partition=%d offset=%d %s", run.partition, run.start, away)
                time.sleep(_ASK_AGAIN_S)

    def _letters(self, topic: str, run: Run, records: list[Decoded]) -> list[Outgoing]:
        letters = (
            dead_letter(run, position, one.why, source_topic=topic, found_by=WHO, now_ms=_now_ms())
            for position, one in enumerate(records)
            if one.record is None
        )
        return [self._outbox.packed("dead-letters", letter) for letter in letters]

    async def _tell(self, partition: int, alerts: list[DriftAlert]) -> None:
        self._metrics.follow(alerts)
        if alerts:
            told = await asyncio.to_thread(news_of, alerts, self._outbox, partition=partition, who=WHO)
            await self._outbox.deliver(told)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
