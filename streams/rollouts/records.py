"""A rollout as records on topics, and back: what a successor restores is what was published."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from schemas.record import changed
from schemas.rollouts import DeviceInRollout, RolloutDevice, RolloutPhase, RolloutStatus
from streams.rollouts.member import Member, State
from streams.rollouts.plan import Plan
from streams.rollouts.rollout import SETTLED, Pace, Rollout

__all__ = ["device_of", "given_up", "is_put_away", "restored_head", "restored_member", "status_of"]

_PUBLISHED = tuple(state.published for state in State)


def status_of(rollout: Rollout, digested: Mapping[str, int], *, put_away: bool = False) -> RolloutStatus:
    """Return the status to be published; of a rollout that is put away no successor restores anything."""
    return RolloutStatus(
        rollout_id=rollout.plan.rollout_id,
        model_id=rollout.plan.model,
        phase=rollout.phase,
        stage=rollout.stage,
        stages=len(rollout.plan.stages),
        reason=rollout.reason,
        changed_ms=rollout.changed_ms,
        devices=rollout.members.totals(),
        gates=rollout.gates,
        digested=dict(digested),
        state=json.dumps({**_head(rollout), **({"put_away": True} if put_away else {})}, sort_keys=True),
        stage_devices={
            f"{stage}/{state}": count
            for stage in range(len(rollout.plan.stages))
            for state, count in rollout.members.totals_of(stage).items()
        },
    )


def given_up(status: RolloutStatus, why: str, now_ms: int) -> RolloutStatus:
    """Return the last status of a rollout whose plan cannot be followed any more."""
    last = changed(status, state=json.dumps({**json.loads(status.state), "put_away": True}, sort_keys=True))
    if status.phase in SETTLED:
        return last
    return changed(last, phase=RolloutPhase.ABORTED, reason=why, changed_ms=now_ms)


def is_put_away(status: RolloutStatus) -> bool:
    return bool(json.loads(status.state).get("put_away"))


def restored_head(plan: Plan, status: RolloutStatus) -> Rollout:
    """Return the rollout as its status has it, still without its devices."""
    head: dict[str, Any] = json.loads(status.state)
    return Rollout(
        plan=plan,
        phase=status.phase,
        stage=status.stage,
        reason=status.reason,
        changed_ms=status.changed_ms,
        gates=status.gates,
        started_ms=head["started_ms"],
        stage_ms=head["stage_ms"],
        bake_ms=head["bake_ms"],
        absent_ms=head["absent_ms"],
        accepted=frozenset(head["accepted"]),
        paused_for=frozenset(head["paused_for"]),
        resume_to=RolloutPhase(head["resume_to"]),
        ending=RolloutPhase(head["ending"]),
        full=head["full"],
        quarantined=frozenset(head["quarantined"]),
        # Newer than the first statuses.
        lifted=frozenset(head.get("lifted", ())),
        pace=Pace(**head["pace"]),
    )


def device_of(rollout: Rollout, row: int, *, revision: int, now_ms: int) -> RolloutDevice:
    # Column by column: a row as a value would take as long as the rest.
    members = rollout.members
    return RolloutDevice(
        rollout_id=rollout.plan.rollout_id,
        device_id=members.ids[row],
        state=_PUBLISHED[members.state(row)],
        stage=members.stage(row),
        revision=revision if members.touched(row) else 0,
        attempts=members.attempts(row),
        previous_model_id=members.previous(row),
        reason=members.reason(row),
        changed_ms=now_ms,
        awaited_ms=members.at_ms(row),
    )


def restored_member(device: RolloutDevice, known: Member) -> Member:
    """Return a device's row as published; place, kind and presence are as the fleet now knows them."""
    state = State[DeviceInRollout(device.state).name]
    if state in (State.WAITING, State.OFFLINE):
        state = State.WAITING if known.online else State.OFFLINE
    return replace(
        known,
        state=state,
        stage=device.stage,
        attempts=device.attempts,
        previous=device.previous_model_id,
        touched=device.revision > 0,
        published=True,
        at_ms=device.awaited_ms,
        reason=device.reason,
    )


def _head(rollout: Rollout) -> dict[str, Any]:
    pace = rollout.pace
    return {
        "started_ms": rollout.started_ms,
        "stage_ms": rollout.stage_ms,
        "bake_ms": rollout.bake_ms,
        "absent_ms": rollout.absent_ms,
        "accepted": sorted(rollout.accepted),
        "paused_for": sorted(rollout.paused_for),
        "resume_to": rollout.resume_to.value,
        "ending": rollout.ending.value,
        "full": rollout.full,
        "quarantined": sorted(rollout.quarantined),
        "lifted": sorted(rollout.lifted),
        "pace": {
            "batch_left": pace.batch_left,
            "batches": pace.batches,
            "next_batch_ms": pace.next_batch_ms,
            "tokens": pace.tokens,
            "tokens_ms": pace.tokens_ms,
        },
    }
