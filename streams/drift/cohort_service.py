"""The cohort worker: cohorts are judged as one, and alerts of many devices with one cause become one.

Which cohorts are whose follows from the partitions of the cohorts' topic that the group assigns. Each worker follows
all alerts; what else it must know of a cohort that it takes over is in the log of shares.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faust
from confluent_kafka import KafkaException

from schemas import feeds
from schemas.catalogue import topic_named
from schemas.cluster import Cluster
from schemas.drift_alert import DriftAlert
from schemas.errors import RegistryAwayError
from schemas.operators import OperatorRequest
from schemas.partition import partition_of
from schemas.wire import Contract
from streams.drift.alerts import audited
from streams.drift.cohort_log import TOPIC as PANES
from streams.drift.cohort_log import WHO, OpenedShares, ShareMetrics, fold, open_shares, take_all
from streams.drift.cohort_merger import LIVE, OF_COHORTS, Found, Merger
from streams.drift.grouping import OWN, Groups
from streams.drift.known import Known
from streams.drift.operators import Operators
from streams.drift.policy import InForce, PolicyFeed, Refused, Wanted
from streams.drift.replay import newest_offsets
from streams.kafka import BatchProducer, Outgoing, Run, accepted_runs, bulk_topic, figures, make_app
from trust import Keyring

__all__ = ["CohortService", "CohortSettings", "make_cohort_app"]

log = logging.getLogger(__name__)

GROUP = "driftline-cohorts"
ALERTS = "drift.alerts"
_WRITTEN = ("drift.scores", ALERTS, "audit.log", "dead-letters")
_LOOK_EVERY_S, _ASK_AGAIN_S = 1.0, 0.1
# What the broker has stamped by now may still be on its way to its log.
_ON_ITS_WAY_MS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortSettings:
    """How one cohort worker runs."""

    # Its `cohorts` say by which labels devices are grouped, its `alerts.group_from` from how many on.
    policy: InForce = field(default_factory=InForce)
    follow: str = "default"
    # Without one, signed policies are not followed.
    keyring: Keyring | None = None
    # How long a pane waits, after its first share, for those of other partitions.
    settle_s: float = 60.0
    wait_for_baseline_s: float = 30.0
    instance_id: str = ""
    cache_dir: Path | None = None


def make_cohort_app(cluster: Cluster, settings: CohortSettings | None = None, **app_settings: Any) -> faust.App:
    """Make the Faust app of a cohort worker; `run_worker(app)` runs it."""
    settings = settings or CohortSettings()
    app = make_app(
        cluster.named(GROUP),
        cluster.bootstrap,
        instance_id=settings.instance_id,
        security=cluster.security,
        **app_settings,
    )

    def fronts() -> Mapping[int, int]:
        """By partition of the cohorts' topic that is this worker's: up to where all is done."""
        consumer: Any = app.consumer
        return {} if consumer is None else {one.partition: one.front for one in consumer.standings()}

    service = CohortService(cluster, settings, fronts, ShareMetrics(figures(app).registry))

    @app.agent(bulk_topic(app, cluster.named(PANES)))
    async def watch_panes(deliveries: Any) -> None:
        """Own cohorts: the topic's partitions say which, and its records what they saw."""
        try:
            await service.open()
            async for run in accepted_runs(deliveries):
                await service.work(run)
        finally:
            service.close()

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
        """Judge and group as is signed and published."""
        await service.follow_policy()

    @app.task  # type: ignore[untyped-decorator]
    async def look() -> None:
        """Judge what is due, and tell what has changed of the cohorts that are this worker's."""
        while not app.should_stop:
            await service.tell()
            await asyncio.sleep(_LOOK_EVERY_S)

    return app


@dataclass
class _Held:
    """The cohorts of one partition, and how far their shares were read."""

    merger: Merger
    next_offset: int


