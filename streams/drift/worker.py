"""What joins runs of feature statistics, the partitions that judge them, and the topics that are told."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from schemas.catalogue import topic_named
from schemas.cluster import Cluster
from schemas.dead_letter import DeadLetter
from schemas.drift_alert import DriftAlert
from schemas.drift_scores import CohortPane
from schemas.errors import RegistryAwayError
from schemas.operators import OperatorRequest
from schemas.partition import partition_of
from streams.drift.alert_audit import silence_audited
from streams.drift.alert_news import ALERTS, news_of
from streams.drift.alerts import AlertBook
from streams.drift.desk import SOURCE, Opened, open_run
from streams.drift.heeding import heeded
from streams.drift.holdings import Holdings
from streams.drift.known import Known, following
from streams.drift.labels import Labels, names_that_matter
from streams.drift.metrics import Metrics
from streams.drift.operators import Operators
from streams.drift.partition import Outcome
from streams.drift.patience import ASK_AGAIN_S, Patience
from streams.drift.policy import PolicyFeed, Refused, note_applied, told_of
from streams.drift.requests import is_about_silence
from streams.drift.restoring import ROLLUPS, Held, Restorer
from streams.drift.time_passing import ON_ITS_WAY_MS, due_partitions
from streams.drift.traces import windows_by_device
from streams.drift.vault import TOPIC as CHECKPOINTS
from streams.drift.writing import written
from streams.kafka import Handed, Outbox, Outgoing, Run

__all__ = ["DriftWorker"]

WHO = "drift worker"
# Topics whose schemas must be known before the first run is worked on.
_TOPICS = (
    SOURCE, "drift.scores", ALERTS, "drift.cohort-panes", "drift.policy-applied", ROLLUPS, CHECKPOINTS, "audit.log",
    "dead-letters",
)  # fmt: skip


class DriftWorker:
    """Works on runs as they wait; `fronts` says which partitions are the worker's, and how far each is done."""

    def __init__(
        self,
        cluster: Cluster,
        policies: PolicyFeed,
        fronts: Callable[[], Mapping[int, int]],
        metrics: Metrics,
        *,
        wait_for_baseline_s: float,
        checkpoint_every_s: float,
        cache_dir: Path | None,
    ) -> None:
        self._cluster, self._policies, self._fronts, self._metrics = cluster, policies, fronts, metrics
        self._checkpoint_every_s = checkpoint_every_s
        self.labels = Labels()
        self._holdings = Holdings(self._restorer, metrics)
        self._is_open = False
        self._operators = Operators(cluster)
        self._outbox = Outbox(cluster, _TOPICS, cache_dir=cache_dir)
        # What is on its way to Kafka; while it is, the next runs are judged.
        self._telling: asyncio.Task[None] | None = None
        self._patience = Patience(wait_for_baseline_s)
        # Until whoever answers for them has told of them.
        self._refusals: list[Refused] = []
        self._known: Known | None = None
        self._tables = ExitStack()

    def close(self) -> None:
        """Follow grids and baselines no longer, until `open` is called again."""
        self._is_open = False
        self._tables.close()
        self._known = None

    async def open(self) -> None:
        """Learn what is known by now: grids and baselines, labels, silences, and the policy that counts."""
        self._telling = None
        await self._outbox.connect()
        if self._known is None:
            self._known = await asyncio.to_thread(self._tables.enter_context, following(self._cluster))
        await self._operators.current.wait()
        await self.labels.current.wait()
        if self._policies.is_followed:
            await self._policies.current.wait()
        self._is_open = True

    async def work(self, handed: Handed, telling: asyncio.TaskGroup) -> None:
        """Judge runs; what came of them is told by a task of its own, after all that came before them."""
        async with self._holdings.turn:
            news = _News()
            judging = self._judging(handed.runs, news)
            # One thread for all of it, but for what has to be waited for: to change threads run by run takes longer
            # than to judge a run.
            while (wait := await asyncio.to_thread(next, judging, None)) is not None:
                await wait()
            await self._told()
            self._telling = telling.create_task(self._tell_all(news, handed))
            held = self._holdings.held
            due = [run for run in handed.runs if held[run.partition].is_due(self._checkpoint_every_s)]
            if due:
                # What a checkpoint counts as done is never told again.
                await self._told()
            for run in due:
                await self._keep(run, held[run.partition])

    async def heed_operators(self) -> None:
        """Follow what operators ask, for as long as the worker runs."""
        await self._outbox.connect()
        await self._operators.follow(self._heed)

    async def follow_policy(self) -> None:
        """Follow the signed policy, for as long as the worker runs."""
        if self._policies.is_followed:
            await self._policies.follow(await self._outbox.connect(), self._refused)

    async def mind_time(self, now_ms: int) -> None:
        """Let alerts grow old and tell shares of cohorts, of partitions on which all that arrived was judged."""
        if not self._is_open:
            return
        by_ms = now_ms - ON_ITS_WAY_MS
        due = await due_partitions(
            self._cluster, SOURCE, self._fronts(), held=self._holdings.held,
            take_up=self._holdings.take_up, state_of=lambda held: held.partition, now_ms=by_ms,
        )  # fmt: skip
        await self._tell_refused()
        for number, (held, end) in due.items():
            async with self._turn():
                if self._holdings.held.get(number) is held and held.next_offset >= end:
                    aged = held.partition.pass_time(by_ms)
                    await self._tell_shares(held.partition.tell(by_ms, self.labels.all, number=number))
                    await self._tell(number, aged)

    # ---- judging

    def _judging(self, runs: Sequence[Run], news: "_News") -> Iterator[Callable[[], Awaitable[None]]]:
        """Judge runs and gather what is to be told; yields what the event loop has to do before this can go on."""
        judged: list[_Judged] = []
        restorer = self._restorer()
        for run in runs:
            held = self._holdings.taken_up(run.partition, run.start)
            fresh = run.between(held.next_offset, run.end)
            for piece in restorer.pieces_of(fresh, held):
                if piece.policy != held.policy:
                    self._tell_of(judged, news)
                    judged.clear()
                    yield partial(self._tell_now, news)
                for part in restorer.parts_of(run.partition, fresh, piece, held):
                    news.applied.extend(self._applied(run.partition, held))
                    if part.offsets:
                        yield from self._judge_part(part, held, judged)
            held.next_offset = max(run.end, held.next_offset)
        self._tell_of(judged, news)

    def _judge_part(self, part: Run, held: Held, judged: list["_Judged"]) -> Iterator[Callable[[], Awaitable[None]]]:
        names = names_that_matter(held.policy.rules)
        if self.labels.are_others_than(names):
            yield partial(self._matter, names)
        since_s = time.monotonic()
        while (opened := self._patience.opened_by_now(part, self._opened_wholly, since_s)) is None:
            yield partial(asyncio.sleep, ASK_AGAIN_S)
        judged.append(self._judge_opened(part, opened, held))

    async def _matter(self, names: Collection[str] | None) -> None:
        self.labels.matter(names)

    def _judge_opened(self, run: Run, opened: Opened, held: Held) -> "_Judged":
        aged = held.pass_time(run)
        shares = held.tell(run, self.labels.all)
        started_s = time.monotonic()
        outcome = held.partition.work(opened.stretches)
        self._metrics.judged(run.partition, outcome, seconds=time.monotonic() - started_s)
        self._metrics.bad(len(opened.dead))
        self._metrics.shares.inc(len(shares))
        return _Judged(run, opened.dead, shares, outcome, [*aged, *outcome.alerts])

    def _opened_wholly(self, run: Run) -> Opened:
        opened = self._open_run(run)
        if opened.unread:
            raise RegistryAwayError(f"{len(opened.unread)} records have a schema that is not known yet")
        return opened

    def _open_run(self, run: Run) -> Opened:
        known = self._known_by_now
        return open_run(self._outbox.contract, run, known, self.labels.mattering, now_ms=_now_ms())

    @property
    def _known_by_now(self) -> Known:
        assert self._known is not None  # noqa: S101  (`open` comes first)
        return self._known

    # ---- what is held of partitions

    def _restorer(self) -> Restorer:
        return Restorer(
            cluster=self._cluster,
            contract=self._outbox.contract,
            wanted=self._policies.wanted,
            known=self._known_by_now,
            open_run=self._open_run,
            furnish=self._furnish,
        )

    def _furnish(self, book: AlertBook) -> None:
        self._operators.silence_all(book)
        book.labels = self.labels.all

    async def _keep(self, run: Run, held: Held) -> None:
        """Write a checkpoint, and forget devices that are long silent."""
        self._metrics.evicted(held.partition.evict(max(run.timestamps_ms, default=0)))
        parts = await asyncio.to_thread(held.in_parts, run.partition, at_ms=_now_ms())
        await self._outbox.send(CHECKPOINTS, parts, partition=run.partition)
        held.kept_s = time.monotonic()

    # ---- what is told

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Have the state, and whatever is told next told after all that was before."""
        async with self._holdings.turn:
            await self._told()
            yield

    async def _told(self) -> None:
        """Return when Kafka has all that was told so far."""
        if self._telling is not None:
            await asyncio.shield(self._telling)

    async def _tell_all(self, news: "_News", handed: Handed) -> None:
        await self._deliver(news)
        handed.done()

    async def _tell_now(self, news: "_News") -> None:
        await self._told()
        await self._deliver(news)

    async def _deliver(self, news: "_News") -> None:
        # Scores before alerts: whoever opens an alert finds its evidence already there.
        for told in (news.applied, news.evidence, news.alerts):
            await self._outbox.deliver(told)
            told.clear()

    def _tell_of(self, judged: Sequence["_Judged"], news: "_News") -> None:
        """Gather what alerts stand on, and the alerts."""
        for one, scores in zip(judged, written([one.outcome for one in judged]), strict=True):
            self._metrics.scores.inc(len(scores))
            number = one.run.partition
            evidence = news.evidence
            evidence.extend(self._outbox.packed("drift.cohort-panes", share) for share in one.shares)
            evidence.extend(self._outbox.framed("drift.scores", ((score.device_id, score.body) for score in scores)))
            evidence.extend(self._outbox.packed(ROLLUPS, record, partition=number) for record in one.outcome.rollups)
            evidence.extend(self._outbox.packed("dead-letters", record) for record in one.dead)
            news.alerts.extend(self._packed_alerts(number, one.alerts, one.run))

    async def _tell(self, number: int, alerts: list[DriftAlert]) -> None:
        await self._outbox.deliver(await asyncio.to_thread(self._packed_alerts, number, alerts))

    def _packed_alerts(self, number: int, alerts: list[DriftAlert], run: Run | None = None) -> list[Outgoing]:
        windows = windows_by_device(run) if alerts else {}
        return news_of(alerts, self._outbox, partition=number, who=WHO, windows=windows)

    async def _tell_shares(self, shares: list[CohortPane]) -> None:
        self._metrics.shares.inc(len(shares))
        await self._outbox.send("drift.cohort-panes", shares)

    def _applied(self, number: int, held: Held) -> Iterator[Outgoing]:
        """Yield the notes from which record on another policy counts."""
        for offset, policy in held.counting.take_unnoted():
            note = note_applied(policy, topic=SOURCE, partition=number, offset=offset, at_ms=_now_ms())
            yield self._outbox.packed("drift.policy-applied", note)

    async def _heed(self, request: OperatorRequest, is_news: bool) -> None:
        async with self._turn():
            heeded_from: dict[int, int] = {}
            for number, held in self._holdings.held.items():
                changed = self._operators.heed(held.partition.book, request)
                if changed or is_about_silence(request):
                    heeded_from[number] = held.next_offset
                if changed:
                    await self._tell(number, changed)
                    # The log that a restore folds knows nothing of requests; the next checkpoint must.
                    held.kept_s = -math.inf
            if is_news:
                await self._note_heeded(request, heeded_from)
            if is_news and is_about_silence(request) and self._answers(request.subject):
                await self._outbox.send("audit.log", [silence_audited(request)])

    async def _note_heeded(self, request: OperatorRequest, heeded_from: Mapping[int, int]) -> None:
        mine = {number: offset for number, offset in heeded_from.items() if number in self._fronts()}
        if mine:
            await self._outbox.send("audit.log", [heeded(request, SOURCE, mine, who=WHO, now_ms=_now_ms())])

    def _answers(self, subject: str) -> bool:
        """Say whether this worker, and no other of its group, tells what became of a request to them all."""
        return partition_of(subject, topic_named(SOURCE).partitions) in self._fronts()

    async def _refused(self, refused: Refused) -> None:
        self._refusals.append(refused)

    async def _tell_refused(self) -> None:
        """Tell of policies that were refused, if this worker answers for them and nobody has told yet."""
        mine = [one for one in self._refusals if self._answers(one.policy_id)]
        told = await asyncio.to_thread(told_of, self._cluster, mine, who=WHO, now_ms=_now_ms())
        for topic, record in told:
            await self._outbox.send(topic, [record])
        self._refusals = [one for one in self._refusals if one not in mine]


@dataclass(frozen=True, slots=True)
class _News:
    """What is to be told, in this order."""

    # From which record on another policy counts: before anything that follows from it.
    applied: list[Outgoing] = field(default_factory=list)
    evidence: list[Outgoing] = field(default_factory=list)
    alerts: list[Outgoing] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Judged:
    """A run, and what came of it."""

    run: Run
    dead: list[DeadLetter]
    shares: list[CohortPane]
    outcome: Outcome
    alerts: list[DriftAlert]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
