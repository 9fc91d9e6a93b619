"""Run a backtest: cut it into tasks, replay them in as many processes as wanted, and put together what they found."""

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

from schemas.drift_alert import DriftAlert
from streams.backtest.candidate import Candidate
from streams.backtest.errors import BacktestError, NothingThereError
from streams.backtest.history import History, Share, state_of
from streams.backtest.inject import Injection
from streams.backtest.keeping import Kept
from streams.backtest.logbook import DeviceNotes, Noted
from streams.backtest.past import Published, happenings_of, left_out_then, published, timelines_of
from streams.backtest.players import AS_THEN
from streams.backtest.replay import Counts, Replayed, replay
from streams.backtest.span import EVER, Span, told_moment
from streams.backtest.stories import Story
from streams.backtest.task import Task, Then
from streams.drift.labels import Labels, names_that_matter

__all__ = ["Backtest", "Plan", "run"]

SOURCE, HEALTH = "telemetry.feature-stats", "telemetry.model-health"
HOUR_MS = 3_600_000
# Scores are kept so seldom that there are about so many.
_MOST_SCORES = 300_000
_USUAL_WINDOW_MS = 60_000
_LEAST_STEP_MS = 15 * 60_000

Told = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is replayed, and how."""

    span: Span = EVER
    candidates: Sequence[Candidate] = ()
    # Those of the candidates by which model health is judged, too.
    health_candidates: Sequence[Candidate] = ()
    # What came before the span warms state up and is not reported.
    warm_up_ms: int = 24 * HOUR_MS
    processes: int = 1
    # Judge by the policies that counted then, too.
    as_then: bool = False
    injections: Sequence[Injection] = ()
    # Device-days are told apart before and after it; 0 for nowhere.
    split_ms: int = 0
    # Where an interrupted run leaves what it has, and how often.
    resume_folder: Path | None = None
    keep_every_s: float = 15.0


@dataclass
class Backtest:
    """What a backtest found; event times."""

    span: Span
    # Those that fired, by policy.
    stories: dict[str, list[Story]]
    # What was published then; None where the history does not say.
    published: list[Story] | None
    devices: dict[str, DeviceNotes]
    scores: list[Noted]
    counts: Counts
    # Every change of the replay as then, by alert and in order.
    as_then: list[DriftAlert] = field(default_factory=list)
    # What could not be read or is not as asked, in words.
    notes: list[str] = field(default_factory=list)
    # Blocks, files and records that could not be read; each has its note.
    left_out: int = 0

    @property
    def device_days(self) -> float:
        return sum(one.days for one in self.devices.values())


def run(history: History, plan: Plan, *, told: Told = lambda _: None, total: Told = lambda _: None) -> Backtest:
    """Replay a stretch of history; `total` hears how many records there are, `told` how many more are done."""
    notes: list[str] = []
    shares = _shares(history, plan.span, notes)
    warm_up = _warm_up(history, plan)
    tasks = _tasks(history, plan, shares, warm_up)
    total(sum(_records(task) for task in tasks))
    kept = Kept(plan.resume_folder, every_s=plan.keep_every_s)
    kept.tidy(time.time())
    found = _replayed(tasks, plan.processes, kept, told)
    then = published(history, plan.span) if "drift.alerts" in history.topics() else None
    troubles = {*history.troubles, *(trouble for one in found for trouble in one.troubles)}
    backtest = _joined(plan, found, then, sorted(troubles))
    backtest.notes[:0] = notes
    backtest.notes += _not_compared(then)
    for task in tasks:
        kept.forget(task)
    return backtest


def _not_compared(then: Published | None) -> list[str]:
    return [] if then is None else [
        f"neither replayed nor compared: {count:,} alerts that fired then, of {what}"
        for what, count in then.beyond.items()
    ]  # fmt: skip


def _shares(history: History, span: Span, notes: list[str]) -> list[Share]:
    shares = history.shares(SOURCE, span) if SOURCE in history.topics() else []
    if not shares:
        raise _nothing(history, span)
    if span.from_ms > EVER.from_ms:
        extent = history.extent(SOURCE)
        if extent.first_ms > span.from_ms:
            notes.append(
                f"found the log to begin at {told_moment(extent.first_ms)}, wanted from {told_moment(span.from_ms)} on"
            )
    return shares


def _nothing(history: History, span: Span) -> NothingThereError:
    topics = history.topics()
    if SOURCE not in topics:
        return NothingThereError(f"{SOURCE}: found no such topic; {history.name} has {', '.join(topics) or 'none'}")
    return NothingThereError(f"{SOURCE}: found no record from {span}; {history.name} has {history.extent(SOURCE)}")


def _warm_up(history: History, plan: Plan) -> list[Share]:
    if plan.span.from_ms <= EVER.from_ms or not plan.warm_up_ms:
        return []
    return history.shares(SOURCE, Span(max(0, plan.span.from_ms - plan.warm_up_ms), plan.span.from_ms))


def _tasks(history: History, plan: Plan, shares: Sequence[Share], warm_up: Sequence[Share]) -> list[Task]:
    grids, baselines = state_of(history, "models.grids"), state_of(history, "models.baselines")
    if not baselines or not grids:
        missing = "models.baselines" if not baselines else "models.grids"
        raise BacktestError(
            f"{missing}: found none on {history.name}, wanted what the windows are compared with",
            hint="`driftline export --for-backtest -o FOLDER` takes everything along",
        )
    labels = _labels(history, plan)
    records = sum(share.records for share in shares)
    step_ms = max(_LEAST_STEP_MS, records * _USUAL_WINDOW_MS // _MOST_SCORES)
    health = _health(history, plan)
    then = _then(history) if plan.as_then else None
    return [
        Task(
            history=history, shares=mine, span=plan.span, candidates=plan.candidates, grids=grids, baselines=baselines,
            warm_up=[share for share in warm_up if share.partition in {one.partition for one in mine}],
            labels=labels, then=then, injections=plan.injections, step_ms=step_ms,
            split_ms=plan.split_ms, health=_of(mine, health), health_candidates=plan.health_candidates,
        )
        for mine in _dealt(shares, plan.processes)
    ]  # fmt: skip


def _labels(history: History, plan: Plan) -> dict[str, Mapping[str, str]]:
    """Return the labels of devices, as far as any policy asks for them."""
    asked = [names_that_matter(one.rules) for one in plan.candidates]
    known = Labels()
    known.matter(None if None in asked else {name for names in asked if names is not None for name in names})
    for device_id, device in state_of(history, "fleet.devices").items():
        known.put(device_id, device.labels)
    return known.mattering


def _then(history: History) -> Then:
    topics = (SOURCE, HEALTH)
    return Then(
        timelines={topic: timelines_of(history, topic) for topic in topics},
        left_out={topic: left_out_then(history, topic) for topic in topics},
        happenings=happenings_of(history),
    )


def _health(history: History, plan: Plan) -> tuple[list[Share], list[Share]]:
    if not (plan.health_candidates or plan.as_then) or HEALTH not in history.topics():
        return [], []
    before = Span(max(0, plan.span.from_ms - plan.warm_up_ms), plan.span.from_ms) if plan.span.from_ms else None
    return history.shares(HEALTH, before) if before else [], history.shares(HEALTH, plan.span)


def _of(mine: Sequence[Share], health: tuple[list[Share], list[Share]]) -> tuple[list[Share], list[Share]]:
    """Return the health of the same partitions; it is keyed as the statistics are."""
    partitions = {share.partition for share in mine}
    before, within = ([share for share in shares if share.partition in partitions] for shares in health)
    return before, within


def _records(task: Task) -> int:
    return sum(share.records for share in (*task.shares, *task.warm_up, *task.health[0], *task.health[1]))


def _dealt(shares: Sequence[Share], hands: int) -> list[list[Share]]:
    """Deal shares out evenly, the largest first."""
    dealt: list[list[Share]] = [[] for _ in range(min(hands, len(shares)))]
    for share in sorted(shares, key=lambda one: (-one.records, one.partition)):
        min(dealt, key=lambda hand: sum(one.records for one in hand)).append(share)
    return [sorted(hand, key=lambda one: one.partition) for hand in dealt]


def _replayed(tasks: Sequence[Task], processes: int, kept: Kept, told: Told) -> list[Replayed]:
    found: dict[int, Replayed] = {}
    for place, task in enumerate(tasks):
        known = kept.find(task)
        if known is not None:
            found[place] = known
            told(_records(task))
    left = [place for place in range(len(tasks)) if place not in found]
    if processes <= 1 or len(left) <= 1:
        for place in left:
            found[place] = replay(tasks[place], told, kept.midway(tasks[place]))
            kept.keep(tasks[place], found[place])
    else:
        for place, one in _side_by_side(tasks, left, processes, kept, told):
            found[place] = one
            kept.keep(tasks[place], one)
    return [found[place] for place in range(len(tasks))]


def _side_by_side(
    tasks: Sequence[Task], places: Sequence[int], processes: int, kept: Kept, told: Told
) -> Iterator[tuple[int, Replayed]]:
    # A fresh process, not a fork: librdkafka's threads do not survive one.
    context = multiprocessing.get_context("spawn")
    with _counted(context, told) as queue:
        pool = ProcessPoolExecutor(
            min(processes, len(places)), mp_context=context, initializer=_tell_by, initargs=(queue,)
        )
        try:
            futures: dict[Future[Replayed], int] = {
                pool.submit(_in_process, tasks[place], kept): place for place in places
            }
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _counted(context: Any, told: Told) -> Iterator["Queue[int]"]:
    """Give a queue by which processes tell how many records they have done."""
    queue: Queue[int] = context.Queue()

    def listen() -> None:
        while (more := queue.get()) >= 0:
            told(more)

    listener = threading.Thread(target=listen, name="backtest-progress", daemon=True)
    listener.start()
    try:
        yield queue
    finally:
        queue.put(-1)
        listener.join(5)
        queue.close()


_queue: "Queue[int] | None" = None


def _tell_by(queue: "Queue[int]") -> None:
    global _queue
    _queue = queue


def _in_process(task: Task, kept: Kept) -> Replayed:
    return replay(task, lambda more: _queue.put(more) if _queue is not None else None, kept.midway(task))


def _joined(plan: Plan, found: Sequence[Replayed], then: Published | None, troubles: list[str]) -> Backtest:
    """Put results together in an order that no process had a hand in."""
    names = [*(one.name for one in plan.candidates), *([AS_THEN] if plan.as_then else [])]
    stories = {
        name: sorted(
            (story for one in found for story in one.stories[name].fired()),
            key=lambda story: (story.firings[0].from_ms, story.alert_id),
        )
        for name in names
    }
    counts = Counts()
    for one in found:
        counts.plus(one.counts)
    devices: Mapping[str, DeviceNotes] = {name: notes for one in found for name, notes in one.logbook.devices.items()}
    return Backtest(
        span=plan.span,
        stories=stories,
        published=None if then is None else then.stories,
        devices=dict(sorted(devices.items())),
        scores=sorted(
            (noted for one in found for noted in one.logbook.scores), key=lambda one: (one.device_id, one.at_ms)
        ),
        counts=Counts(
            counts.records, counts.bad, counts.refused, counts.tally, dict(sorted(counts.reasons.items()))
        ),
        # Each alert's changes stay in their order: a late window changes it at an earlier event time.
        as_then=sorted((alert for one in found for alert in one.as_then), key=lambda one: one.alert_id),
        notes=troubles,
        left_out=len(troubles),
    )  # fmt: skip
