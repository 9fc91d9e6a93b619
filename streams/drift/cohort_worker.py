"""What joins shares of cohorts, the mergers that judge them, groups of alerts, and the topics that are told.

Each worker follows all alerts; what else it must know of a cohort that it takes over is in the log of shares.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from schemas import feeds
from schemas.catalogue import topic_named
from schemas.cluster import Cluster
from schemas.drift_alert import DriftAlert
from schemas.operators import OperatorRequest
from schemas.partition import partition_of
from streams.drift.alert_news import ALERTS, news_of
from streams.drift.cohort_log import TOPIC as PANES
from streams.drift.cohort_log import WHO, OpenedShares, ShareMetrics, fold, open_shares, take_all
from streams.drift.cohort_merger import LIVE, OF_COHORTS, Found, Merger
from streams.drift.grouping import OWN, Groups
from streams.drift.known import Known, following
from streams.drift.operators import Operators
from streams.drift.patience import Patience
from streams.drift.policy import InForce, PolicyFeed, Refused, note_applied
from streams.drift.time_passing import ON_ITS_WAY_MS, due_partitions
from streams.kafka import Outbox, Run

__all__ = ["CohortWorker"]

log = logging.getLogger(__name__)

_TOPICS = (PANES, "drift.scores", ALERTS, "drift.policy-applied", "audit.log", "dead-letters")


@dataclass
class _Held:
    """The cohorts of one partition, and how far their shares were read."""

    merger: Merger
    next_offset: int
    # The policy that was last said to count.
    noted: InForce | None = None


class CohortWorker:
    """Works on one run at a time; `fronts` says which partitions are the worker's, and how far each is done."""

    def __init__(
        self,
        cluster: Cluster,
        policies: PolicyFeed,
        fronts: Callable[[], Mapping[int, int]],
        metrics: ShareMetrics,
        *,
        settle_s: float,
        wait_for_baseline_s: float,
        cache_dir: Path | None,
    ) -> None:
        self._cluster, self._policies, self._fronts, self._metrics = cluster, policies, fronts, metrics
        self._settle_ms, self._cache_dir = int(settle_s * 1000), cache_dir
        self._operators = Operators(cluster)
        self._alerts: dict[str, DriftAlert] = {}
        # The last acknowledgement of each alert, for cohorts that are taken over later.
        self._asked: dict[str, OperatorRequest] = {}
        self._groups = Groups(policies.wanted.own)
        self._held: dict[int, _Held] = {}
        self._current = asyncio.Event()
        self._turn = asyncio.Lock()
        self._outbox = Outbox(cluster, _TOPICS, cache_dir=cache_dir)
        self._patience = Patience(wait_for_baseline_s)
        self._known: Known | None = None
        self._tables = ExitStack()

    async def open(self) -> None:
        """Learn what is known by now: alerts, silences, the policy that counts, grids and baselines."""
        for event in self._awaited():
            await event.wait()
        await self._outbox.connect()
        if self._known is None:
            self._known = await asyncio.to_thread(self._tables.enter_context, following(self._cluster))

    def close(self) -> None:
        """Follow grids and baselines no longer, until `open` is called again."""
        self._tables.close()
        self._known = None

    async def work(self, run: Run) -> None:
        """Take in shares and publish what came of it; returns when Kafka has all of it."""
        async with self._turn:
            self._take_up_policy()
            held = await self._taken_over(run.partition, run.start)
            await self._note_policies()
            fresh = run.between(held.next_offset, run.end)
            opened = await self._patience.opened(fresh, self._open_shares)
            before = held.merger.late
            found, bad = await asyncio.to_thread(take_all, held.merger, fresh, opened, now_ms=_now_ms())
            held.next_offset = max(run.end, held.next_offset)
            self._metrics.took(len(opened.shares), late=held.merger.late - before, bad=len(opened.dead) + len(bad))
            await self._publish_found(found)
            await self._outbox.send("dead-letters", [*opened.dead, *bad])

    async def follow_alerts(self) -> None:
        """Follow all alerts, for as long as the worker runs."""
        async with feeds.read_async(self._cluster, ALERTS, cache_dir=self._cache_dir) as feed:
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
        await self._outbox.connect()
        await self._operators.follow(self._heed)

    async def follow_policy(self) -> None:
        """Follow the signed policy, for as long as the worker runs."""
        if self._policies.is_followed:
            await self._policies.follow(await self._outbox.connect(), self._refused)

    async def tell(self, now_ms: int) -> None:
        """Publish what has changed of cohorts that are this worker's, once all of the past is known."""
        if self._known is None or not all(event.is_set() for event in self._awaited()):
            return
        async with self._turn:
            self._take_up_policy()
            await self._note_policies()
            self._groups.silences = self._operators.silences
            await self._publish(self._groups.changes(self._is_mine))
        await self._judge_what_is_due(now_ms - ON_ITS_WAY_MS)

    async def _judge_what_is_due(self, by_ms: int) -> None:
        """Judge panes where no share comes to remind of it, once all shares that came were taken in."""
        due = await due_partitions(
            self._cluster, PANES, self._fronts(), held=self._held, take_up=self._brought_to,
            state_of=lambda held: held.merger, now_ms=by_ms,
        )  # fmt: skip
        for number, (held, end) in due.items():
            async with self._turn:
                if self._held.get(number) is held and held.next_offset >= end:
                    await self._publish_found(await asyncio.to_thread(held.merger.pass_time, by_ms))

    async def _brought_to(self, number: int, front: int) -> _Held:
        async with self._turn:
            return await self._taken_over(number, front)

    def _awaited(self) -> list[asyncio.Event]:
        ready = [self._current, self._operators.current]
        return [*ready, self._policies.current] if self._policies.is_followed else ready

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

    async def _note_policies(self) -> None:
        """Say by which policy cohorts are judged from here on, before anything is told that follows from it."""
        for number, held in self._held.items():
            policy = held.merger.policy
            if number in self._fronts() and policy != held.noted:
                applied = note_applied(policy, topic=PANES, partition=number, offset=held.next_offset, at_ms=_now_ms())
                await self._outbox.send("drift.policy-applied", [applied])
                held.noted = policy

    async def _taken_over(self, number: int, offset: int) -> _Held:
        """Return the cohorts of a partition at an offset, or further on."""
        held = self._held.get(number)
        if held is None or held.next_offset < offset:
            held = self._held[number] = await self._take_over(number, offset)
        return held

    async def _take_over(self, number: int, offset: int) -> _Held:
        """Bring the cohorts of a partition to an offset, and tell what nobody told."""
        merger = Merger(self._groups.policy, settle_ms=self._settle_ms)
        merger.silences = self._operators.silences
        folded = await asyncio.to_thread(
            fold, merger, self._cluster, number, offset, self._outbox.contract, self._known_by_now
        )
        for alert in list(self._alerts.values()):
            is_ours = alert.alert_id.startswith(OF_COHORTS) and alert.state in LIVE
            if is_ours and partition_of(alert.subject, topic_named(PANES).partitions) == number:
                merger.remember(alert)
        found = merger.each_book(lambda book: list(book.alerts()))
        await self._publish([one for one in found if one.state in LIVE and one.alert_id not in self._alerts])
        await self._publish([heard for one in found if (heard := self._heard(merger, one)) is not None])
        log.info("cohorts taken up: partition=%d offset=%d folded=%d", number, offset, folded)
        return _Held(merger, offset)

    def _heard(self, merger: Merger, alert: DriftAlert) -> DriftAlert | None:
        """Acknowledge what somebody asked for while nobody had the cohort."""
        request = self._asked.get(f"alert/{alert.alert_id}")
        if request is None or request.at_ms < alert.changed_ms:
            return None
        book = merger.book_of(alert.subject, alert.model_id)
        return book.acknowledge(alert.alert_id, request.who, request.at_ms)

    def _open_shares(self, run: Run) -> OpenedShares:
        return open_shares(self._outbox.contract, run, self._known_by_now, now_ms=_now_ms())

    @property
    def _known_by_now(self) -> Known:
        assert self._known is not None  # noqa: S101  (`open` comes first)
        return self._known

    async def _publish_found(self, found: Found) -> None:
        # Scores before alerts: whoever opens an alert finds its evidence already there.
        await self._outbox.send("drift.scores", found.scores)
        await self._publish(found.alerts)

    async def _publish(self, alerts: Sequence[DriftAlert]) -> None:
        for alert in alerts:
            self._alerts[alert.alert_id] = alert
            place = partition_of(alert.alert_id, topic_named(ALERTS).partitions)
            told = await asyncio.to_thread(news_of, [alert], self._outbox, partition=place, who=WHO)
            await self._outbox.deliver(told)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
