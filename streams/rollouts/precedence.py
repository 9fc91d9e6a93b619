"""Precedence: what a rollout that begins or ends means for the others, as what each of them is to be told.

Each pair is told before the next one is asked for, so that a later one follows from what the former brought about.
"""

from collections.abc import Iterator, Mapping

from schemas.rollouts import RolloutPhase
from streams.rollouts.events import DeviceFreed, DeviceTaken, Event, Superseded
from streams.rollouts.member import IN_FLIGHT, State
from streams.rollouts.rings import NO_STAGE
from streams.rollouts.rollout import SETTLED, Rollout

__all__ = ["AT_WORK", "STRAGGLING", "give_way", "make_way", "newest_success_first", "replace_waiting"]

AT_WORK = (*IN_FLIGHT, State.BACKING_OFF, State.RETURNING)
STRAGGLING = (State.WAITING, State.OFFLINE, State.HELD, State.BACKING_OFF)

Told = Iterator[tuple[str, Event]]


def newest_success_first(rollouts: Mapping[str, Rollout]) -> list[tuple[str, Rollout]]:
    """Return all rollouts, those that succeeded in the order in which they count: what succeeded last goes first."""
    return sorted(rollouts.items(), key=lambda item: item[1].changed_ms)[::-1]


def replace_waiting(rollouts: Mapping[str, Rollout], rollout: Rollout, now_ms: int) -> Told:
    """A rollout is there: older ones of its model that still wait for a first device are not begun any more."""
    for other_id, other in _others(rollouts, rollout):
        waits = other.phase is RolloutPhase.SCHEDULED and other.plan.starts_ms <= now_ms
        if waits and _model(other) == _model(rollout):
            yield other_id, Superseded(rollout.plan.rollout_id, now_ms)


def make_way(rollouts: Mapping[str, Rollout], rollout: Rollout, now_ms: int) -> Told:
    """A rollout begins: its model's older ones leave the field, and the graver of two others goes first."""
    for other_id, other in _others(rollouts, rollout):
        if other.phase in SETTLED or other.phase is RolloutPhase.SCHEDULED:
            continue
        if _model(other) == _model(rollout):
            yield other_id, Superseded(rollout.plan.rollout_id, now_ms)
        else:
            first, second = (rollout, other) if rollout.plan.priority > other.plan.priority else (other, rollout)
            yield from _hold(second, first, now_ms)


def give_way(rollouts: Mapping[str, Rollout], rollout: Rollout, now_ms: int) -> Told:
    """A rollout has ended: what it brought counts now, and those that waited for its devices may have them."""
    if rollout.phase is RolloutPhase.SUCCEEDED:
        yield from _replace_older(rollouts, rollout, now_ms)
    for other_id, other in _others(rollouts, rollout):
        if other.members.total_in(State.HELD):
            for device_id in rollout.members.ids:
                if other.members.row(device_id) is not None:
                    yield other_id, DeviceFreed(device_id, now_ms)


def _hold(rollout: Rollout, first: Rollout, now_ms: int) -> Told:
    members = rollout.members
    shared = [row for row, device_id in enumerate(members.ids) if first.members.row(device_id) is not None]
    # Those in flight come last: each makes room, which nobody that is to be held should fill.
    for row in sorted(shared, key=lambda row: members.state(row) in AT_WORK):
        yield rollout.plan.rollout_id, DeviceTaken(members.ids[row], first.plan.rollout_id, False, now_ms)


def _replace_older(rollouts: Mapping[str, Rollout], rollout: Rollout, now_ms: int) -> Told:
    """Absentees take what counts when they return: of rollouts that succeeded, only the newest."""
    for other_id, other in _others(rollouts, rollout):
        anybody = any(other.members.total_in(state) for state in STRAGGLING)
        if other.phase is not RolloutPhase.SUCCEEDED or not anybody:
            continue
        for row, device_id in enumerate(other.members.ids):
            if other.members.state(row) in STRAGGLING and _takes(rollout, device_id):
                yield other_id, DeviceTaken(device_id, rollout.plan.rollout_id, True, now_ms)


def _others(rollouts: Mapping[str, Rollout], rollout: Rollout) -> list[tuple[str, Rollout]]:
    return [(name, other) for name, other in rollouts.items() if name != rollout.plan.rollout_id]


def _model(rollout: Rollout) -> str:
    return rollout.plan.model.partition("/")[0]


def _takes(rollout: Rollout, device_id: str) -> bool:
    row = rollout.members.row(device_id)
    return row is not None and rollout.members.stage(row) != NO_STAGE
