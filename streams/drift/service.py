"""The drift worker: feature statistics in, scores and alerts out."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import faust
from confluent_kafka import KafkaException

from schemas import feeds
from schemas.catalogue import topic_named
from schemas.cluster import Cluster
from schemas.drift_alert import DriftAlert
from schemas.drift_scores import CohortPane
from schemas.operators import OperatorRequest
from schemas.partition import partition_of
from schemas.tracing import span
from schemas.wire import Contract
from streams.drift.alerts import AlertBook, audited, silence_audited
from streams.drift.desk import SOURCE, Opened, open_run
from streams.drift.known import Known
from streams.drift.labels import Labels, names_that_matter
from streams.drift.metrics import Metrics
from streams.drift.operators import Operators
from streams.drift.partition import Outcome
from streams.drift.policy import InForce, PolicyFeed, Refused, Wanted, note_applied, untold
from streams.drift.replay import newest_offsets
from streams.drift.requests import is_about_silence
from streams.drift.restoring import ROLLUPS, Held, Restorer
from streams.drift.traces import windows_by_device
from streams.drift.vault import TOPIC as CHECKPOINTS
from streams.kafka import BatchProducer, Outgoing, Run, accepted_runs, bulk_topic, figures, make_app
from trust import Keyring

__all__ = ["DriftService", "DriftSettings", "make_drift_app"]

log = logging.getLogger(__name__)

WHO = "drift worker"
GROUP = "driftline-drift"
# Topics whose schemas must be known before the first run is worked on.
_WRITTEN = (
    "drift.scores", "drift.alerts", "drift.cohort-panes", "drift.policy-applied", ROLLUPS, CHECKPOINTS, "audit.log",
    "dead-letters",
)  # fmt: skip
_ASK_AGAIN_S = 0.1
_LOOK_EVERY_S = 1.0
# What the broker has stamped by now may still be on its way to its log.
_ON_ITS_WAY_MS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSettings:
    """How one drift worker runs."""

    # Counts while no signed policy of the name that is followed does.
    policy: InForce = field(default_factory=InForce)
    follow: str = "default"
    # Without one, signed policies are not followed.
    keyring: Keyring | None = None
    # How long a run waits for a grid or a baseline that is not known yet.
    wait_for_baseline_s: float = 30.0
    checkpoint_every_s: float = 60.0
    instance_id: str = ""
    max_run_records: int = 2000
    cache_dir: Path | None = None
    # What time it is where nothing arrives to tell.
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000


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
        security=cluster.security,
        **app_settings,
    )

    def fronts() -> Mapping[int, int]:
        """By partition that is this worker's: up to where all is done."""
        consumer: Any = app.consumer
        return {} if consumer is None else {one.partition: one.front for one in consumer.standings()}

    service = DriftService(cluster, settings, fronts, Metrics(figures(app).registry))

    @app.agent(bulk_topic(app, cluster.named(SOURCE)))
    async def watch_drift(deliveries: Any) -> None:
        """Turn feature statistics into scores and alerts; the judging is the partition's."""
        try:
            await service.open()
            async for run in accepted_runs(deliveries):
                await service.work(run)
        finally:
            service.close()

    @app.task  # type: ignore[untyped-decorator]
    async def heed_operators() -> None:
        """Acknowledge and silence alerts as operators ask."""
        await service.heed_operators()

    @app.task  # type: ignore[untyped-decorator]
    async def follow_policy() -> None:
        """Judge by what is signed and published, from the next run on."""
        await service.follow_policy()

    @app.task  # type: ignore[untyped-decorator]
    async def follow_labels() -> None:
        """Know the labels of devices."""
        await service.labels.follow(cluster)

    @app.task  # type: ignore[untyped-decorator]
    async def mind_time() -> None:
        """Do what time asks for where no window comes to remind of it."""
        while not app.should_stop:
            await service.mind_time()
            await asyncio.sleep(_LOOK_EVERY_S)

    return app


