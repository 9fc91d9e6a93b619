"""What becomes of one device in a rollout: rows move here, and nowhere else."""

import numpy as np

from schemas.rollouts import AckPhase
from streams.rollouts import quarantine
from streams.rollouts.effects import CommandDevice, Effect, NoteDevice
from streams.rollouts.events import (
    Acked,
    CohortJoined,
    DeviceFreed,
    DeviceJoined,
    DeviceLeft,
    DeviceProved,
    DeviceSeen,
    DeviceTaken,
)
from streams.rollouts.member import IN_FLIGHT, Member, State
from streams.rollouts.rings import NO_STAGE
from streams.rollouts.rollout import Rollout

__all__ = [
    "UNDER_WAY",
    "acked",
    "cohort_joined",
    "command",
    "expire",
    "freed",
    "joined",
    "left",
    "proved",
    "seen",
    "send_back",
    "taken",
]

UNDER_WAY = {AckPhase.RECEIVED, AckPhase.POSTPONED, AckPhase.DOWNLOADING, AckPhase.INSTALLED, AckPhase.TRIAL}
_BAD_END = {AckPhase.FAILED, AckPhase.FELL_BACK, AckPhase.REFUSED}
# Where a device may be when a report on its newest command still says something new.
_AWAITED = {State.COMMANDED, State.IN_PROGRESS, State.ABSENT, State.TIMED_OUT}
# A device that said "later", for its maintenance window or its battery, will come to it within a day.
POSTPONED_MS = 86_400_000
_GOING_BACK = {State.RETURNING, State.STRANDED}


def acked(rollout: Rollout, event: Acked, effects: list[Effect]) -> Rollout:
    row = rollout.members.row(event.device_id)
    if row is None:
        return rollout
    state = rollout.members.state(row)
    if state in _GOING_BACK:
        _acked_return(rollout, row, event, effects)
    elif event.phase in _BAD_END:
        if state in _AWAITED or state == State.SUCCEEDED:
            return _failed(rollout, row, event, effects)
    elif state not in _AWAITED:
        # Late news of what is settled: "in progress" after "succeeded", "succeeded" after a failure.
        return rollout
    elif event.phase is AckPhase.SUCCEEDED or (event.phase is AckPhase.INSTALLED and _installs(rollout, row)):
        _move(rollout, row, State.SUCCEEDED, effects)
    elif event.phase in UNDER_WAY and state != State.TIMED_OUT:
        _under_way(rollout, row, event, effects)
    return rollout


def command(rollout: Rollout, row: int, now_ms: int, effects: list[Effect]) -> None:
    """Give a device the plan's model."""
    members = rollout.members
    members.take_up(row, State.COMMANDED, now_ms, min(members.attempts(row) + 1, 255))
    device_id = members.ids[row]
    effects.append(CommandDevice(device_id, rollout.plan.model, rollout.stage_of(row).action))
    effects.append(NoteDevice(device_id))


def send_back(rollout: Rollout, row: int, now_ms: int, effects: list[Effect]) -> None:
    """Give a device back what it ran before; one that ran nothing has its desired state taken away."""
    members = rollout.members
    device_id, previous = members.ids[row], members.previous(row)
    effects.append(CommandDevice(device_id, previous))
    if previous:
        members.take_up(row, State.RETURNING, now_ms, 1)
    else:
        members.move(row, State.ROLLED_BACK, "it had no model to go back to")
    effects.append(NoteDevice(device_id))


def cohort_joined(rollout: Rollout, event: CohortJoined, effects: list[Effect]) -> Rollout:
    """Take in a whole cohort at once: a million devices one by one would take as many decisions."""
    found, members = event.arrivals, rollout.members
    # As in `joined`: who runs the model already needs no command.
    at_once = np.fromiter((model == rollout.plan.model for model in found.previous), np.bool_, len(found.ids))
    states = np.where(at_once, State.SUCCEEDED, np.where(found.online, State.WAITING, State.OFFLINE)).astype(np.uint8)
    members.extend(found, states)
    # Of the others a successor knows the stage by their own hash and labels.
    effects += [NoteDevice(found.ids[row]) for row in np.flatnonzero(at_once | found.chosen).tolist()]
    return rollout


