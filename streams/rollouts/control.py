"""What people may do with a rollout, and what they are told when they may not."""

from dataclasses import replace

from schemas.rollouts import RolloutPhase
from streams.rollouts.effects import Effect, NoteDevice, RefuseRequest, ResolveAlert, WriteAudit
from streams.rollouts.events import (
    Aborted,
    Approved,
    BakeSkipped,
    Cancelled,
    Paused,
    Promoted,
    Resumed,
    Retried,
    Superseded,
)
from streams.rollouts.member import State
from streams.rollouts.progress import MACHINE, advance, begin, pause, roll_back
from streams.rollouts.rollout import LIVE, SETTLED, Rollout

__all__ = [
    "aborted",
    "approved",
    "bake_skipped",
    "cancelled",
    "paused",
    "promoted",
    "resumed",
    "retried",
    "superseded",
]

_TRIED_IN_VAIN = (State.FAILED, State.TIMED_OUT)
# Whoever was reached by an aborted rollout and does not run its model any more.
_TO_TRY_ANEW = (*_TRIED_IN_VAIN, State.ROLLED_BACK, State.STRANDED, State.RETURNING, State.BACKING_OFF)


def paused(rollout: Rollout, event: Paused, effects: list[Effect]) -> Rollout:
    if rollout.phase not in LIVE or rollout.phase is RolloutPhase.PAUSED:
        return _refuse(rollout, "pause", event.who, effects)
    return pause(rollout, event.why, event.who, event.now_ms, effects)


def resumed(rollout: Rollout, event: Resumed, effects: list[Effect]) -> Rollout:
    """Go on where it paused; gates that it paused for as inconclusive are accepted for this stage."""
    if rollout.phase is not RolloutPhase.PAUSED:
        return _refuse(rollout, "resume", event.who, effects)
    accepted = dict.fromkeys(sorted(rollout.paused_for), "accepted")
    effects.append(WriteAudit("resumed", event.who, event.why, accepted))
    effects.append(ResolveAlert("rollout_paused"))
    resumed = replace(
        rollout,
        phase=rollout.resume_to,
        reason=f"resumed by {event.who}",
        changed_ms=event.now_ms,
        accepted=rollout.accepted | rollout.paused_for,
        paused_for=frozenset(),
        absent_ms=0,
    )
    # The bake went on meanwhile; patience with gates that have no data begins anew.
    baked_ms = event.now_ms - int(rollout.here.bake_s * 1_000)
    return replace(resumed, bake_ms=max(rollout.bake_ms, baked_ms)) if rollout.bake_ms else resumed


def promoted(rollout: Rollout, event: Promoted, effects: list[Effect]) -> Rollout:
    if rollout.phase not in LIVE:
        return _refuse(rollout, "promote", event.who, effects)
    effects.append(ResolveAlert("rollout_paused"))
    if not event.full:
        return advance(rollout, event.why, event.who, event.now_ms, effects)
    effects.append(WriteAudit("promoted to everybody", event.who, event.why))
    rollout = replace(rollout, full=True)
    # Stages that only widen are left out; an installation has to be switched to, whoever hurries.
    while rollout.stage + 1 < len(rollout.plan.stages) and rollout.plan.stages[rollout.stage + 1].action == "run":
        rollout = advance(rollout, event.why, event.who, event.now_ms, effects)
    return replace(rollout, phase=RolloutPhase.RUNNING, reason=f"promoted by {event.who}")


def bake_skipped(rollout: Rollout, event: BakeSkipped, effects: list[Effect]) -> Rollout:
    """End the bake now; gates and approval still count."""
    if rollout.phase is not RolloutPhase.BAKING:
        return _refuse(rollout, "skip the bake of", event.who, effects)
    effects.append(WriteAudit("skipped the bake", event.who, event.why))
    return replace(rollout, bake_ms=event.now_ms - int(rollout.here.bake_s * 1_000))


def approved(rollout: Rollout, event: Approved, effects: list[Effect]) -> Rollout:
    if rollout.phase is not RolloutPhase.AWAITING_APPROVAL:
        return _refuse(rollout, "approve", event.who, effects)
    effects.append(WriteAudit("approved", event.who, event.why))
    return advance(rollout, f"approved by {event.who}", event.who, event.now_ms, effects)


