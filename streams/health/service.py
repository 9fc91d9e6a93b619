"""The health worker: model health, samples and late labels in, alerts out."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import faust
from confluent_kafka import KafkaException

from schemas.cluster import Cluster
from schemas.drift_alert import DriftAlert
from schemas.errors import RegistryAwayError
from schemas.operators import OperatorRequest
from schemas.wire import Contract
from streams.drift.alerts import audited
from streams.drift.operators import Operators
from streams.drift.policy import InForce, PolicyFeed, Refused, Wanted, note_applied, untold
from streams.drift.replay import newest_offsets
from streams.health.decoding import Decoded, decoded
from streams.health.holding import CHECKPOINTS, Held, restored
from streams.health.metrics import Metrics
from streams.health.partition import HEALTH, LABELS, SAMPLES
from streams.kafka import BatchProducer, Outgoing, Run, accepted_runs, bulk_topic, figures, make_app
from streams.kafka.dead_letter import dead_letter
from trust import Keyring

__all__ = ["HealthService", "HealthSettings", "make_health_app"]

log = logging.getLogger(__name__)

WHO = "health worker"
GROUP = "driftline-health"
_READ = (HEALTH, SAMPLES, LABELS)
# Topics whose schemas must be known before the first run is worked on.
_WRITTEN = ("drift.alerts", "drift.policy-applied", CHECKPOINTS, "audit.log", "dead-letters")
_ASK_AGAIN_S = 0.5
_LOOK_EVERY_S = 1.0
# What the broker has stamped by now may still be on its way to its log.
_ON_ITS_WAY_MS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSettings:
    """How one health worker runs."""

    # Counts while no signed policy of the name that is followed does; its [health] and [alerts] tables matter here.
    policy: InForce = field(default_factory=InForce)
    follow: str = "default"
    # Without one, signed policies are not followed.
    keyring: Keyring | None = None
    checkpoint_every_s: float = 60.0
    instance_id: str = ""
    max_run_records: int = 2000
    cache_dir: Path | None = None
    # What time it is where nothing arrives to tell.
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000


def make_health_app(cluster: Cluster, settings: HealthSettings | None = None, **app_settings: Any) -> faust.App:
    """Make the Faust app of a health worker; `run_worker(app)` runs it."""
    settings = settings or HealthSettings()
    app = make_app(
        cluster.named(GROUP),
        cluster.bootstrap,
        instance_id=settings.instance_id,
        max_run_records=settings.max_run_records,
        security=cluster.security,
        **app_settings,
    )

    def fronts() -> Mapping[int, int]:
        """By partition of model health that is this worker's: up to where all is done."""
        consumer: Any = app.consumer
        standings = [] if consumer is None else consumer.standings()
        return {one.partition: one.front for one in standings if one.topic == cluster.named(HEALTH)}

    service = HealthService(cluster, settings, fronts, Metrics(figures(app).registry))

    @app.agent(bulk_topic(app, *map(cluster.named, _READ)))
    async def watch_health(deliveries: Any) -> None:
        """Turn what gateways say of their models into alerts; the judging is the partition's."""
        await service.open()
        async for run in accepted_runs(deliveries):
            await service.work(run)

    @app.task  # type: ignore[untyped-decorator]
    async def heed_operators() -> None:
        """Acknowledge and silence alerts as operators ask."""
        await service.heed_operators()

    @app.task  # type: ignore[untyped-decorator]
    async def follow_policy() -> None:
        """Judge by what is signed and published, from the next run on."""
        await service.follow_policy()

    @app.task  # type: ignore[untyped-decorator]
    async def mind_time() -> None:
        """Let alerts grow old where nothing comes to remind of it."""
        while not app.should_stop:
            await service.mind_time()
            await asyncio.sleep(_LOOK_EVERY_S)

    return app