def joined(rollout: Rollout, event: DeviceJoined, effects: list[Effect]) -> Rollout:
    members = rollout.members
    row = members.row(event.device_id)
    if row is not None and members.state(row) != State.LEFT:
        return _labelled_anew(rollout, row, event, effects)
    waiting = State.WAITING if event.online else State.OFFLINE
    # Who runs the model already needs no command, and has nothing to be taken back.
    at_once = event.previous == rollout.plan.model
    known = members.member(row) if row is not None else None
    apart = "" if at_once else quarantine.apart(rollout, event.kin)
    settled = State.SUCCEEDED if at_once else State.QUARANTINED
    members.add(
        Member(
            device_id=event.device_id,
            state=settled if at_once or apart else waiting,
            stage=event.stage,
            position=event.position,
            attempts=0,
            previous=known.previous if known and known.touched else event.previous,
            kin=event.kin,
            online=event.online,
            touched=bool(known and known.touched),
            reason=f"{apart} fails as a class" if apart else "",
        )
    )
    if known is not None or at_once or apart:
        effects.append(NoteDevice(event.device_id))
    return rollout


def left(rollout: Rollout, event: DeviceLeft, effects: list[Effect]) -> Rollout:
    row = rollout.members.row(event.device_id)
    if row is not None and rollout.members.state(row) not in (State.LEFT, State.SUPERSEDED, *_GOING_BACK):
        _move(rollout, row, State.LEFT, effects)
    return rollout


def seen(rollout: Rollout, event: DeviceSeen, effects: list[Effect]) -> Rollout:
    members = rollout.members
    row = members.row(event.device_id)
    if row is None or members.online(row) == event.online:
        return rollout
    members.set_online(row, event.online)
    match members.state(row):
        case State.OFFLINE if event.online:
            members.wait(row)
        case State.WAITING if not event.online:
            members.move(row, State.OFFLINE)
        case State.ABSENT if event.online:
            # Its command still stands; from now on it is awaited again.
            members.move(row, State.IN_PROGRESS)
            members.await_from(row, event.now_ms)
        case _:
            return rollout
    if members.touched(row):
        effects.append(NoteDevice(event.device_id))
    return rollout


def proved(rollout: Rollout, event: DeviceProved, effects: list[Effect]) -> Rollout:
    members = rollout.members
    row = members.row(event.device_id)
    if row is None or members.touched(row):
        return rollout
    members.set_previous(row, event.model)
    if event.model == rollout.plan.model and members.state(row) in (State.WAITING, State.OFFLINE, State.HELD):
        # It came by the model in another way, and needs no command for it.
        _move(rollout, row, State.SUCCEEDED, effects)
    return rollout


def taken(rollout: Rollout, event: DeviceTaken, effects: list[Effect]) -> Rollout:
    members = rollout.members
    row = members.row(event.device_id)
    if row is None or members.state(row) in (State.LEFT, State.SUPERSEDED):
        return rollout
    if not event.for_good and members.state(row) in (State.WAITING, State.OFFLINE):
        _move(rollout, row, State.HELD, effects, f"{event.by} has it")
    elif event.for_good or members.state(row) in (*IN_FLIGHT, State.ABSENT, State.BACKING_OFF, *_GOING_BACK):
        _move(rollout, row, State.SUPERSEDED, effects, f"{event.by} took it over")
    return rollout


def freed(rollout: Rollout, event: DeviceFreed, effects: list[Effect]) -> Rollout:
    row = rollout.members.row(event.device_id)
    if row is not None and rollout.members.state(row) == State.HELD:
        rollout.members.wait(row)
        effects.append(NoteDevice(event.device_id))
    return rollout