class DriftService:
    """What joins runs, partitions and topics."""

    def __init__(
        self, cluster: Cluster, settings: DriftSettings, fronts: Callable[[], Mapping[int, int]], metrics: Metrics
    ) -> None:
        self.cluster, self.settings = cluster, settings
        self.held: dict[int, Held] = {}
        self.metrics = metrics
        self.labels = Labels()
        self._fronts = fronts
        self._is_open = False
        self._policies = PolicyFeed(
            cluster, settings.follow, Wanted(settings.policy, settings.keyring), cache_dir=settings.cache_dir
        )
        self._operators = Operators(cluster)
        # Runs and requests take turns: both change the alerts.
        self._turn = asyncio.Lock()
        self._producer = BatchProducer(cluster.bootstrap, settings=dict(cluster.security))
        self._waited_for: set[str] = set()
        # Until whoever answers for them has told of them.
        self._refusals: list[Refused] = []
        self._contract: Contract | None = None
        self._known: Known | None = None
        self._tables = ExitStack()

    def close(self) -> None:
        """Follow grids and baselines no longer, until `open` is called again."""
        self._is_open = False
        self._tables.close()
        self._known = None

    async def open(self) -> None:
        """Learn what is known by now: grids and baselines, labels, silences, and the policy that counts."""
        await self._connect()
        await self._operators.current.wait()
        await self.labels.current.wait()
        if self.settings.keyring is not None:
            await self._policies.current.wait()
        self._is_open = True

    async def work(self, run: Run) -> None:
        """Judge a run and publish what came of it; returns when Kafka has all of it."""
        async with self._turn:
            await self._work(run)

    async def heed_operators(self) -> None:
        """Follow what operators ask, for as long as the worker runs."""
        await self._connect()
        await self._operators.follow(self._heed)

    async def follow_policy(self) -> None:
        """Follow the signed policy, for as long as the worker runs."""
        if self.settings.keyring is not None:
            await self._connect()
            await self._policies.follow(self._contract_known, self._refused)

    async def mind_time(self) -> None:
        """Let alerts grow old and tell shares of cohorts, of partitions on which all that arrived was judged."""
        now_ms, due = self.settings.clock_ms() - _ON_ITS_WAY_MS, dict[int, Held]()
        for number, front in self._fronts().items() if self._is_open else ():
            # Of a partition of which nothing was ever done, nothing is known.
            if not front and number not in self.held:
                continue
            async with self._turn:
                held = await self._taken_up(number, front)
            if held.partition.is_due(now_ms):
                due[number] = held
        await self._tell_refused()
        try:
            ends = await asyncio.to_thread(newest_offsets, self.cluster, SOURCE, due)
        except KafkaException as why:
            log.warning("not known whether all is judged: why=%s", why)
            return
        for number, held in due.items():
            async with self._turn:
                if self.held.get(number) is held and held.next_offset >= ends[number]:
                    aged = held.partition.pass_time(now_ms)
                    await self._tell(held.partition.tell(now_ms, self.labels.all, number=number))
                    await self._producer.deliver(await asyncio.to_thread(self._told, number, aged))

    async def _tell(self, shares: list[CohortPane]) -> None:
        self.metrics.shares.inc(len(shares))
        await self._producer.deliver([self._outgoing("drift.cohort-panes", share) for share in shares])

    async def _connect(self) -> None:
        async with self._turn:
            if self._known is None:
                await asyncio.to_thread(self._open)

    async def _heed(self, request: OperatorRequest, is_news: bool) -> None:
        async with self._turn:
            for number, held in self.held.items():
                changed = self._operators.heed(held.partition.book, request)
                if changed:
                    await self._producer.deliver(await asyncio.to_thread(self._told, number, changed))
                    # The log that a restore folds knows nothing of requests; the next checkpoint must.
                    held.kept_s = -math.inf
            if is_news and is_about_silence(request) and self._answers(request.subject):
                await self._producer.deliver([self._outgoing("audit.log", silence_audited(request))])

    def _answers(self, subject: str) -> bool:
        """Say whether this worker, and no other of its group, tells what became of a request to them all."""
        return partition_of(subject, topic_named(SOURCE).partitions) in self._fronts()

    async def _refused(self, refused: Refused) -> None:
        self._refusals.append(refused)

    async def _tell_refused(self) -> None:
        """Tell of policies that were refused, if this worker answers for them and nobody has told yet."""
        mine = [one for one in self._refusals if self._answers(one.policy_id)]
        for one in await asyncio.to_thread(untold, self.cluster, mine):
            now_ms = _now_ms()
            letter, entry = one.dead_letter(who=WHO, now_ms=now_ms), one.audit_entry(who=WHO, now_ms=now_ms)
            await self._producer.deliver([self._outgoing("dead-letters", letter), self._outgoing("audit.log", entry)])
        self._refusals = [one for one in self._refusals if one not in mine]

    async def _work(self, run: Run) -> None:
        held = await self._taken_up(run.partition, run.start)
        fresh = run.between(held.next_offset, run.end)
        parts = self._restorer().parts_of(run.partition, fresh, held)
        # The change of a policy may have to read the log again.
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            await self._note(run.partition, held)
            if part.offsets:
                await self._judge(part, held)
        held.next_offset = max(run.end, held.next_offset)
        if held.is_due(self.settings.checkpoint_every_s):
            await self._keep(run, held)

    async def _taken_up(self, number: int, offset: int) -> Held:
        """Return the state of a partition at an offset, or further on."""
        held = self.held.get(number)
        if held is None or held.next_offset < offset:
            held = self.held[number] = await asyncio.to_thread(self._restored, number, offset)
        return held

    async def _judge(self, run: Run, held: Held) -> None:
        self.labels.matter(names_that_matter(held.policy.rules))
        opened = await self._opened(run)
        aged = held.pass_time(run)
        await self._tell(await asyncio.to_thread(held.tell, run, self.labels.all))
        started_s = time.monotonic()
        outcome = await asyncio.to_thread(held.partition.work, opened.stretches)
        self.metrics.judged(run.partition, outcome, seconds=time.monotonic() - started_s)
        self.metrics.bad(len(opened.dead))
        # Scores before alerts: whoever opens an alert finds its evidence already there.
        await self._producer.deliver(await asyncio.to_thread(self._evidence, run, opened, outcome))
        await self._producer.deliver(await asyncio.to_thread(self._told, run.partition, [*aged, *outcome.alerts], run))

    async def _note(self, number: int, held: Held) -> None:
        """Say from which record on another policy counts, before anything is told that follows from it."""
        applied = [
            note_applied(policy, topic=SOURCE, partition=number, offset=offset, at_ms=_now_ms())
            for offset, policy in held.counting.take_unnoted()
        ]
        await self._producer.deliver([self._outgoing("drift.policy-applied", one) for one in applied])

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
        contract.register_all((SOURCE, *_WRITTEN))
        grids = self._tables.enter_context(feeds.table(cluster, "models.grids"))
        baselines = self._tables.enter_context(feeds.table(cluster, "models.baselines"))
        grids.wait_until_current()
        baselines.wait_until_current()
        self._contract, self._known = contract, Known(grids, baselines)

    def _open_run(self, run: Run) -> Opened:
        assert self._known is not None  # noqa: S101  (`open` comes first)
        return open_run(self._contract_known, run, self._known, self.labels.mattering, now_ms=_now_ms())

    def _restorer(self) -> Restorer:
        assert self._known is not None  # noqa: S101  (`open` comes first)
        return Restorer(
            cluster=self.cluster,
            wanted=self._policies.wanted,
            known=self._known,
            open_run=self._open_run,
            furnish=self._furnish,
        )

    def _restored(self, number: int, offset: int) -> Held:
        started_s, restorer = time.monotonic(), self._restorer()
        held = restorer.restored(number, offset)
        seconds = time.monotonic() - started_s
        self.metrics.restored(seconds)
        log.info(
            "partition taken up: partition=%d offset=%d folded=%d seconds=%.1f",
            number, offset, restorer.folded, seconds,
        )  # fmt: skip
        return held

    def _furnish(self, book: AlertBook) -> None:
        self._operators.silence_all(book)
        book.labels = self.labels.all

    def _evidence(self, run: Run, opened: Opened, outcome: Outcome) -> list[Outgoing]:
        return [
            *(self._outgoing("drift.scores", record) for record in outcome.scores),
            *(self._outgoing(ROLLUPS, record, partition=run.partition) for record in outcome.rollups),
            *(self._outgoing("dead-letters", record) for record in opened.dead),
        ]

    def _told(self, partition: int, alerts: list[DriftAlert], run: Run | None = None) -> list[Outgoing]:
        told = []
        windows = windows_by_device(run) if alerts else {}
        for alert in alerts:
            about = {"alert": alert.alert_id, "state": alert.state.value}
            with span("tell of an alert", about, links=windows.get(alert.subject, ())) as trace:
                told.append(replace(self._outgoing("drift.alerts", alert, partition=partition), headers=trace))
                told.append(self._outgoing("audit.log", audited(alert, who=WHO)))
        return told

    @property
    def _contract_known(self) -> Contract:
        assert self._contract is not None  # noqa: S101  (`open` comes first)
        return self._contract

    def _outgoing(self, topic: str, record: Any, *, partition: int = -1) -> Outgoing:
        assert self._contract is not None  # noqa: S101
        key, value = self._contract.encode(topic, record)
        return Outgoing(self.cluster.named(topic), key, value, partition=partition)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