class HealthService:
    """What joins runs, partitions and topics."""

    def __init__(
        self, cluster: Cluster, settings: HealthSettings, fronts: Callable[[], Mapping[int, int]], metrics: Metrics
    ) -> None:
        self.cluster, self.settings = cluster, settings
        self._fronts = fronts
        self._is_open = False
        self._names = {cluster.named(name): name for name in _READ}
        self.held: dict[int, Held] = {}
        self.metrics = metrics
        self._policies = PolicyFeed(
            cluster, settings.follow, Wanted(settings.policy, settings.keyring), cache_dir=settings.cache_dir
        )
        self._operators = Operators(cluster)
        # Runs and requests take turns: both change the alerts.
        self._turn = asyncio.Lock()
        self._producer = BatchProducer(cluster.bootstrap, settings=dict(cluster.security))
        self._contract: Contract | None = None

    async def open(self) -> None:
        """Connect to the registry, and learn which policy counts and what is silenced."""
        await self._connect()
        await self._operators.current.wait()
        if self.settings.keyring is not None:
            await self._policies.current.wait()
        self._is_open = True

    async def work(self, run: Run) -> None:
        """Judge a run and publish what came of it; returns when Kafka has all of it."""
        async with self._turn:
            await self._work(self._names[run.topic], run)

    async def heed_operators(self) -> None:
        """Follow what operators ask, for as long as the worker runs."""
        await self._connect()
        await self._operators.follow(self._heed)

    async def follow_policy(self) -> None:
        """Follow the signed policy, for as long as the worker runs."""
        if self.settings.keyring is not None:
            await self._connect()
            await self._policies.follow(self._known, self._refused)

    async def mind_time(self) -> None:
        """Let alerts grow old on partitions on which all that arrived was judged."""
        now_ms, due = self.settings.clock_ms() - _ON_ITS_WAY_MS, dict[int, Held]()
        for number, front in self._fronts().items() if self._is_open else ():
            # Of a partition of which nothing was ever done, nothing is known.
            if not front and number not in self.held:
                continue
            async with self._turn:
                held = self.held.get(number)
                if held is None or held.offsets.get(HEALTH, 0) < front:
                    held = await self._taken_up(HEALTH, number, front, follows=False)
            if held.partition.is_due(now_ms):
                due[number] = held
        try:
            ends = await asyncio.to_thread(newest_offsets, self.cluster, HEALTH, due)
        except KafkaException as why:
            log.warning("not known whether all is judged: why=%s", why)
            return
        for number, held in due.items():
            async with self._turn:
                if self.held.get(number) is held and held.offsets.get(HEALTH, 0) >= ends[number]:
                    aged = held.partition.pass_time(now_ms)
                    self.metrics.follow(aged)
                    await self._producer.deliver(await asyncio.to_thread(self._told, number, aged))

    async def _work(self, topic: str, run: Run) -> None:
        held = await self._taken_up(topic, run.partition, run.start, follows=run.follows)
        fresh = run.between(held.offsets.get(topic, 0), run.end)
        for part in held.parts_of(topic, fresh, self._policies.wanted):
            await self._note(held)
            await self._judge(topic, part, held)
        held.offsets[topic] = max(run.end, held.offsets.get(topic, 0))
        if len(fresh) and held.is_due(self.settings.checkpoint_every_s):
            await self._keep(held, max(fresh.timestamps_ms))

    async def _taken_up(self, topic: str, number: int, start: int, *, follows: bool) -> Held:
        """Return a partition, brought to where a run of one topic begins."""
        held = self.held.get(number)
        if held is None or (not follows and held.offsets.get(topic, 0) < start):
            held = await asyncio.to_thread(restored, self.cluster, number, self._policies.wanted)
            self._operators.silence_all(held.partition.alerting.book)
            self.held[number] = held
        begun_s = time.monotonic()
        folded = await asyncio.to_thread(held.fold, self.cluster, topic, start, self._policies.wanted, self._decoded)
        if not follows:
            seconds = time.monotonic() - begun_s
            self.metrics.restore.set(seconds)
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
        self.metrics.judged(before, panel.counts, join.expired - expired, seconds=time.monotonic() - begun_s)
        self.metrics.read(topic, len(run), sum(one.record is None for one in records))
        self.metrics.follow(alerts)
        await self._producer.deliver(await asyncio.to_thread(self._results, topic, run, records, alerts))

    async def _heed(self, request: OperatorRequest, _is_news: bool) -> None:
        async with self._turn:
            for number, held in self.held.items():
                changed = self._operators.heed(held.partition.alerting.book, request)
                if changed:
                    self.metrics.follow(changed)
                    await self._producer.deliver(await asyncio.to_thread(self._told, number, changed))
                    # The logs that a restore folds know nothing of requests; the next checkpoint must.
                    held.kept_s = -math.inf

    async def _refused(self, refused: Refused) -> None:
        now_ms = _now_ms()
        for one in await asyncio.to_thread(untold, self.cluster, [refused]):
            letter, entry = one.dead_letter(who=WHO, now_ms=now_ms), one.audit_entry(who=WHO, now_ms=now_ms)
            await self._producer.deliver([self._outgoing("dead-letters", letter), self._outgoing("audit.log", entry)])

    async def _note(self, held: Held) -> None:
        """Say from which record on another policy counts, before anything is told that follows from it."""
        applied = [
            note_applied(policy, topic=HEALTH, partition=held.number, offset=offset, at_ms=_now_ms())
            for offset, policy in held.counting.take_unnoted()
        ]
        await self._producer.deliver([self._outgoing("drift.policy-applied", one) for one in applied])

    async def _keep(self, held: Held, now_ms: int) -> None:
        """Write a checkpoint, and forget devices that are long silent."""
        held.partition.panel.evict(now_ms)
        parts = await asyncio.to_thread(held.in_parts, at_ms=_now_ms())
        await self._producer.deliver([self._outgoing(CHECKPOINTS, part, partition=held.number) for part in parts])
        held.kept_s = time.monotonic()
        self.metrics.devices.set(sum(len(one.partition.panel.models) for one in self.held.values()))

    async def _connect(self) -> None:
        async with self._turn:
            if self._contract is None:
                self._contract = await asyncio.to_thread(self._connected)

    def _connected(self) -> Contract:
        contract = Contract.connect(self.cluster, cache_dir=self.settings.cache_dir)
        contract.register_all(_WRITTEN)
        return contract

    def _decoded(self, topic: str, run: Run) -> list[Decoded]:
        """Decode a run; while the registry is away, wait with it."""
        while True:
            try:
                return decoded(self._known, topic, run)
            except RegistryAwayError as away:
                log.warning("registry away: partition=%d offset=%d %s", run.partition, run.start, away)
                time.sleep(_ASK_AGAIN_S)

    def _results(self, topic: str, run: Run, records: list[Decoded], alerts: list[DriftAlert]) -> list[Outgoing]:
        letters = [
            dead_letter(run, position, one.why, source_topic=topic, found_by=WHO, now_ms=_now_ms())
            for position, one in enumerate(records)
            if one.record is None
        ]
        return [*(self._outgoing("dead-letters", letter) for letter in letters), *self._told(run.partition, alerts)]

    def _told(self, partition: int, alerts: list[DriftAlert]) -> list[Outgoing]:
        told = []
        for alert in alerts:
            log.info("alert changed: %s state=%s", alert.summary, alert.state.value)
            told.append(self._outgoing("drift.alerts", alert, partition=partition))
            told.append(self._outgoing("audit.log", audited(alert, who=WHO)))
        return told

    @property
    def _known(self) -> Contract:
        assert self._contract is not None  # noqa: S101  (`open` comes first)
        return self._contract

    def _outgoing(self, topic: str, record: Any, *, partition: int = -1) -> Outgoing:
        key, value = self._known.encode(topic, record)
        return Outgoing(self.cluster.named(topic), key, value, partition=partition)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
