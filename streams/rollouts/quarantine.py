"""Quarantine: a class of devices in which failures gather is set apart, so that the rest can go on.

A person may lift it, with the cause mended or the failures explained: then the class has its turn like any other, and
is not set apart again in this rollout; what fails in it counts like everybody's failures.
"""

from dataclasses import replace

from schemas.rollouts import RolloutPhase
from streams.rollouts.effects import (
    CommandDevice,
    Effect,
    NoteDevice,
    RaiseAlert,
    RefuseRequest,
    ResolveAlert,
    WriteAudit,
)
from streams.rollouts.events import QuarantineLifted
from streams.rollouts.member import IN_FLIGHT, State
from streams.rollouts.rollout import LIVE, Rollout

__all__ = ["apart", "judged", "lifted"]

_WHO = "rollouts"
_ALERT = "rollout_quarantine"
_IN_VAIN = (State.FAILED, State.TIMED_OUT)
_NOT_PROVED = (State.WAITING, State.OFFLINE, State.HELD, *IN_FLIGHT, State.ABSENT, State.BACKING_OFF, *_IN_VAIN)


def apart(rollout: Rollout, kin: str) -> str:
    """Return the trait for which a device of this kin is set apart; empty for none."""
    return next((trait for trait in kin.split("|") if trait in rollout.quarantined), "")


def judged(rollout: Rollout, row: int, effects: list[Effect]) -> Rollout:
    """Set a class of a device that failed apart, if the failures gather in it."""
    policy, members = rollout.plan.quarantine, rollout.members
    if policy is None:
        return rollout
    for trait in filter(None, members.kin(row).split("|")):
        if trait in rollout.lifted or trait.partition("=")[0] not in policy.by:
            continue
        failed = len(members.kin_rows(trait, _IN_VAIN))
        settled = failed + len(members.kin_rows(trait, (State.SUCCEEDED,)))
        everywhere = sum(members.total_in(state) for state in _IN_VAIN)
        spared = members.total_in(State.SUCCEEDED) - (settled - failed)
        # A class that holds everybody who was tried is no class: then it is the release.
        if failed < policy.min_failures or failed < policy.share * settled or failed < everywhere or not spared:
            continue
        _set_apart(rollout, trait, effects)
        why = f"{failed} of {settled} devices with {trait} failed, and no others"
        effects.append(WriteAudit("quarantined", _WHO, why, {"trait": trait}))
        effects.append(RaiseAlert(_ALERT, why))
        return replace(rollout, quarantined=rollout.quarantined | {trait})
    return rollout


def lifted(rollout: Rollout, event: QuarantineLifted, effects: list[Effect]) -> Rollout:
    """Let a class have its turn again, while the rollout serves anybody at all."""
    if rollout.phase not in (*LIVE, RolloutPhase.SUCCEEDED):
        return _refused(rollout, event, f"the rollout is {rollout.phase.value}", effects)
    if event.trait not in rollout.quarantined:
        known = ", ".join(sorted(rollout.quarantined)) or "none"
        return _refused(rollout, event, f"no devices with {event.trait!r} are set apart; set apart: {known}", effects)
    members, again = rollout.members, 0
    after = replace(rollout, quarantined=rollout.quarantined - {event.trait}, lifted=rollout.lifted | {event.trait})
    for row in members.kin_rows(event.trait, (State.QUARANTINED,)):
        if not apart(after, members.kin(row)):
            members.wait(row, attempts=0)
            effects.append(NoteDevice(members.ids[row]))
            again += 1
    evidence = {"trait": event.trait, "devices": str(again)}
    effects.append(WriteAudit("quarantine lifted", event.who, event.why, evidence))
    if not after.quarantined:
        effects.append(ResolveAlert(_ALERT))
    return after


def _refused(rollout: Rollout, event: QuarantineLifted, why: str, effects: list[Effect]) -> Rollout:
    effects.append(RefuseRequest("lift a quarantine", event.who, f"cannot lift a quarantine: {why}"))
    return rollout


def _set_apart(rollout: Rollout, trait: str, effects: list[Effect]) -> None:
    members = rollout.members
    for row in members.kin_rows(trait, _NOT_PROVED):
        if members.touched(row):
            effects.append(CommandDevice(members.ids[row], members.previous(row)))
        members.move(row, State.QUARANTINED, f"{trait} fails as a class")
        effects.append(NoteDevice(members.ids[row]))