class CohortService:
    """What joins shares, alerts, groups and topics."""

    def __init__(
        self,
        cluster: Cluster,
        settings: CohortSettings,
        fronts: Callable[[], Mapping[int, int]],
        metrics: ShareMetrics,
    ) -> None:
        self.cluster, self.settings, self.metrics = cluster, settings, metrics
        self._fronts = fronts
        self._policies = PolicyFeed(
            cluster, settings.follow, Wanted(settings.policy, settings.keyring), cache_dir=settings.cache_dir
        )
        self._operators = Operators(cluster)
        self._alerts: dict[str, DriftAlert] = {}
        # The last acknowledgement of each alert, for cohorts that are taken over later.
        self._asked: dict[str, OperatorRequest] = {}
        self._groups = Groups(settings.policy)
        self._held: dict[int, _Held] = {}
        self._waited_for: set[str] = set()
        self._current = asyncio.Event()
        self._turn = asyncio.Lock()
        self._producer = BatchProducer(cluster.bootstrap, settings=dict(cluster.security))
        self._contract: Contract | None = None
        self._references: Known | None = None
        self._tables = ExitStack()

    async def open(self) -> None:
        """Learn what is known by now: alerts, silences, the policy that counts, grids and baselines."""
        for event in self._awaited():
            await event.wait()
        async with self._turn:
            await self._known()
            if self._references is None:
                self._references = await asyncio.to_thread(self._open_references)

    def close(self) -> None:
        """Follow grids and baselines no longer, until `open` is called again."""
        self._tables.close()
        self._references = None

    async def work(self, run: Run) -> None:
        """Take in shares and publish what came of it; returns when Kafka has all of it."""
        async with self._turn:
            self._take_up_policy()
            held = self._held.get(run.partition)
            if held is None or held.next_offset < run.start:
                held = await self._take_over(run.partition, run.start)
            fresh = run.between(held.next_offset, run.end)
            opened = await self._opened(fresh)
            before = held.merger.late
            found, bad = await asyncio.to_thread(take_all, held.merger, fresh, opened, now_ms=_now_ms())
            held.next_offset = max(run.end, held.next_offset)
            self.metrics.took(len(opened.shares), late=held.merger.late - before, bad=len(opened.dead) + len(bad))
            await self._publish_found(found)
            await self._deliver("dead-letters", [*opened.dead, *bad])

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
            async with self._turn:
                contract = await self._known()
            await self._policies.follow(contract, self._refused)

    async def tell(self) -> None:
        """Publish what has changed of cohorts that are this worker's, once all of the past is known."""
        if not all(event.is_set() for event in self._awaited()):
            return
        async with self._turn:
            self._take_up_policy()
            self._groups.silences = self._operators.silences
            await self._publish(self._groups.changes(self._is_mine))
        if self._references is not None:
            await self._judge_what_is_due()

    async def _judge_what_is_due(self) -> None:
        """Judge panes where no share comes to remind of it, once all shares that came were taken in."""
        now_ms = _now_ms() - _ON_ITS_WAY_MS
        due: dict[int, _Held] = {}
        for number, front in self._fronts().items():
            # Of a partition of which nothing was ever done, nothing is known.
            if not front and number not in self._held:
                continue
            async with self._turn:
                held = self._held.get(number)
                if held is None or held.next_offset < front:
                    held = await self._take_over(number, front)
            if held.merger.is_due(now_ms):
                due[number] = held
        try:
            ends = await asyncio.to_thread(newest_offsets, self.cluster, PANES, due)
        except KafkaException as why:
            log.warning("cohorts not judged yet: why=%s", why)
            return
        for number, held in due.items():
            async with self._turn:
                if self._held.get(number) is held and held.next_offset >= ends[number]:
                    await self._publish_found(await asyncio.to_thread(held.merger.pass_time, now_ms))

    def _awaited(self) -> list[asyncio.Event]:
        ready = [self._current, self._operators.current]
        return ready if self.settings.keyring is None else [*ready, self._policies.current]

    def _is_mine(self, cohort: str) -> bool:
        return partition_of(cohort, topic_named(PANES).partitions) in self._fronts()

    async def _heed(self, request: OperatorRequest, is_news: bool) -> None:
        await self._current.wait()
        async with self._turn:
            mine = self._fronts()
            if request.action == "acknowledge":
                self._asked[request.subject] = request
            for number, held in self._held.items():
                held.merger.silences = self._operators.silences
                changed = held.merger.each_book(lambda book: self._operators.heed(book, request))
                if number in mine:
                    await self._publish(changed)
            kind, _, name = request.subject.partition("/")
            if request.action == "acknowledge" and kind == "alert" and name.startswith(OWN):
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
            for held in self._held.values():
                held.merger.take_up(wanted)

    async def _take_over(self, number: int, offset: int) -> _Held:
        """Bring the cohorts of a partition to an offset, and tell what nobody told."""
        assert self._references is not None  # noqa: S101  (`open` comes first)
        merger = Merger(self._groups.policy, settle_ms=int(self.settings.settle_s * 1000))
        merger.silences = self._operators.silences
        contract = await self._known()
        folded = await asyncio.to_thread(fold, merger, self.cluster, number, offset, contract, self._references)
        for alert in list(self._alerts.values()):
            is_ours = alert.alert_id.startswith(OF_COHORTS) and alert.state in LIVE
            if is_ours and partition_of(alert.subject, topic_named(PANES).partitions) == number:
                merger.remember(alert)
        found = merger.each_book(lambda book: list(book.alerts()))
        await self._publish([one for one in found if one.state in LIVE and one.alert_id not in self._alerts])
        await self._publish([heard for one in found if (heard := self._heard(merger, one)) is not None])
        log.info("cohorts taken up: partition=%d offset=%d folded=%d", number, offset, folded)
        held = self._held[number] = _Held(merger, offset)
        return held

    def _heard(self, merger: Merger, alert: DriftAlert) -> DriftAlert | None:
        """Acknowledge what somebody asked for while nobody had the cohort."""
        request = self._asked.get(f"alert/{alert.alert_id}")
        if request is None or request.at_ms < alert.changed_ms:
            return None
        book = merger.book_of(alert.subject, alert.model_id)
        return book.acknowledge(alert.alert_id, request.who, request.at_ms)

    async def _opened(self, run: Run) -> OpenedShares:
        """Open a run; what it lacks is waited for, once and not for ever."""
        assert self._references is not None  # noqa: S101  (`open` comes first)
        contract, give_up_s = await self._known(), time.monotonic() + self.settings.wait_for_baseline_s
        while True:
            try:
                opened = await asyncio.to_thread(open_shares, contract, run, self._references, now_ms=_now_ms())
            except RegistryAwayError as why:
                log.warning("registry away: partition=%d why=%s", run.partition, why)
            else:
                news = opened.waiting - self._waited_for
                if not news:
                    return opened
                if time.monotonic() >= give_up_s:
                    self._waited_for |= news
                    return opened
            await asyncio.sleep(_ASK_AGAIN_S)

    async def _publish_found(self, found: Found) -> None:
        # Scores before alerts: whoever opens an alert finds its evidence already there.
        await self._deliver("drift.scores", found.scores)
        await self._publish(found.alerts)

    async def _publish(self, alerts: Sequence[DriftAlert]) -> None:
        for alert in alerts:
            log.info("alert changed: %s state=%s", alert.summary, alert.state.value)
            self._alerts[alert.alert_id] = alert
            await self._deliver(ALERTS, [alert], partition_of(alert.alert_id, topic_named(ALERTS).partitions))
        await self._deliver("audit.log", [audited(alert, who=WHO) for alert in alerts])

    async def _deliver(self, topic: str, records: Sequence[Any], partition: int = -1) -> None:
        if not records:
            return
        contract, name = await self._known(), self.cluster.named(topic)
        encoded = await asyncio.to_thread(lambda: [contract.encode(topic, record) for record in records])
        await self._producer.deliver([Outgoing(name, key, value, partition=partition) for key, value in encoded])

    async def _known(self) -> Contract:
        if self._contract is None:
            self._contract = await asyncio.to_thread(self._connect)
        return self._contract

    def _connect(self) -> Contract:
        contract = Contract.connect(self.cluster, cache_dir=self.settings.cache_dir)
        contract.register_all((PANES, *_WRITTEN))
        return contract

    def _open_references(self) -> Known:
        grids = self._tables.enter_context(feeds.table(self.cluster, "models.grids"))
        baselines = self._tables.enter_context(feeds.table(self.cluster, "models.baselines"))
        grids.wait_until_current()
        baselines.wait_until_current()
        return Known(grids, baselines)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
