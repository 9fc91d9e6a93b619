"""The drift worker: feature statistics in, scores and alerts out."""

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import faust

from schemas import feeds
from schemas.cluster import Cluster
from schemas.drift_alert import DriftAlert
from schemas.operators import OperatorRequest
from schemas.wire import Contract
from streams.drift.alerts import audited
from streams.drift.desk import SOURCE, Opened, open_run
from streams.drift.known import Known
from streams.drift.metrics import Metrics
from streams.drift.partition import Outcome
from streams.drift.policy import Rules
from streams.drift.requests import RequestError, heed
from streams.drift.restoring import ROLLUPS, Held, Restorer
from streams.drift.vault import TOPIC as CHECKPOINTS
from streams.kafka import BatchProducer, Outgoing, Run, accepted_runs, bulk_topic, make_app

__all__ = ["DriftService", "DriftSettings", "make_drift_app"]

log = logging.getLogger(__name__)

WHO = "drift worker"
GROUP = "driftline-drift"
# Topics whose schemas must be known before the first run is worked on.
_WRITTEN = ("drift.scores", "drift.alerts", ROLLUPS, CHECKPOINTS, "audit.log", "dead-letters")
_ASK_AGAIN_S = 0.1
# Requests that came while no worker ran are heeded up to this age; doing one twice changes nothing.
_REQUESTS_SINCE_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSettings:
    """How one drift worker runs."""

    rules: Rules = field(default_factory=Rules)
    policy_id: str = "default"
    policy_revision: int = 0
    # How long a run waits for a grid or a baseline that is not known yet.
    wait_for_baseline_s: float = 30.0
    checkpoint_every_s: float = 60.0
    instance_id: str = ""
    max_run_records: int = 2000
    # Where Prometheus finds the figures, on loopback; None for nowhere.
    metrics_port: int | None = None
    cache_dir: Path | None = None


def make_drift_app(cluster: Cluster, settings: DriftSettings | None = None, **app_settings: Any) -> faust.App:
    """Make the Faust app of a drift worker; `run_worker(app)` runs it.

    >>> run_worker(make_drift_app(Cluster()))  # doctest: +SKIP
    """
    settings = settings or DriftSettings()
    app = make_app(
        cluster.named(GROUP),
        cluster.bootstrap,
        instance_id=settings.instance_id,
        max_run_records=settings.max_run_records,
        **app_settings,
    )
    service = DriftService(cluster, settings)

    @app.agent(bulk_topic(app, cluster.named(SOURCE)))
    async def watch_drift(deliveries: Any) -> None:
        """Turn feature statistics into scores and alerts; the judging is the partition's."""
        await service.open()
        async for run in accepted_runs(deliveries):
            await service.work(run)

    @app.task  # type: ignore[untyped-decorator]
    async def heed_operators() -> None:
        """Acknowledge and silence alerts as operators ask."""
        await service.heed_operators()

    return app