def expire(rollout: Rollout, now_ms: int, effects: list[Effect]) -> Rollout:
    """Judge the devices that were awaited for too long, and queue those whose back-off is over."""
    members = rollout.members
    timeouts_ms = [int(stage.timeout_s * 1_000) for stage in rollout.plan.stages]
    for row in members.overdue(timeouts_ms, now_ms):
        if members.state(row) not in (*IN_FLIGHT, State.RETURNING):
            # Commanded twice in one moment: it is in the queue twice.
            continue
        if members.state(row) == State.RETURNING:
            _move(rollout, row, State.STRANDED, effects, "not heard from since it was told to go back")
        elif not members.online(row):
            _move(rollout, row, State.ABSENT, effects, "offline since it was commanded")
        elif members.attempts(row) <= rollout.stage_of(row).retries:
            _back_off(rollout, row, now_ms, effects, "timed out")
        else:
            _move(rollout, row, State.TIMED_OUT, effects, "timed out")
            rollout = quarantine.judged(rollout, row, effects)
    for row in members.due_again(now_ms):
        members.wait(row)
        effects.append(NoteDevice(members.ids[row]))
    return rollout


def _acked_return(rollout: Rollout, row: int, event: Acked, effects: list[Effect]) -> None:
    members = rollout.members
    if event.phase is AckPhase.SUCCEEDED:
        _move(rollout, row, State.ROLLED_BACK, effects)
    elif event.phase not in _BAD_END:
        return
    elif members.attempts(row) <= rollout.stage_of(row).retries:
        attempts = members.attempts(row) + 1
        members.take_up(row, State.RETURNING, event.now_ms, attempts)
        effects.append(CommandDevice(event.device_id, members.previous(row)))
        effects.append(NoteDevice(event.device_id))
    else:
        _move(rollout, row, State.STRANDED, effects, f"could not go back: {event.reason or event.phase.value}")


def _failed(rollout: Rollout, row: int, event: Acked, effects: list[Effect]) -> Rollout:
    members = rollout.members
    reason = event.reason or event.phase.value
    may_retry = event.phase is not AckPhase.REFUSED and members.state(row) in (*IN_FLIGHT, State.ABSENT)
    if may_retry and members.attempts(row) <= rollout.stage_of(row).retries:
        _back_off(rollout, row, event.now_ms, effects, reason)
        return rollout
    _move(rollout, row, State.FAILED, effects, reason)
    return quarantine.judged(rollout, row, effects)


def _under_way(rollout: Rollout, row: int, event: Acked, effects: list[Effect]) -> None:
    members = rollout.members
    was = members.state(row)
    postponed = event.phase is AckPhase.POSTPONED
    awaited_ms = event.now_ms + POSTPONED_MS if postponed else event.now_ms
    # It goes to work, or says when it will: the timeout begins anew.
    anew = postponed or was == State.ABSENT or members.at_ms(row) > event.now_ms
    if anew:
        members.await_from(row, awaited_ms)
    if anew or was != State.IN_PROGRESS:
        _move(rollout, row, State.IN_PROGRESS, effects, event.reason)


def _back_off(rollout: Rollout, row: int, now_ms: int, effects: list[Effect], reason: str) -> None:
    members = rollout.members
    wait_s = rollout.stage_of(row).backoff_s * 2.0 ** (members.attempts(row) - 1)
    members.back_off(row, now_ms + int(wait_s * 1_000), reason)
    effects.append(NoteDevice(members.ids[row]))


def _labelled_anew(rollout: Rollout, row: int, event: DeviceJoined, effects: list[Effect]) -> Rollout:
    """Give a device the stage and the kind that its labels now say; what has begun with it goes on where it is."""
    members = rollout.members
    members.set_kin(row, event.kin)
    if members.published(row) or members.touched(row):
        return rollout
    if members.stage(row) != event.stage:
        members.wait(row, stage=event.stage)
    if apart := quarantine.apart(rollout, event.kin):
        _move(rollout, row, State.QUARANTINED, effects, f"{apart} fails as a class")
    return rollout


def _installs(rollout: Rollout, row: int) -> bool:
    stage = rollout.members.stage(row)
    return stage != NO_STAGE and rollout.plan.stages[stage].action == "install"


def _move(rollout: Rollout, row: int, state: State, effects: list[Effect], reason: str = "") -> None:
    rollout.members.move(row, state, reason)
    effects.append(NoteDevice(rollout.members.ids[row]))
