"""Pace: whom to command next, and how many, as concurrency, batches, rate and freezes allow."""

from dataclasses import replace

from streams.rollouts import devices
from streams.rollouts.effects import Effect
from streams.rollouts.member import IN_FLIGHT, State
from streams.rollouts.rollout import Pace, Rollout

__all__ = ["fill"]

_UNSETTLED = (*IN_FLIGHT, State.BACKING_OFF)


def fill(
    rollout: Rollout, now_ms: int, effects: list[Effect], *, most: int, unpaced: bool = False
) -> tuple[Rollout, bool]:
    """Command devices whose turn it is; tell as well whether more could be commanded at once."""
    members = rollout.members
    nobody = not members.total_in(State.WAITING) or not members.count_of((State.WAITING,), rollout.reached)
    if nobody or rollout.plan.freeze_at(now_ms):
        return rollout, False
    if not unpaced:
        rollout = _paced(rollout, now_ms)
    room = most if unpaced else min(most, _room(rollout))
    given = 0
    while given < room:
        row = members.next_waiting(rollout.stage)
        if row is None:
            break
        devices.command(rollout, row, now_ms, effects)
        given += 1
    if given and not unpaced:
        rollout = _spent(rollout, given)
    return rollout, given == most


def _paced(rollout: Rollout, now_ms: int) -> Rollout:
    """Bring batch and rate up to the time."""
    stage, pace = rollout.here, rollout.pace
    if stage.batch:
        batch = _next_batch(rollout, pace, now_ms)
        return rollout if batch is pace else replace(rollout, pace=batch)
    if stage.rate is None or now_ms <= pace.tokens_ms:
        return rollout
    per_minute = stage.rate.per_minute(rollout.members.count(State.SUCCEEDED, rollout.stage))
    gained = per_minute * (now_ms - pace.tokens_ms) / 60_000
    # What was not used a second ago is gone: a rate is no licence for bursts.
    tokens = min(pace.tokens + gained, max(1.0, per_minute / 60))
    return replace(rollout, pace=replace(pace, tokens=tokens, tokens_ms=now_ms))


def _next_batch(rollout: Rollout, pace: Pace, now_ms: int) -> Pace:
    if pace.batch_left or _in_any_stage(rollout, _UNSETTLED):
        return pace
    if not pace.next_batch_ms:
        # The first batch goes at once; a later one when the last is settled and the delay has passed.
        delay_ms = int(rollout.here.batch_delay_s * 1_000) if pace.batches else 0
        pace = replace(pace, next_batch_ms=now_ms + delay_ms)
    if now_ms < pace.next_batch_ms:
        return pace
    return replace(pace, batch_left=rollout.here.batch, next_batch_ms=0, batches=pace.batches + 1)


def _room(rollout: Rollout) -> int:
    stage, pace = rollout.here, rollout.pace
    waiting = rollout.members.count_of((State.WAITING,), rollout.reached)
    limits = [waiting]
    if concurrency := rollout.concurrency():
        limits.append(concurrency - _in_any_stage(rollout, IN_FLIGHT))
    if stage.batch:
        limits.append(pace.batch_left)
    elif stage.rate is not None:
        limits.append(int(pace.tokens))
    return max(0, min(limits))


def _in_any_stage(rollout: Rollout, states: tuple[State, ...]) -> int:
    """A rollout that is tried again may stand at a stage before those that still carry out an older command of it."""
    return sum(rollout.members.total_in(state) for state in states)


def _spent(rollout: Rollout, given: int) -> Rollout:
    pace = rollout.pace
    if rollout.here.batch:
        return replace(rollout, pace=replace(pace, batch_left=pace.batch_left - given))
    if rollout.here.rate is not None:
        return replace(rollout, pace=replace(pace, tokens=pace.tokens - given))
    return rollout
