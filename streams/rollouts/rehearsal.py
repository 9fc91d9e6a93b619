"""Rehearsing a plan: which devices each stage takes, how long it would last, and what its gates would have said."""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from schemas.drift_alert import AlertState, DriftAlert
from schemas.drift_scores import DriftScores
from schemas.fleet import Device
from schemas.model_health import ModelHealth
from schemas.release import ModelRelease
from schemas.rollouts import AckPhase, GateResult, RolloutPhase
from streams.rollouts import membership
from streams.rollouts.alerts import OWN
from streams.rollouts.effects import CommandDevice
from streams.rollouts.events import Acked, GatesJudged, TimePassed
from streams.rollouts.gates.metric import Metric
from streams.rollouts.gates.sequential import devices_needed
from streams.rollouts.machine import decide
from streams.rollouts.member import State
from streams.rollouts.plan import Plan
from streams.rollouts.rollout import SETTLED, Rollout, usual_concurrency
from streams.rollouts.watching import Watch

__all__ = ["USUAL_PER_DEVICE_HOUR", "Foreseen", "Step", "decisions_per_device_hour", "foresee", "power_of", "rehearse"]

# Where nothing was measured: a reading a second, each of them decided about.
USUAL_PER_DEVICE_HOUR = 3_600.0
LOOK_EVERY_MS = 60_000


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a stage would do to the fleet as it is now."""

    stage: str
    devices: tuple[str, ...]
    offline: int
    # The soonest that it could begin and end, seconds from now, if every device succeeds at once.
    begins_s: float
    ends_s: float


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a rehearsed rollout."""

    at_ms: int
    phase: RolloutPhase
    stage: int
    reason: str
    gates: tuple[GateResult, ...]


def foresee(plan: Plan, devices: Iterable[Device], release: ModelRelease | None, *, now_ms: int) -> list[Foreseen]:
    """Say which devices each stage takes, and when at the soonest; maintenance windows of devices are their own."""
    joined = membership.joined(plan, devices, release, 0)
    usual = usual_concurrency(len(joined))
    stages, at_s = [], max(0.0, (plan.starts_ms - now_ms) / 1_000)
    for number, stage in enumerate(plan.stages):
        # A switch is for those who installed in the stage before.
        taken_by = number - 1 if stage.action == "switch" else number
        taken = [event for event in joined if event.stage == taken_by]
        rounds = math.ceil(len(taken) / (stage.batch or stage.concurrency or usual or max(len(taken), 1)))
        lasts_s = max(0, rounds - 1) * stage.batch_delay_s + rounds * plan.device_bake_s * (stage.action != "install")
        if stage.rate is not None:
            lasts_s = max(lasts_s, 60 * len(taken) / stage.rate.max_per_minute)
        while taken and (freeze := plan.freeze_at(now_ms + round(at_s * 1_000))):
            at_s = (freeze.ends_ms - now_ms) / 1_000
        ends_s = at_s + (lasts_s + stage.bake_s if taken else 0.0)
        offline = sum(not event.online for event in taken)
        stages.append(Foreseen(stage.name, tuple(event.device_id for event in taken), offline, at_s, ends_s))
        at_s = ends_s
    return stages


def decisions_per_device_hour(windows: Iterable[ModelHealth]) -> float | None:
    """Return how often a device decides while it reports, on average; None where nothing was reported."""
    decisions, hours = 0, 0.0
    for window in windows:
        decisions += window.inferences
        hours += (window.window_end_ms - window.window_start_ms) / 3_600_000
    return decisions / hours if decisions else None


