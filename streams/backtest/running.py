"""Run a backtest: cut it into tasks, replay them in as many processes as wanted, and put together what they found."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from schemas.drift_alert import DriftAlert
from streams.backtest.candidate import Candidate
from streams.backtest.cohort_merging import CohortsFound, merged
from streams.backtest.counts import Counts
from streams.backtest.errors import BacktestError, NothingThereError
from streams.backtest.history import History, Share, state_of
from streams.backtest.inject import Injection
from streams.backtest.keeping import Kept
from streams.backtest.logbook import DeviceNotes, Noted
from streams.backtest.past import Published, published, then_of
from streams.backtest.players import AS_THEN
from streams.backtest.processes import Told, replayed
from streams.backtest.replay import Replayed
from streams.backtest.span import EVER, Span, told_moment
from streams.backtest.stories import Story
from streams.backtest.task import Task
from streams.drift.labels import Labels, names_that_matter
from streams.health.partition import HEALTH, LABELS, SAMPLES

__all__ = ["Backtest", "Plan", "run"]

SOURCE = "telemetry.feature-stats"
HOUR_MS = 3_600_000
# Scores are kept so seldom that there are about so many.
_MOST_SCORES = 300_000
_USUAL_WINDOW_MS = 60_000
_LEAST_STEP_MS = 15 * 60_000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is replayed, and how."""

    span: Span = EVER
    candidates: Sequence[Candidate] = ()
    # Those of the candidates by which model health is judged, too, and quality where samples and labels show it.
    health_candidates: Sequence[Candidate] = ()
    # Those of the candidates by which cohorts are judged, too.
    cohort_candidates: Sequence[Candidate] = ()
    # How long a cohort's pane waits for the shares of other partitions: as its worker is told.
    settle_ms: int = 60_000
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
    # Those of devices that fired, by policy, and those of cohorts.
    stories: dict[str, list[Story]]
    cohorts: dict[str, list[Story]]
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
    total(sum(task.records for task in tasks))
    with ExitStack() as passing:
        folder = plan.resume_folder or Path(passing.enter_context(TemporaryDirectory(prefix="driftline-backtest-")))
        kept = Kept(plan.resume_folder, folder, every_s=plan.keep_every_s)
        kept.tidy(time.time())
        found = replayed(tasks, plan.processes, kept, told)
        cohorts = merged(tasks, [kept.shares(task) for task in tasks], settle_ms=plan.settle_ms)
        for task in tasks:
            kept.forget(task)
    then = published(history, plan.span) if "drift.alerts" in history.topics() else None
    troubles = {*history.troubles, *(trouble for one in found for trouble in one.troubles)}
    backtest = _joined(plan, found, cohorts, then, sorted(troubles))
    backtest.notes[:0] = notes
    backtest.notes += _not_compared(then)
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
    labels, all_labels = _labels(history, plan)
    records = sum(share.records for share in shares)
    step_ms = max(_LEAST_STEP_MS, records * _USUAL_WINDOW_MS // _MOST_SCORES)
    health = _health(history, plan)
    then = then_of(history) if plan.as_then else None
    return [
        Task(
            history=history, shares=mine, span=plan.span, candidates=plan.candidates, grids=grids, baselines=baselines,
            warm_up=[share for share in warm_up if share.partition in {one.partition for one in mine}],
            labels=labels, all_labels=all_labels, cohort_candidates=plan.cohort_candidates, then=then,
            injections=plan.injections, step_ms=step_ms,
            split_ms=plan.split_ms, health=_of(mine, health), health_candidates=plan.health_candidates,
        )
        for mine in _dealt(shares, plan.processes)
    ]  # fmt: skip


def _labels(history: History, plan: Plan) -> tuple[dict[str, Mapping[str, str]], dict[str, Mapping[str, str]]]:
    """Return the labels of devices that policies ask for, and all of them."""
    asked = [names_that_matter(one.rules) for one in plan.candidates]
    known = Labels()
    known.matter(None if None in asked else {name for names in asked if names is not None for name in names})
    for device_id, device in state_of(history, "fleet.devices").items():
        known.put(device_id, device.labels)
    return known.mattering, known.all


def _health(history: History, plan: Plan) -> tuple[list[Share], list[Share]]:
    if not (plan.health_candidates or plan.as_then):
        return [], []
    before = Span(max(0, plan.span.from_ms - plan.warm_up_ms), plan.span.from_ms) if plan.span.from_ms else None
    topics = [topic for topic in (HEALTH, SAMPLES, LABELS) if topic in history.topics()]
    return (
        [share for topic in topics for share in history.shares(topic, before)] if before else [],
        [share for topic in topics for share in history.shares(topic, plan.span)],
    )


def _of(mine: Sequence[Share], health: tuple[list[Share], list[Share]]) -> tuple[list[Share], list[Share]]:
    """Return the health of the same partitions; it is keyed as the statistics are."""
    partitions = {share.partition for share in mine}
    before, within = ([share for share in shares if share.partition in partitions] for shares in health)
    return before, within


def _dealt(shares: Sequence[Share], hands: int) -> list[list[Share]]:
    """Deal shares out evenly, the largest first."""
    dealt: list[list[Share]] = [[] for _ in range(min(hands, len(shares)))]
    for share in sorted(shares, key=lambda one: (-one.records, one.partition)):
        min(dealt, key=lambda hand: sum(one.records for one in hand)).append(share)
    return [sorted(hand, key=lambda one: one.partition) for hand in dealt]


def _joined(
    plan: Plan, found: Sequence[Replayed], cohorts: CohortsFound, then: Published | None, troubles: list[str]
) -> Backtest:
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
        cohorts={name: told.fired() for name, told in cohorts.stories.items()},
        published=None if then is None else then.stories,
        devices=dict(sorted(devices.items())),
        scores=sorted(
            (noted for one in found for noted in one.logbook.scores), key=lambda one: (one.device_id, one.at_ms)
        ),
        counts=Counts(
            counts.records, counts.bad, counts.refused, counts.tally, dict(sorted(counts.reasons.items()))
        ),
        # Each alert's changes stay in their order: a late window changes it at an earlier event time.
        as_then=sorted(
            [*(alert for one in found for alert in one.as_then), *cohorts.as_then], key=lambda one: one.alert_id
        ),
        notes=troubles,
        left_out=len(troubles),
    )  # fmt: skip
