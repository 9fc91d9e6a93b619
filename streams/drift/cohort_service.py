"""The cohort worker: alerts of many devices with one cause become one alert of their cohort.

Each worker follows all alerts; which cohorts are whose follows from the partitions of the cohorts' topic that its
group assigns it. So whoever takes a cohort over knows all of it already.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faust
from faust.types import TP

from schemas import feeds
from schemas.catalogue import topic_named
from schemas.cluster import Cluster
from schemas.drift_alert import DriftAlert
from schemas.operators import OperatorRequest
from schemas.partition import partition_of
from schemas.wire import Contract
from streams.drift.alerts import audited
from streams.drift.grouping import OWN, Groups
from streams.drift.operators import Operators
from streams.drift.policy import InForce, PolicyFeed, Refused, Wanted
from streams.kafka import BatchProducer, Outgoing, accepted_runs, bulk_topic, make_app
from trust import Keyring

__all__ = ["CohortService", "CohortSettings", "make_cohort_app"]

log = logging.getLogger(__name__)

WHO = "cohort worker"
GROUP = "driftline-cohorts"
PANES, ALERTS = "drift.cohort-panes", "drift.alerts"
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortSettings:
    """How one cohort worker runs."""

    # Its `cohorts` say by which labels devices are grouped, its `alerts.group_from` from how many on.
    policy: InForce = field(default_factory=InForce)
    follow: str = "default"
    # Without one, signed policies are not followed.
    keyring: Keyring | None = None
    instance_id: str = ""
    cache_dir: Path | None = None


def make_cohort_app(cluster: Cluster, settings: CohortSettings | None = None, **app_settings: Any) -> faust.App:
    """Make the Faust app of a cohort worker; `run_worker(app)` runs it."""
    settings = settings or CohortSettings()
    app = make_app(cluster.named(GROUP), cluster.bootstrap, instance_id=settings.instance_id, **app_settings)

    def is_mine(cohort: str) -> bool:
        number = partition_of(cohort, topic_named(PANES).partitions)
        return app.consumer is not None and TP(cluster.named(PANES), number) in app.consumer.assignment()

    service = CohortService(cluster, settings, is_mine)

    @app.agent(bulk_topic(app, cluster.named(PANES)))
    async def watch_panes(deliveries: Any) -> None:
        """Own cohorts; the topic's partitions say which."""
        async for _ in accepted_runs(deliveries):
            pass

    @app.task  # type: ignore[untyped-decorator]
    async def follow_alerts() -> None:
        """Know every alert."""
        await service.follow_alerts()

    @app.task  # type: ignore[untyped-decorator]
    async def heed_operators() -> None:
        """Acknowledge and silence as operators ask."""
        await service.heed_operators()

    @app.task  # type: ignore[untyped-decorator]
    async def follow_policy() -> None:
        """Group as is signed and published."""
        await service.follow_policy()

    @app.timer(_LOOK_EVERY_S)  # type: ignore[untyped-decorator]
    async def look() -> None:
        """Tell what has changed of the cohorts that are this worker's."""
        await service.tell()

    return app


class CohortService:
    """What joins alerts, groups and topics."""

    def __init__(self, cluster: Cluster, settings: CohortSettings, is_mine: Callable[[str], bool]) -> None:
        self.cluster, self.settings = cluster, settings
        self._is_mine = is_mine
        self._policies = PolicyFeed(
            cluster, settings.follow, Wanted(settings.policy, settings.keyring), cache_dir=settings.cache_dir
        )
        self._operators = Operators(cluster)
        self._alerts: dict[str, DriftAlert] = {}
        self._groups = Groups(settings.policy)
        self._current = asyncio.Event()
        self._turn = asyncio.Lock()
        self._producer = BatchProducer(cluster.bootstrap, settings=dict(cluster.security))
        self._contract: Contract | None = None

    async def follow_alerts(self) -> None:
        """Follow all alerts, for as long as the worker runs."""
        async with feeds.read_async(self.cluster, ALERTS, cache_dir=self.settings.cache_dir) as feed:
            async for event in feed:
                match event:
                    case feeds.CaughtUp():
                        self._current.set()
                    case feeds.Changed(key=key, value=alert):
                        self._alerts[key] = alert
                        self._groups.take(alert)
                    case feeds.Deleted(key=key):
                        self._alerts.pop(key, None)

    async def heed_operators(self) -> None:
        """Follow what operators ask, for as long as the worker runs."""
        await self._operators.follow(self._heed)

    async def follow_policy(self) -> None:
        """Follow the signed policy, for as long as the worker runs."""
        if self.settings.keyring is not None:
            await self._policies.follow(await self._known(), self._refused)

    async def tell(self) -> None:
        """Publish what has changed of cohorts that are this worker's, once all of the past is known."""
        ready = [self._current, self._operators.current]
        if self.settings.keyring is not None:
            ready.append(self._policies.current)
        if not all(event.is_set() for event in ready):
            return
        async with self._turn:
            self._take_up_policy()
            self._groups.silences = self._operators.silences
            await self._publish(self._groups.changes(self._is_mine))

    async def _heed(self, request: OperatorRequest, is_news: bool) -> None:
        kind, _, name = request.subject.partition("/")
        if request.action != "acknowledge" or kind != "alert" or not name.startswith(OWN):
            return
        await self._current.wait()
        async with self._turn:
            heard = self._groups.acknowledge(name, request.who, request.at_ms)
            if heard is not None and self._is_mine(heard.subject):
                await self._publish([heard])

    async def _refused(self, refused: Refused) -> None:
        # The drift worker, which follows the same policies, keeps the letter and the audit log's entry.
        log.warning("policy refused: policy=%s offset=%d why=%s", refused.policy_id, refused.offset, refused.why)

    def _take_up_policy(self) -> None:
        wanted = self._policies.wanted.after(self._groups.policy)
        if wanted != self._groups.policy:
            self._groups = Groups(wanted)
            for alert in self._alerts.values():
                self._groups.take(alert)

    async def _publish(self, alerts: list[DriftAlert]) -> None:
        if not alerts:
            return
        contract = await self._known()
        outgoing = []
        for alert in alerts:
            log.info("alert changed: %s state=%s", alert.summary, alert.state.value)
            number = partition_of(alert.alert_id, topic_named(ALERTS).partitions)
            for topic, record, partition in ((ALERTS, alert, number), ("audit.log", audited(alert, who=WHO), -1)):
                key, value = await asyncio.to_thread(contract.encode, topic, record)
                outgoing.append(Outgoing(self.cluster.named(topic), key, value, partition=partition))
        await self._producer.deliver(outgoing)

    async def _known(self) -> Contract:
        if self._contract is None:
            self._contract = await asyncio.to_thread(
                Contract.connect, self.cluster, cache_dir=self.settings.cache_dir
            )  # fmt: skip
        return self._contract