def power_of(name: str, gate: object, *, control_devices: int, per_device_hour: float, rate: float = 0.02) -> str:
    """Say in words what a gate on a share can see, for a usual rate and reporting rhythm; empty for other gates.

    >>> from streams.rollouts.gates import GATES
    >>> power_of("anomaly_rate", GATES["anomaly_rate"](), control_devices=40, per_device_hour=3600.0)
    'anomaly_rate can see a doubling of 2 % after 2 devices x 2 h, beside 40 of control'
    """
    if not isinstance(gate, Metric) or gate.metric not in ("anomaly_rate", "error_rate"):
        return ""
    hours = 2.0
    # Devices differ by themselves; a fifth of the rate is usual.
    count = devices_needed(
        rate,
        rate,
        samples_per_device=per_device_hour * hours,
        control_devices=control_devices,
        alpha=gate.alpha,
        spread=rate / 5,
    )
    if count is None:
        return f"{name} cannot see a doubling of {rate:.0%} beside {control_devices} of control".replace("%", " %")
    seen = f"{name} can see a doubling of {rate:.0%} after {count} devices x {hours:g} h".replace("%", " %")
    return f"{seen}, beside {control_devices} of control"


def rehearse(
    plan: Plan,
    devices: Sequence[Device],
    release: ModelRelease | None,
    seen: Iterable[tuple[int, ModelHealth | DriftScores | DriftAlert]],
    *,
    begin_ms: int,
) -> Iterator[Step]:
    """Run a plan over what was recorded, (broker time, record) in order of time, as if all devices had obeyed at once.

    What a device reported speaks for the canary once it would have had the model: so it is the old model's behaviour
    on both sides, and whatever fails here would have been a false alarm.
    """
    rollout = Rollout(plan=replace(plan, starts_ms=begin_ms))
    for event in membership.joined(plan, devices, release, begin_ms):
        rollout, _ = decide(rollout, replace(event, previous="", online=True))
    watch, alerts, told = Watch(), dict[str, DriftAlert](), None
    now_ms = begin_ms
    for at_ms, record in seen:
        while now_ms <= at_ms and rollout.phase not in SETTLED:
            rollout = _look(rollout, watch, alerts.values(), now_ms)
            if (rollout.phase, rollout.stage, rollout.reason) != told:
                told = (rollout.phase, rollout.stage, rollout.reason)
                yield Step(now_ms, rollout.phase, rollout.stage, rollout.reason, rollout.gates)
            now_ms += LOOK_EVERY_MS
        if rollout.phase in SETTLED:
            return
        if isinstance(record, ModelHealth):
            watch.health(rollout, replace(record, model_id=_model_then(rollout, record.device_id)))
        elif isinstance(record, DriftScores):
            watch.scores(rollout, replace(record, model_id=_model_then(rollout, record.device_id)))
        elif record.state is AlertState.RESOLVED:
            alerts.pop(record.alert_id, None)
        elif not record.alert_id.startswith(OWN):
            alerts[record.alert_id] = record


def _model_then(rollout: Rollout, device_id: str) -> str:
    """Return what a device would have run: the plan's model, or any other."""
    row = rollout.members.row(device_id)
    return rollout.plan.model if row is not None and rollout.members.state(row) == State.SUCCEEDED else ""


def _look(rollout: Rollout, watch: Watch, alerts: Iterable[DriftAlert], now_ms: int) -> Rollout:
    if rollout.plan.gates and rollout.phase is not RolloutPhase.SCHEDULED:
        evidence = watch.look(rollout, _of_each_device(rollout, alerts))
        results = tuple(gate.judge(name, evidence) for name, gate in rollout.plan.gates.items())
        rollout, _ = decide(rollout, GatesJudged(results, now_ms))
    rollout, effects = decide(rollout, TimePassed(now_ms))
    waiting = deque(effects)
    while waiting:
        effect = waiting.popleft()
        if isinstance(effect, CommandDevice):
            phase = AckPhase.INSTALLED if effect.action == "install" else AckPhase.SUCCEEDED
            # An answer makes room for the next command.
            rollout, effects = decide(rollout, Acked(effect.device_id, phase, now_ms))
            waiting += effects
    return rollout


def _of_each_device(rollout: Rollout, alerts: Iterable[DriftAlert]) -> Iterator[DriftAlert]:
    for alert in alerts:
        for device_id in alert.members if alert.subject_is_cohort else (alert.subject,):
            model_id = _model_then(rollout, device_id)
            yield replace(alert, subject=device_id, subject_is_cohort=False, model_id=model_id)
