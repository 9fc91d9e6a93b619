"""The drift worker: feature statistics in, scores and alerts out."""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faust

from schemas import feeds
from schemas.cluster import Cluster
from schemas.drift_alert import DriftAlert
from schemas.operators import AuditEntry
from schemas.wire import Contract
from streams.drift.desk import SOURCE, Opened, open_run
from streams.drift.known import Known
from streams.drift.partition import Outcome, Partition
from streams.drift.policy import Rules
from streams.kafka import BatchProducer, Outgoing, Run, accepted_runs, bulk_topic, make_app

__all__ = ["DriftService", "DriftSettings", "make_drift_app"]

log = logging.getLogger(__name__)

WHO = "drift worker"
GROUP = "driftline-drift"
# Topics whose schemas must be known before the first run is worked on.
_WRITTEN = ("drift.scores", "drift.alerts", "telemetry.feature-rollups", "audit.log", "dead-letters")
_ASK_AGAIN_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSettings:
    """How one drift worker runs."""

    rules: Rules = field(default_factory=Rules)
    policy_id: str = "default"
    policy_revision: int = 0
    # How long a run waits for a grid or a baseline that is not known yet.
    wait_for_baseline_s: float = 30.0
    instance_id: str = ""
    max_run_records: int = 2000
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

    return app


class DriftService:
    """What joins runs, partitions and topics."""

    def __init__(self, cluster: Cluster, settings: DriftSettings) -> None:
        self.cluster, self.settings = cluster, settings
        self.partitions: dict[int, Partition] = {}
        self._producer = BatchProducer(cluster.bootstrap, settings=dict(cluster.security))
        self._labels: Mapping[str, Mapping[str, str]] = {}
        self._waited_for: set[str] = set()
        self._contract: Contract | None = None
        self._known: Known | None = None

    async def open(self) -> None:
        """Connect to the registry, and read grids and baselines up to now."""
        if self._known is None:
            await asyncio.to_thread(self._open)

    async def work(self, run: Run) -> None:
        """Judge a run and publish what came of it; returns when Kafka has all of it."""
        if not run.follows:
            self.partitions[run.partition] = await asyncio.to_thread(self._restored, run)
        opened = await self._opened(run)
        outcome = await asyncio.to_thread(self.partitions[run.partition].work, opened.stretches)
        # Scores before alerts: whoever opens an alert finds its evidence already there.
        await self._producer.deliver(await asyncio.to_thread(self._evidence, run, opened, outcome))
        await self._producer.deliver(await asyncio.to_thread(self._told, run, outcome.alerts))

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

    def _open(self) -> None:
        cluster, cache = self.cluster, self.settings.cache_dir
        contract = Contract.connect(cluster, cache_dir=cache)
        for topic in (SOURCE, *_WRITTEN):
            contract.register(topic)
        grids = feeds.table(cluster, "models.grids").open()
        baselines = feeds.table(cluster, "models.baselines").open()
        grids.wait_until_current()
        baselines.wait_until_current()
        self._contract, self._known = contract, Known(grids, baselines)

    def _open_run(self, run: Run) -> Opened:
        assert self._contract is not None  # noqa: S101  (`open` comes first)
        assert self._known is not None  # noqa: S101
        return open_run(self._contract, run, self._known, self.settings.rules, self._labels, now_ms=_now_ms())

    def _restored(self, run: Run) -> Partition:
        log.info("partition taken up: partition=%d offset=%d", run.partition, run.start)
        settings = self.settings
        return Partition(settings.rules, policy_id=settings.policy_id, policy_revision=settings.policy_revision)

    def _evidence(self, run: Run, opened: Opened, outcome: Outcome) -> list[Outgoing]:
        return [
            *(self._outgoing("drift.scores", record) for record in outcome.scores),
            *(self._outgoing("telemetry.feature-rollups", record) for record in outcome.rollups),
            *(self._outgoing("dead-letters", record) for record in opened.dead),
        ]

    def _told(self, run: Run, alerts: list[DriftAlert]) -> list[Outgoing]:
        told = []
        for alert in alerts:
            told.append(self._outgoing("drift.alerts", alert, partition=run.partition))
            told.append(self._outgoing("audit.log", _audited(alert)))
        return told

    def _outgoing(self, topic: str, record: Any, *, partition: int = -1) -> Outgoing:
        assert self._contract is not None  # noqa: S101
        key, value = self._contract.encode(topic, record)
        return Outgoing(self.cluster.named(topic), key, value, partition=partition)


def _audited(alert: DriftAlert) -> AuditEntry:
    return AuditEntry(
        subject=f"alert/{alert.alert_id}",
        action=alert.state.value,
        who=alert.by or WHO,
        why=alert.summary,
        at_ms=alert.changed_ms,
        evidence={
            "severity": alert.severity.value,
            "policy": f"{alert.policy_id}/{alert.policy_revision}",
            "samples": str(alert.evidence.samples),
            "reference": alert.evidence.reference,
        },
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
