"""A study: replay, hold against what happened, compare with what was alerted, search, and ask what if."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from streams.backtest.candidate import Candidate, default_candidate
from streams.backtest.comparison import Difference, compare
from streams.backtest.errors import BacktestError
from streams.backtest.evaluation import Evaluation, always_firing, evaluate, never_firing
from streams.backtest.grid import USUAL_GRID, grid_of
from streams.backtest.history import History
from streams.backtest.incidents import Incident, known_devices_only, within
from streams.backtest.inject import Injection, plan_injections
from streams.backtest.players import AS_THEN
from streams.backtest.power import Power, incidents_of, of_twins, power_curves
from streams.backtest.processes import Told
from streams.backtest.running import Backtest, Plan, run
from streams.backtest.search import Goal, chosen, policy_file, refined
from streams.backtest.span import EVER, Span, told_moment
from streams.backtest.stories import Story

__all__ = ["Question", "Search", "Study", "WhatIf", "study"]

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Look among the combinations of a grid for the policy that meets a goal, then once more between its neighbours."""

    goal: Goal = field(default_factory=Goal)
    grid: Mapping[str, Sequence[Any]] = field(default_factory=lambda: dict(USUAL_GRID))
    base: str = ""
    refine: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """Faults to inject, by kind, at these strengths."""

    kinds: Mapping[str, Sequence[float]]
    each: int = 20
    lasting_ms: int = 6 * HOUR_MS
    warm_ms: int = HOUR_MS
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a backtest is asked."""

    span: Span = EVER
    candidates: Sequence[Candidate] = ()
    incidents: Sequence[Incident] = ()
    # Where they come from, for complaints.
    labels_name: str = "labels"
    tolerance_ms: int = 0
    search: Search | None = None
    # Tuned before it, reported from there on; None: both on the whole stretch.
    tune_until_ms: int | None = None
    what_if: WhatIf | None = None
    as_then: bool = False
    warm_up_ms: int = 24 * HOUR_MS
    # How long a cohort's pane waits for the shares of other partitions.
    settle_ms: int = 60_000
    processes: int = 1
    resume_folder: Path | None = None
    keep_every_s: float = 15.0


@dataclass
class Study:
    """What came of it."""

    question: Question
    backtest: Backtest
    candidates: list[Candidate]
    # On the stretch that is reported, floors included.
    evaluations: list[Evaluation]
    # On the stretch that was tuned on, where that is another.
    tuned: list[Evaluation]
    # Those whose alerts are told one by one: what was given, and the best.
    shown: list[str]
    # By policy; empty where nothing is known of what was alerted then.
    differences: dict[str, list[Difference]]
    power: list[Power]
    best: Candidate | None = None
    # The best one's policy, ready for use.
    policy: str = ""

    def stories(self) -> dict[str, list[Story]]:
        """Return what fired, by policy, on devices that there are and on cohorts."""
        return {
            name: sorted(
                [
                    *(story for story in told if story.subject in self.backtest.devices),
                    *self.backtest.cohorts.get(name, ()),
                ],
                key=lambda story: (story.firings[0].from_ms, story.alert_id),
            )
            for name, told in self.backtest.stories.items()
        }


def study(history: History, question: Question, *, told: Told = lambda _: None, total: Told = lambda _: None) -> Study:
    """Ask history; `total` hears how many records are to be read in each pass, `told` how many more are done."""
    _refuse_nonsense(question)
    given = list(question.candidates) or ([] if question.as_then else [default_candidate()])
    search = question.search
    tried = grid_of(search.base, search.grid) if search is not None else []
    split_ms = question.tune_until_ms or 0
    plan = Plan(
        span=question.span, candidates=[*given, *tried], health_candidates=given, cohort_candidates=given,
        warm_up_ms=question.warm_up_ms, settle_ms=question.settle_ms, processes=question.processes,
        as_then=question.as_then, split_ms=split_ms,
        resume_folder=question.resume_folder, keep_every_s=question.keep_every_s,
    )  # fmt: skip
    injections: list[Injection] = []
    if question.what_if is not None:
        injections = _injections(history, question, question.what_if, told, total)
        plan = replace(plan, injections=injections)
    backtest = run(history, plan, told=told, total=total)
    question = _with_incidents_within(question, backtest)
    if search is not None and search.refine:
        finer = _finer(search, tried, _tuned(question, backtest, injections, [one.name for one in tried]))
        if finer:
            again = run(
                history,
                replace(plan, candidates=finer, as_then=False, health_candidates=(), cohort_candidates=()),
                told=told,
                total=total,
            )
            backtest.stories |= again.stories
            tried += finer
    return _told(question, backtest, injections, given, tried)


def _refuse_nonsense(question: Question) -> None:
    until = question.tune_until_ms
    if until is not None and until not in question.span:
        raise BacktestError(f"tune-until: found a time outside of {question.span}, wanted one within")
    if question.search is not None and not question.incidents and question.what_if is None:
        raise BacktestError(
            "search: found neither incidents nor faults to inject, wanted something to be quick about",
            hint="--labels incidents.csv, or --what-if shift=0.3,1",
        )


def _with_incidents_within(question: Question, backtest: Backtest) -> Question:
    """Leave out incidents of other times: nobody could have told of them."""
    if not question.incidents:
        return question
    first_ms = min((one.first_ms for one in backtest.devices.values()), default=0)
    last_ms = max((one.last_ms for one in backtest.devices.values()), default=0)
    inside = within(question.incidents, first_ms, last_ms, question.labels_name)
    known_devices_only(inside, backtest.devices, question.labels_name)
    beyond = len(question.incidents) - len(inside)
    if beyond:
        backtest.notes.append(
            f"{question.labels_name}: {beyond} of {len(question.incidents)} incidents left out, they lie outside of "
            f"what was replayed, {told_moment(first_ms)} to {told_moment(last_ms)}"
        )
    return replace(question, incidents=inside)


def _injections(history: History, question: Question, what_if: WhatIf, told: Told, total: Told) -> list[Injection]:
    # Who was there, and when, is known only after a look at all of it.
    seen = run(history, Plan(span=question.span, processes=question.processes, warm_up_ms=0), told=told, total=total)
    return plan_injections(
        seen.devices, what_if.kinds, each=what_if.each, lasting_ms=what_if.lasting_ms, warm_ms=what_if.warm_ms,
        rng=np.random.default_rng(what_if.seed),
    )  # fmt: skip


def _told(
    question: Question,
    backtest: Backtest,
    injections: Sequence[Injection],
    given: Sequence[Candidate],
    tried: Sequence[Candidate],
) -> Study:
    names = list(backtest.stories)
    shown = [one.name for one in given] + ([AS_THEN] if AS_THEN in backtest.stories else [])
    found = Study(question, backtest, [*given, *tried], [], [], shown, {}, [])
    if question.tune_until_ms is not None:
        found.tuned = _tuned(question, backtest, injections, names)
    found.evaluations = _reported(question, backtest, injections, names)
    if question.search is not None:
        judged = found.tuned or found.evaluations
        best = chosen([one for one in judged if one.policy in {two.name for two in tried}], question.search.goal)
        if best is not None:
            found.best = next(one for one in tried if one.name == best.policy)
            reported = next(one for one in found.evaluations if one.policy == best.policy)
            measured = f"{question.span}" + (", reported on what it was not tuned on" if found.tuned else "")
            found.policy = policy_file(found.best, reported, measured=measured)
            shown.append(best.policy)
    found.evaluations += _floors(question, backtest, injections)
    real = found.stories()
    if backtest.published is not None:
        found.differences = {name: compare(backtest.published, real[name]) for name in shown}
    found.power = [
        point for name in shown if name != AS_THEN for point in power_curves(name, backtest.stories[name], injections)
    ]
    return found


def _tuned(
    question: Question, backtest: Backtest, injections: Sequence[Injection], names: Sequence[str]
) -> list[Evaluation]:
    until = question.tune_until_ms
    within = None if until is None else Span(question.span.from_ms, until)
    days = backtest.device_days if until is None else sum(one.parts()[0].days for one in backtest.devices.values())
    return [_evaluated(question, backtest, injections, name, days, within) for name in names]


def _reported(
    question: Question, backtest: Backtest, injections: Sequence[Injection], names: Sequence[str]
) -> list[Evaluation]:
    until = question.tune_until_ms
    within = None if until is None else Span(until, question.span.to_ms)
    days = backtest.device_days if until is None else sum(one.parts()[1].days for one in backtest.devices.values())
    return [_evaluated(question, backtest, injections, name, days, within) for name in names]


def _evaluated(
    question: Question, backtest: Backtest, injections: Sequence[Injection], name: str, days: float, within: Span | None
) -> Evaluation:
    stories = backtest.stories[name]
    real = [story for story in stories if story.subject in backtest.devices]
    return evaluate(
        name, [*real, *of_twins(stories, injections)], [*question.incidents, *incidents_of(injections)],
        device_days=days, tolerance_ms=question.tolerance_ms, within=within,
    )  # fmt: skip


def _floors(question: Question, backtest: Backtest, injections: Sequence[Injection]) -> list[Evaluation]:
    until, devices = question.tune_until_ms, backtest.devices
    incidents = [*question.incidents, *incidents_of(injections)]
    if not incidents:
        return []
    if until is not None:
        incidents = [one for one in incidents if one.from_ms >= until]
        devices = {name: one.parts()[1] for name, one in devices.items()}
    days = sum(one.days for one in devices.values())
    tolerance_ms = question.tolerance_ms
    return [
        always_firing(incidents, devices, device_days=days, tolerance_ms=tolerance_ms),
        never_firing(incidents, device_days=days, tolerance_ms=tolerance_ms),
    ]


def _finer(search: Search, tried: Sequence[Candidate], evaluations: Sequence[Evaluation]) -> list[Candidate]:
    """Return combinations close to the best so far that were not tried yet."""
    best = chosen(evaluations, search.goal)
    if best is None:
        return []
    document = tomllib.loads(next(one.document for one in tried if one.name == best.policy))
    near: dict[str, list[Any]] = {}
    for key, values in search.grid.items():
        value = _value_of(document, key)
        numbers = [one for one in values if isinstance(one, float)]
        finer = refined(numbers) if isinstance(value, float) and value in numbers else []
        place = finer.index(value) if finer else 0
        near[key] = finer[max(0, place - 1) : place + 2] or [value]
    known = {one.name for one in tried}
    return [one for one in grid_of(search.base, near) if one.name not in known]


def _value_of(document: Mapping[str, Any], key: str) -> Any:
    for name in key.split("."):
        document = document[name]
    return document