class DriftService:
    """What joins runs, partitions and topics."""

    def __init__(self, cluster: Cluster, settings: DriftSettings) -> None:
        self.cluster, self.settings = cluster, settings
        self.held: dict[int, Held] = {}
        self.metrics = Metrics()
        # Runs and requests take turns: both change the alerts.
        self._turn = asyncio.Lock()
        self._producer = BatchProducer(cluster.bootstrap, settings=dict(cluster.security))
        self._labels: Mapping[str, Mapping[str, str]] = {}
        self._waited_for: set[str] = set()
        self._contract: Contract | None = None
        self._known: Known | None = None

    async def open(self) -> None:
        """Connect to the registry, and read grids and baselines up to now."""
        async with self._turn:
            if self._known is None:
                await asyncio.to_thread(self._open)

    async def work(self, run: Run) -> None:
        """Judge a run and publish what came of it; returns when Kafka has all of it."""
        async with self._turn:
            await self._work(run)

    async def heed_operators(self) -> None:
        """Follow what operators ask, for as long as the worker runs."""
        await self.open()
        since_ms = _now_ms() - _REQUESTS_SINCE_MS
        async with feeds.follow_async(self.cluster, "operators.requests", from_ms=since_ms) as feed:
            async for event in feed:
                if isinstance(event, feeds.Changed):
                    async with self._turn:
                        await self._heed(event.value)

    async def _heed(self, request: OperatorRequest) -> None:
        for number, held in self.held.items():
            try:
                changed = heed(held.partition.book, request)
            except RequestError as why:
                log.warning("request left aside: why=%s", why)
                return
            if changed:
                await self._producer.deliver(await asyncio.to_thread(self._told, number, changed))
                # The log that a restore folds knows nothing of requests; the next checkpoint must.
                held.kept_s = -math.inf

    async def _work(self, run: Run) -> None:
        held = self.held.get(run.partition)
        if held is None or held.next_offset < run.start:
            held = self.held[run.partition] = await asyncio.to_thread(self._restored, run)
        fresh = _from(run, held.next_offset)
        if fresh.offsets:
            await self._judge(fresh, held)
        held.next_offset = max(run.end, held.next_offset)
        if time.monotonic() - held.kept_s >= self.settings.checkpoint_every_s:
            await self._keep(run, held)

    async def _judge(self, run: Run, held: Held) -> None:
        opened = await self._opened(run)
        started_s = time.monotonic()
        outcome = await asyncio.to_thread(held.partition.work, opened.stretches)
        self.metrics.judged(run.partition, outcome, seconds=time.monotonic() - started_s)
        self.metrics.read(run.partition, len(run), len(opened.dead))
        # Scores before alerts: whoever opens an alert finds its evidence already there.
        await self._producer.deliver(await asyncio.to_thread(self._evidence, run, opened, outcome))
        await self._producer.deliver(await asyncio.to_thread(self._told, run.partition, outcome.alerts))

    async def _opened(self, run: Run) -> Opened:
        """Open a run; what it lacks is waited for, once and not for ever."""
        give_up_s = time.monotonic() + self.settings.wait_for_baseline_s
        while True:
            opened = await asyncio.to_thread(self._open_run, run)
            news = opened.waiting - self._waited_for
            if opened.unread:
                log.warning("registry away: partition=%d unread=%d", run.partition, len(opened.unread))
            elif not news:
                return opened
            elif time.monotonic() >= give_up_s:
                for why in sorted(news):
                    log.warning("given up waiting: partition=%d why=%s", run.partition, why)
                self._waited_for |= news
                return opened
            await asyncio.sleep(_ASK_AGAIN_S)

    async def _keep(self, run: Run, held: Held) -> None:
        """Write a checkpoint, and forget devices that are long silent."""
        self.metrics.evicted(held.partition.evict(max(run.timestamps_ms, default=0)))
        parts = await asyncio.to_thread(held.in_parts, run.partition, at_ms=_now_ms())
        await self._producer.deliver([self._outgoing(CHECKPOINTS, part, partition=run.partition) for part in parts])
        held.kept_s = time.monotonic()

    def _open(self) -> None:
        cluster, cache = self.cluster, self.settings.cache_dir
        contract = Contract.connect(cluster, cache_dir=cache)
        for topic in (SOURCE, *_WRITTEN):
            contract.register(topic)
        grids = feeds.table(cluster, "models.grids").open()
        baselines = feeds.table(cluster, "models.baselines").open()
        grids.wait_until_current()
        baselines.wait_until_current()
        if self.settings.metrics_port is not None:
            self.metrics.serve(self.settings.metrics_port)
        self._contract, self._known = contract, Known(grids, baselines)

    def _open_run(self, run: Run) -> Opened:
        assert self._contract is not None  # noqa: S101  (`open` comes first)
        assert self._known is not None  # noqa: S101
        return open_run(self._contract, run, self._known, self._labels, now_ms=_now_ms())

    def _restored(self, run: Run) -> Held:
        assert self._known is not None  # noqa: S101
        settings = self.settings
        started_s = time.monotonic()
        restorer = Restorer(
            cluster=self.cluster, rules=settings.rules, policy_id=settings.policy_id,
            policy_revision=settings.policy_revision, known=self._known, open_run=self._open_run,
        )  # fmt: skip
        held = restorer.restored(run.partition, run.start)
        seconds = time.monotonic() - started_s
        self.metrics.restored(seconds)
        log.info(
            "partition taken up: partition=%d offset=%d folded=%d seconds=%.1f",
            run.partition, run.start, restorer.folded, seconds,
        )  # fmt: skip
        return held

    def _evidence(self, run: Run, opened: Opened, outcome: Outcome) -> list[Outgoing]:
        return [
            *(self._outgoing("drift.scores", record) for record in outcome.scores),
            *(self._outgoing(ROLLUPS, record, partition=run.partition) for record in outcome.rollups),
            *(self._outgoing("dead-letters", record) for record in opened.dead),
        ]

    def _told(self, partition: int, alerts: list[DriftAlert]) -> list[Outgoing]:
        told = []
        for alert in alerts:
            told.append(self._outgoing("drift.alerts", alert, partition=partition))
            told.append(self._outgoing("audit.log", audited(alert, who=WHO)))
        return told

    def _outgoing(self, topic: str, record: Any, *, partition: int = -1) -> Outgoing:
        assert self._contract is not None  # noqa: S101
        key, value = self._contract.encode(topic, record)
        return Outgoing(self.cluster.named(topic), key, value, partition=partition)


def _from(run: Run, offset: int) -> Run:
    """Leave out what a state that is ahead of the group's commits has already in it."""
    behind = sum(one < offset for one in run.offsets)
    if not behind:
        return run
    return replace(
        run,
        offsets=run.offsets[behind:],
        timestamps_ms=run.timestamps_ms[behind:],
        keys=run.keys[behind:],
        values=run.values[behind:],
        headers=run.headers[behind:],
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
