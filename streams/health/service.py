"""The health worker: model health, samples and late labels in, alerts out."""

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faust

from schemas.cluster import Cluster
from schemas.drift_alert import DriftAlert
from schemas.errors import BadRecordError, RegistryAwayError
from schemas.wire import Contract
from streams.drift.alerts import audited
from streams.drift.policy import Life
from streams.health.alerting import Alerting
from streams.health.labels import LabelJoin
from streams.health.panel import Finding, HealthPanel
from streams.health.policy import HealthPolicy, read_health_policy
from streams.kafka import BatchProducer, Outgoing, Run, accepted_runs, bulk_topic, make_app
from streams.kafka.dead_letter import dead_letter

__all__ = ["HealthSettings", "make_health_app"]

log = logging.getLogger(__name__)

WHO = "health worker"
GROUP = "driftline-health"
HEALTH, SAMPLES, LABELS = "telemetry.model-health", "telemetry.samples", "telemetry.labels"
_ASK_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSettings:
    """How one health worker runs."""

    policy: HealthPolicy = field(default_factory=lambda: read_health_policy(""))
    life: Life = field(default_factory=Life)
    policy_id: str = "default"
    policy_revision: int = 0
    instance_id: str = ""
    cache_dir: Path | None = None


def make_health_app(cluster: Cluster, settings: HealthSettings | None = None, **app_settings: Any) -> faust.App:
    """Make the Faust app of a health worker; `run_worker(app)` runs it."""
    settings = settings or HealthSettings()
    app = make_app(cluster.named(GROUP), cluster.bootstrap, instance_id=settings.instance_id, **app_settings)
    service = _HealthService(cluster, settings)

    @app.agent(bulk_topic(app, *map(cluster.named, (HEALTH, SAMPLES, LABELS))))
    async def watch_health(deliveries: Any) -> None:
        """Turn what gateways say of their models into alerts; the judging is the panel's."""
        await service.open()
        async for run in accepted_runs(deliveries):
            await service.work(run)

    return app


class _Partition:
    """State of one partition number, over the three topics that share their keys."""

    def __init__(self, settings: HealthSettings) -> None:
        self.panel = HealthPanel(settings.policy)
        self.join = LabelJoin(wait_ms=settings.policy.label_wait_ms, most=settings.policy.most_waiting)
        self.alerting = Alerting(settings.life, policy_id=settings.policy_id, policy_revision=settings.policy_revision)

    def take(self, topic: str, record: Any) -> list[Finding]:
        if topic == HEALTH:
            return self.panel.judge(record)
        outcome = self.join.predicted(record) if topic == SAMPLES else self.join.labelled(record)
        return [] if outcome is None else self.panel.outcome(outcome)


class _HealthService:
    """What joins runs, panels and topics."""

    def __init__(self, cluster: Cluster, settings: HealthSettings) -> None:
        self._cluster, self._settings = cluster, settings
        self._partitions: dict[int, _Partition] = {}
        self._producer = BatchProducer(cluster.bootstrap, settings=dict(cluster.security))
        self._contract: Contract | None = None

    async def open(self) -> None:
        if self._contract is None:
            self._contract = await asyncio.to_thread(
                Contract.connect, self._cluster, cache_dir=self._settings.cache_dir
            )

    async def work(self, run: Run) -> None:
        """Judge a run and publish what came of it; returns when Kafka has all of it."""
        if not run.follows and run.topic == self._cluster.named(HEALTH):
            self._partitions[run.partition] = _Partition(self._settings)
        records = await self._decoded(run)
        await self._producer.deliver(await asyncio.to_thread(lambda: list(self._judged(run, records))))

    async def _decoded(self, run: Run) -> list[Any]:
        """Return the run's records, with the error in place of a bad one; while the registry is away, wait."""
        while True:
            try:
                return await asyncio.to_thread(lambda: list(self._decode(run)))
            except RegistryAwayError as away:
                log.warning("registry away: partition=%d offset=%d %s", run.partition, run.start, away)
                await asyncio.sleep(_ASK_AGAIN_S)

    def _decode(self, run: Run) -> Iterator[Any]:
        topic = self._name(run)
        for key, value in zip(run.keys, run.values, strict=True):
            try:
                yield self._known.decode(topic, key, value or b"")
            except BadRecordError as bad:
                yield bad

    def _judged(self, run: Run, records: list[Any]) -> Iterator[Outgoing]:
        partition = self._partitions.setdefault(run.partition, _Partition(self._settings))
        topic = self._name(run)
        for position, record in enumerate(records):
            if isinstance(record, BadRecordError):
                letter = dead_letter(run, position, str(record), source_topic=topic, found_by=WHO, now_ms=_now_ms())
                yield self._outgoing("dead-letters", letter)
                continue
            for alert in partition.alerting.changes(partition.take(topic, record)):
                log.info("alert changed: %s state=%s", alert.summary, alert.state.value)
                yield from self._told(alert, run.partition)

    def _name(self, run: Run) -> str:
        return run.topic.removeprefix(self._cluster.prefix)

    def _told(self, alert: DriftAlert, partition: int) -> Iterator[Outgoing]:
        yield self._outgoing("drift.alerts", alert, partition=partition)
        yield self._outgoing("audit.log", audited(alert, who=WHO))

    @property
    def _known(self) -> Contract:
        assert self._contract is not None  # noqa: S101  (`open` comes first)
        return self._contract

    def _outgoing(self, topic: str, record: Any, *, partition: int = -1) -> Outgoing:
        key, value = self._known.encode(topic, record)
        return Outgoing(self._cluster.named(topic), key, value, partition=partition)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