def aborted(rollout: Rollout, event: Aborted, effects: list[Effect]) -> Rollout:
    """Stop; devices that were commanded go back, or are left with what they have."""
    if rollout.phase not in LIVE:
        return _refuse(rollout, "abort", event.who, effects)
    effects.append(ResolveAlert("rollout_paused"))
    why = f"aborted by {event.who}: {event.why}"
    if event.rollback:
        return roll_back(rollout, why, event.who, event.now_ms, effects, ending=RolloutPhase.ABORTED)
    effects.append(WriteAudit("aborted", event.who, event.why))
    return replace(rollout, phase=RolloutPhase.ABORTED, reason=why, changed_ms=event.now_ms)


def cancelled(rollout: Rollout, event: Cancelled, effects: list[Effect]) -> Rollout:
    if rollout.phase is not RolloutPhase.SCHEDULED:
        return _refuse(rollout, "cancel", event.who, effects)
    effects.append(WriteAudit("cancelled", event.who, event.why))
    why = f"cancelled by {event.who}: {event.why}"
    return replace(rollout, phase=RolloutPhase.CANCELLED, reason=why, changed_ms=event.now_ms)


def retried(rollout: Rollout, event: Retried, effects: list[Effect]) -> Rollout:
    if rollout.phase is RolloutPhase.ABORTED:
        return _begun_anew(rollout, event, effects)
    if rollout.phase not in LIVE:
        return _refuse(rollout, "retry", event.who, effects)
    again = _requeue(rollout, _TRIED_IN_VAIN, effects)
    effects.append(WriteAudit("retried", event.who, event.why, {"devices": str(again)}))
    if rollout.phase is not RolloutPhase.PAUSED or not again:
        return rollout
    effects.append(ResolveAlert("rollout_paused"))
    reason = f"{again} devices retried by {event.who}"
    return replace(rollout, phase=RolloutPhase.RUNNING, reason=reason, changed_ms=event.now_ms, bake_ms=0)


def superseded(rollout: Rollout, event: Superseded, effects: list[Effect]) -> Rollout:
    """Leave the field to a successor; what is being rolled back goes on being so until the successor takes it."""
    if rollout.phase in SETTLED or rollout.phase is RolloutPhase.ROLLING_BACK:
        return rollout
    why = f"superseded by {event.by}"
    effects.append(WriteAudit("superseded", MACHINE, why))
    effects.append(ResolveAlert("rollout_paused"))
    return replace(rollout, phase=RolloutPhase.SUPERSEDED, reason=why, changed_ms=event.now_ms)


def _begun_anew(rollout: Rollout, event: Retried, effects: list[Effect]) -> Rollout:
    again = _requeue(rollout, _TO_TRY_ANEW, effects, from_the_first_step=True)
    effects.append(WriteAudit("retried", event.who, event.why, {"devices": str(again)}))
    effects.append(ResolveAlert("rollout_failed"))
    fresh = Rollout(plan=rollout.plan, members=rollout.members)
    return begin(fresh, event.now_ms, effects)


def _requeue(
    rollout: Rollout, states: tuple[State, ...], effects: list[Effect], *, from_the_first_step: bool = False
) -> int:
    members, stages = rollout.members, rollout.plan.stages
    rows = members.touched_rows(only_in=states)
    for row in rows:
        stage = members.stage(row)
        if from_the_first_step and 0 < stage < len(stages) and stages[stage].action == "switch":
            # What it installed for the switch may be gone by now.
            stage -= 1
        members.wait(row, attempts=0, stage=stage)
        # Its turn may be long in coming, and a successor has to know that it waits.
        effects.append(NoteDevice(rollout.members.ids[row]))
    return len(rows)


def _refuse(rollout: Rollout, action: str, who: str, effects: list[Effect]) -> Rollout:
    effects.append(RefuseRequest(action, who, f"cannot {action} a rollout that is {rollout.phase.value}"))
    return rollout
