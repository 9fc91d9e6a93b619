"""Rollout state machine: what becomes of a plan as its devices, its gates and its operators report.

It keeps these rules:

* a device counts once, for the newest thing it said, and failure wins over success;
* failure is judged first, and strictly more than the threshold fails;
* a stage whose devices are all settled, too few of them well, pauses and never advances;
* a gate without data never passes, and a breach rolls back wherever the rollout waits;
* a rollout begins when there is a device to begin with;
* whatever has begun ends, by its deadline at the latest, and a settled rollout never moves again.

`decide` is a function of the state and the event alone. The state's table of devices is moved, not copied: whoever
wants to keep a state keeps its records.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from schemas.rollouts import AckPhase, RolloutPhase
from streams.rollouts import control, devices, progress, quarantine
from streams.rollouts.effects import Effect
from streams.rollouts.events import (
    Aborted,
    Acked,
    Approved,
    BakeSkipped,
    Cancelled,
    CohortJoined,
    DeviceFreed,
    DeviceJoined,
    DeviceLeft,
    DeviceProved,
    DeviceSeen,
    DeviceTaken,
    Event,
    GatesJudged,
    Paused,
    Promoted,
    QuarantineLifted,
    Resumed,
    Retried,
    Superseded,
    TimePassed,
)
from streams.rollouts.rollout import LIVE, Rollout

__all__ = ["decide"]


def decide(rollout: Rollout, event: Event) -> tuple[Rollout, tuple[Effect, ...]]:
    """Return the rollout after `event`, and what the shell should now do, in order."""
    effects: list[Effect] = []
    after = _TAKE[type(event)](rollout, event, effects)
    if type(event) is Acked and (not effects or event.phase in _CHANGES_NOTHING):
        # Most reports say that somebody is under way; nothing follows from that.
        return after, tuple(effects)
    after = progress.go_on(after, event.now_ms, effects)
    return after, tuple(effects)


def _time_passed(rollout: Rollout, event: TimePassed, effects: list[Effect]) -> Rollout:
    if progress.may_begin(rollout, event.now_ms):
        rollout = progress.begin(rollout, event.now_ms, effects)
    elif rollout.phase is RolloutPhase.SCHEDULED and event.now_ms >= rollout.plan.starts_ms:
        rollout = replace(rollout, reason="waits for its first device")
    rollout = devices.expire(rollout, event.now_ms, effects)
    return progress.keep_deadline(rollout, event.now_ms, effects)


def _gates_judged(rollout: Rollout, event: GatesJudged, _effects: list[Effect]) -> Rollout:
    if rollout.phase not in LIVE or event.results == rollout.gates:
        return rollout
    return replace(rollout, gates=event.results)


# "Installed" may settle a device, where installing is all that its stage asks.
_CHANGES_NOTHING = devices.UNDER_WAY - {AckPhase.INSTALLED}

_TAKE: dict[type, Callable[[Rollout, Any, list[Effect]], Rollout]] = {
    TimePassed: _time_passed,
    Acked: devices.acked,
    GatesJudged: _gates_judged,
    CohortJoined: devices.cohort_joined,
    DeviceJoined: devices.joined,
    DeviceLeft: devices.left,
    DeviceSeen: devices.seen,
    DeviceProved: devices.proved,
    DeviceTaken: devices.taken,
    DeviceFreed: devices.freed,
    Paused: control.paused,
    Resumed: control.resumed,
    Promoted: control.promoted,
    BakeSkipped: control.bake_skipped,
    Approved: control.approved,
    Aborted: control.aborted,
    Cancelled: control.cancelled,
    Retried: control.retried,
    QuarantineLifted: quarantine.lifted,
    Superseded: control.superseded,
}
