"""A past rollout under other gates: what its devices said and what was seen of them, told to the same machine again.

It keeps these rules:

* a device answers a command as it answered then, after as long as it took then; one that nobody commanded then is
  taken to succeed, and is counted as such; one that never answered never does;
* health, scores and alerts come when they came, and speak for the canary only where the device had the model both
  then and now: a replay that runs ahead of what happened finds no data, and gates without data do not pass;
* operators are not replayed.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from schemas.drift_alert import AlertState, DriftAlert
from schemas.drift_scores import DriftScores
from schemas.fleet import Device
from schemas.model_health import ModelHealth
from schemas.release import ModelRelease
from schemas.rollouts import AckPhase, GateResult, RolloutPhase
from streams.rollouts import membership
from streams.rollouts.alerts import OWN
from streams.rollouts.effects import CommandDevice, Effect, GoOn
from streams.rollouts.events import Acked, GatesJudged, TimePassed
from streams.rollouts.machine import decide
from streams.rollouts.plan import Plan
from streams.rollouts.rollout import LIVE, SETTLED, Rollout
from streams.rollouts.watching import Watch

__all__ = ["Answer", "Moment", "PastRollout", "Retold", "merged", "retell"]

# As often as a controller asks its gates.
LOOK_EVERY_MS = 10_000
_USUAL_ANSWER_MS = 60_000
_DONE = (AckPhase.SUCCEEDED, AckPhase.INSTALLED)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a device reported on a command, and how long after its first report on it."""

    after_ms: int
    phase: AckPhase
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class PastRollout:
    """What is known of a rollout that was."""

    rollout_id: str
    begin_ms: int
    devices: Sequence[Device]
    release: ModelRelease | None = None
    # What each device ran before.
    previous: Mapping[str, str] = field(default_factory=dict)
    # Each device's answers to each command in turn; devices that were commanded and never answered have none.
    answers: Mapping[str, Sequence[Sequence[Answer]]] = field(default_factory=dict)
    # Health, scores and alerts with their broker times, in order.
    telemetry: Iterable[tuple[int, ModelHealth | DriftScores | DriftAlert]] = ()


@dataclass(frozen=True, slots=True)
class Moment:
    """A rollout as it stood from some moment on."""

    at_ms: int
    phase: RolloutPhase
    stage: int
    reason: str
    gates: tuple[GateResult, ...]
    devices: Mapping[str, int]


@dataclass
class Retold:
    """How a rollout went, as far as history reaches."""

    moments: list[Moment] = field(default_factory=list)
    # Devices that were commanded now and not then.
    assumed: set[str] = field(default_factory=set)
    settled: bool = False


def retell(plan: Plan, past: PastRollout, *, look_every_ms: int = LOOK_EVERY_MS) -> Retold:
    """Run a past rollout again under a plan."""
    return _Retelling(plan, past).run(look_every_ms)


class _Retelling:
    def __init__(self, plan: Plan, past: PastRollout) -> None:
        self._past, self._found = past, Retold()
        self._rollout = Rollout(plan=replace(plan, starts_ms=past.begin_ms))
        self._watch, self._alerts = Watch(), dict[str, DriftAlert]()
        # Answers on their way: when, in which order they were asked for, from whom.
        self._due: list[tuple[int, int, str, Answer]] = []
        self._asked, self._commands = 0, dict[str, int]()
        self._usual_ms = _usual(past.answers)

    def run(self, look_every_ms: int) -> Retold:
        past = self._past
        for event in membership.joined(self._rollout.plan, past.devices, past.release, past.begin_ms):
            self._tell(replace(event, previous=past.previous.get(event.device_id, event.previous), online=True))
        now_ms = past.begin_ms
        for at_ms, record in past.telemetry:
            while now_ms <= at_ms and not self._is_settled():
                self._look(now_ms)
                now_ms += look_every_ms
            if self._is_settled():
                break
            self._see(record)
        if not self._is_settled():
            self._look(now_ms)
        self._found.settled = self._is_settled()
        return self._found

    def _look(self, now_ms: int) -> None:
        while self._due and self._due[0][0] <= now_ms:
            at_ms, _, device_id, answer = heapq.heappop(self._due)
            self._tell(Acked(device_id, answer.phase, at_ms, answer.reason))
        rollout = self._rollout
        if rollout.plan.gates and rollout.phase in LIVE:
            evidence = self._watch.look(rollout, self._alerts.values())
            results = tuple(gate.judge(name, evidence) for name, gate in rollout.plan.gates.items())
            self._tell(GatesJudged(results, now_ms))
        self._tell(TimePassed(now_ms))
        self._note(now_ms)

    def _tell(self, event: Any) -> None:
        self._rollout, effects = decide(self._rollout, event)
        self._carry_out(effects, event.now_ms)

    def _carry_out(self, effects: Sequence[Effect], now_ms: int) -> None:
        for effect in effects:
            if isinstance(effect, CommandDevice):
                self._ask(effect, now_ms)
            elif isinstance(effect, GoOn):
                self._tell(TimePassed(now_ms))

    def _ask(self, command: CommandDevice, now_ms: int) -> None:
        """Have a device answer a command as it did then."""
        for answer in self._answers(command):
            self._asked += 1
            heapq.heappush(self._due, (now_ms + answer.after_ms, self._asked, command.device_id, answer))

    def _answers(self, command: CommandDevice) -> Sequence[Answer]:
        device_id = command.device_id
        if command.model != self._rollout.plan.model:
            return (Answer(self._usual_ms, AckPhase.SUCCEEDED, "taken to go back"),)
        known = self._past.answers.get(device_id)
        if known is None:
            self._found.assumed.add(device_id)
            done = AckPhase.INSTALLED if command.action == "install" else AckPhase.SUCCEEDED
            return (Answer(self._usual_ms, done, "taken to succeed"),)
        turn = self._commands.get(device_id, 0)
        self._commands[device_id] = turn + 1
        return known[min(turn, len(known) - 1)] if known else ()

    def _see(self, record: ModelHealth | DriftScores | DriftAlert) -> None:
        if isinstance(record, ModelHealth):
            self._watch.health(self._rollout, record)
        elif isinstance(record, DriftScores):
            self._watch.scores(self._rollout, record)
        elif record.state is AlertState.RESOLVED:
            self._alerts.pop(record.alert_id, None)
        elif not record.alert_id.startswith(OWN):
            self._alerts[record.alert_id] = record

    def _note(self, now_ms: int) -> None:
        rollout, moments = self._rollout, self._found.moments
        stands = (rollout.phase, rollout.stage, rollout.reason)
        if not moments or (moments[-1].phase, moments[-1].stage, moments[-1].reason) != stands:
            moments.append(Moment(now_ms, *stands, rollout.gates, dict(rollout.members.totals())))

    def _is_settled(self) -> bool:
        return self._rollout.phase in SETTLED


def _usual(answers: Mapping[str, Sequence[Sequence[Answer]]]) -> int:
    """Return how long devices usually took to be done."""
    took = [one.after_ms for turns in answers.values() for turn in turns for one in turn if one.phase in _DONE]
    return int(median(took)) if took else _USUAL_ANSWER_MS


def merged(streams: Iterable[Iterator[tuple[int, Any]]]) -> Iterator[tuple[int, Any]]:
    """Yield what several streams have, in order of time."""
    return heapq.merge(*streams, key=lambda pair: pair[0])
