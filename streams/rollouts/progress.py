"""How a rollout goes on by itself: it fills its stage, bakes, asks its gates, advances, or rolls back."""

import datetime as dt
from dataclasses import replace

from schemas.rollouts import GateVerdict, RolloutPhase
from streams.rollouts import devices, pace
from streams.rollouts.effects import Effect, GoOn, NoteDevice, RaiseAlert, ResolveAlert, WriteAudit
from streams.rollouts.member import OPEN, State
from streams.rollouts.rings import NO_STAGE
from streams.rollouts.rollout import LIVE, SETTLED, Pace, Rollout

__all__ = ["MACHINE", "advance", "begin", "go_on", "keep_deadline", "may_begin", "pause", "roll_back"]

MACHINE = "rollouts"
# Commands of one decision; more follow at once, so that no transaction grows with the fleet.
MOST_AT_ONCE = 10_000

_HELD, _FROZEN = "held by ", "frozen until "
_EVERYWHERE = range(NO_STAGE + 1)
_AWAY = (State.OFFLINE, State.ABSENT)
_GONE = (State.LEFT, State.SUPERSEDED)
# Devices that no longer count, neither for nor against.
_OUT = (*_GONE, State.QUARANTINED)
# What a roll-back has done with, or has nothing to do with.
_NOTHING_TO_TAKE_BACK = (State.RETURNING, State.STRANDED, State.ROLLED_BACK, State.SUPERSEDED, State.QUARANTINED)


def may_begin(rollout: Rollout, now_ms: int) -> bool:
    """Say whether a scheduled rollout's time has come, and anybody is there whom one of its stages takes."""
    if rollout.phase is not RolloutPhase.SCHEDULED or now_ms < rollout.plan.starts_ms:
        return False
    return any(rollout.members.total(stage) > rollout.members.count_of(_GONE, (stage,)) for stage in _all(rollout))


def begin(rollout: Rollout, now_ms: int, effects: list[Effect]) -> Rollout:
    """Open the first stage."""
    effects.append(WriteAudit("started", MACHINE, f"{rollout.plan.model} to {len(rollout.members)} devices"))
    return _enter(replace(rollout, started_ms=now_ms), 0, now_ms, effects)


def go_on(rollout: Rollout, now_ms: int, effects: list[Effect]) -> Rollout:
    """Do what follows by itself, until nothing more does."""
    while True:
        after = _step(rollout, now_ms, effects)
        if after is rollout:
            return rollout
        rollout = after


def keep_deadline(rollout: Rollout, now_ms: int, effects: list[Effect]) -> Rollout:
    late = rollout.phase in LIVE and now_ms >= rollout.started_ms + rollout.plan.deadline_s * 1_000
    if not late:
        return rollout
    why = f"its deadline of {rollout.plan.deadline_s:g} s passed in stage {rollout.here.name!r}"
    effects.append(RaiseAlert("rollout_late", why))
    if rollout.plan.on_deadline == "rollback":
        return roll_back(rollout, why, MACHINE, now_ms, effects)
    effects.append(WriteAudit("aborted", MACHINE, why))
    return _changed(rollout, RolloutPhase.ABORTED, why, now_ms)


def advance(rollout: Rollout, why: str, who: str, now_ms: int, effects: list[Effect]) -> Rollout:
    """Go to the next stage; behind the last one the rollout has succeeded."""
    if rollout.stage + 1 == len(rollout.plan.stages):
        effects.append(WriteAudit("succeeded", who, why, _tally(rollout)))
        effects.append(ResolveAlert("rollout_failed"))
        effects.append(ResolveAlert("rollout_paused"))
        return _changed(rollout, RolloutPhase.SUCCEEDED, why, now_ms)
    effects.append(WriteAudit("advanced", who, why, _tally(rollout)))
    return _enter(rollout, rollout.stage + 1, now_ms, effects)


def pause(
    rollout: Rollout, why: str, who: str, now_ms: int, effects: list[Effect], *, gates: tuple[str, ...] = ()
) -> Rollout:
    effects.append(WriteAudit("paused", who, why, _evidence(rollout)))
    if who == MACHINE:
        effects.append(RaiseAlert("rollout_paused", why))
    paused = _changed(rollout, RolloutPhase.PAUSED, why, now_ms)
    accepted = frozenset(f"{rollout.stage}/{gate}" for gate in gates)
    return replace(paused, resume_to=rollout.phase, paused_for=accepted)


def roll_back(
    rollout: Rollout,
    why: str,
    who: str,
    now_ms: int,
    effects: list[Effect],
    *,
    ending: RolloutPhase = RolloutPhase.ROLLED_BACK,
) -> Rollout:
    """Begin to give every device that was commanded its own previous model back."""
    effects.append(WriteAudit("rolling back", who, why, _evidence(rollout)))
    if who == MACHINE:
        effects.append(RaiseAlert("rollout_failed", why))
    return replace(_changed(rollout, RolloutPhase.ROLLING_BACK, why, now_ms), ending=ending)


def _step(rollout: Rollout, now_ms: int, effects: list[Effect]) -> Rollout:
    if rollout.phase is RolloutPhase.ROLLING_BACK:
        return _take_back(rollout, now_ms, effects)
    if rollout.phase is RolloutPhase.SUCCEEDED:
        # Devices that were away, or are new, take what counts now; the rollout itself stays settled.
        _, more = pace.fill(rollout, now_ms, effects, most=MOST_AT_ONCE, unpaced=True)
        _ask_again(more, effects)
        return rollout
    if rollout.phase in SETTLED or rollout.phase is RolloutPhase.SCHEDULED:
        return rollout
    if breach := _breach(rollout):
        return _breached(rollout, breach, now_ms, effects)
    if rollout.phase in (RolloutPhase.RUNNING, RolloutPhase.BAKING):
        return _forward(rollout, now_ms, effects)
    return rollout


def _breach(rollout: Rollout) -> str:
    """Return what speaks against the release, or nothing. Failure is judged before anything else."""
    members = rollout.members
    anybody = members.total_in(State.FAILED) or members.total_in(State.TIMED_OUT)
    for number in rollout.reached if anybody else ():
        failed = members.count(State.FAILED, number) + members.count(State.TIMED_OUT, number)
        if not failed:
            continue
        counted = members.total(number) - members.count_of(_OUT, (number,))
        stage = rollout.plan.stages[number]
        if failed > stage.failure_threshold * counted:
            return f"{failed} of {counted} devices of stage {stage.name!r} failed"
    if rollout.full or not rollout.gates:
        return ""
    for gate in rollout.gates_saying(GateVerdict.FAIL):
        reason = next(result.reason for result in rollout.gates if result.gate == gate)
        return f"gate {gate}: {reason}"
    return ""


def _breached(rollout: Rollout, why: str, now_ms: int, effects: list[Effect]) -> Rollout:
    if rollout.plan.on_failure == "rollback":
        return roll_back(rollout, why, MACHINE, now_ms, effects)
    if rollout.phase is RolloutPhase.PAUSED:
        return rollout
    return pause(rollout, why, MACHINE, now_ms, effects)


def _forward(rollout: Rollout, now_ms: int, effects: list[Effect]) -> Rollout:
    held = [] if rollout.full or not rollout.gates else rollout.gates_saying(GateVerdict.HOLD)
    if not held:
        rollout, more = pace.fill(rollout, now_ms, effects, most=MOST_AT_ONCE)
        _ask_again(more, effects)
    if rollout.members.count_of(OPEN, rollout.reached):
        return _because(rollout, _why_nobody_new(rollout, held, now_ms))
    if absent := _too_many_absent(rollout):
        return _wait_for_absent(rollout, absent, now_ms, effects)
    counted = _counted(rollout)
    succeeded = rollout.members.count(State.SUCCEEDED, rollout.stage)
    if succeeded < rollout.here.success_threshold * counted:
        why = f"{succeeded} of {counted} devices of stage {rollout.here.name!r} succeeded, too few"
        return pause(rollout, why, MACHINE, now_ms, effects)
    if not counted or rollout.full:
        return advance(rollout, "nobody to wait for" if not counted else "promoted", MACHINE, now_ms, effects)
    if rollout.phase is RolloutPhase.RUNNING:
        baking = _changed(rollout, RolloutPhase.BAKING, f"{succeeded} of {counted} devices succeeded", now_ms)
        return replace(baking, bake_ms=now_ms, absent_ms=0)
    return _baked(rollout, held, now_ms, effects)


def _why_nobody_new(rollout: Rollout, held: list[str], now_ms: int) -> str:
    """Return for what a stage with open devices waits; once that is over, its name again."""
    if held:
        return f"{_HELD}{', '.join(held)}"
    freeze = rollout.plan.freeze_at(now_ms)
    if freeze is not None and rollout.members.count_of((State.WAITING,), rollout.reached):
        until = dt.datetime.fromtimestamp(freeze.ends_ms / 1_000, dt.UTC).strftime("%Y-%m-%d %H:%MZ")
        return f"{_FROZEN}{until}{': ' if freeze.why else ''}{freeze.why}"
    over = rollout.reason.startswith((_HELD, _FROZEN))
    return f"stage {rollout.here.name!r}" if over else rollout.reason


def _baked(rollout: Rollout, held: list[str], now_ms: int, effects: list[Effect]) -> Rollout:
    over_ms = rollout.bake_ms + int(rollout.here.bake_s * 1_000)
    if now_ms < over_ms:
        return rollout
    if held:
        return _because(rollout, f"{_HELD}{', '.join(held)}")
    if blind := rollout.gates_saying(GateVerdict.NO_DATA, GateVerdict.UNKNOWN):
        if now_ms < over_ms + rollout.here.patience_s * 1_000:
            return _because(rollout, f"no data for {', '.join(blind)}")
        return pause(rollout, f"no data for {', '.join(blind)}", MACHINE, now_ms, effects)
    if undecided := rollout.gates_saying(GateVerdict.INCONCLUSIVE):
        why = f"inconclusive: {', '.join(undecided)}"
        return pause(rollout, why, MACHINE, now_ms, effects, gates=tuple(undecided))
    if rollout.here.approval:
        effects.append(WriteAudit("asked for approval", MACHINE, "the stage passed", _evidence(rollout)))
        return _changed(rollout, RolloutPhase.AWAITING_APPROVAL, "waits for approval", now_ms)
    return advance(rollout, "the stage passed", MACHINE, now_ms, effects)


def _take_back(rollout: Rollout, now_ms: int, effects: list[Effect]) -> Rollout:
    members = rollout.members
    if not rollout.taken_back:
        rows = members.touched_rows(but_not_in=_NOTHING_TO_TAKE_BACK)
        for row in rows[:MOST_AT_ONCE]:
            devices.send_back(rollout, row, now_ms, effects)
        if len(rows) > MOST_AT_ONCE:
            _ask_again(True, effects)
            return rollout
        rollout = replace(rollout, taken_back=True)
    if members.count_of((State.RETURNING,), _EVERYWHERE):
        return rollout
    effects.append(WriteAudit(rollout.ending.value.replace("_", " "), MACHINE, rollout.reason, _tally(rollout)))
    return _changed(rollout, rollout.ending, rollout.reason, now_ms)


def _enter(rollout: Rollout, stage: int, now_ms: int, effects: list[Effect]) -> Rollout:
    members, before = rollout.members, rollout.stage
    if rollout.plan.stages[stage].action == "switch":
        # Those who installed are told again, to switch.
        for row in members.rows(lambda states, stages: (states == State.SUCCEEDED) & (stages == before)):
            if members.touched(int(row)):
                members.wait(int(row), attempts=0, stage=stage)
                effects.append(NoteDevice(members.ids[int(row)]))
    members.open_stage(stage)
    entered = _changed(rollout, RolloutPhase.RUNNING, f"stage {rollout.plan.stages[stage].name!r}", now_ms)
    return replace(
        entered,
        stage=stage,
        stage_ms=now_ms,
        bake_ms=0,
        absent_ms=0,
        gates=(),
        paused_for=frozenset(),
        pace=Pace(tokens_ms=now_ms),
    )


def _too_many_absent(rollout: Rollout) -> str:
    members, stage = rollout.members, rollout.stage
    away = members.count_of(_AWAY, (stage,))
    counted = members.total(stage) - members.count_of(_OUT, (stage,))
    if away <= rollout.plan.offline_share * counted:
        return ""
    share = rollout.plan.offline_share
    return (
        f"{away} of {counted} devices of stage {rollout.here.name!r} are away; at most {share:.0%} may be left behind"
    )


def _wait_for_absent(rollout: Rollout, why: str, now_ms: int, effects: list[Effect]) -> Rollout:
    if not rollout.absent_ms:
        return replace(rollout, absent_ms=now_ms, reason=why)
    if now_ms < rollout.absent_ms + rollout.here.patience_s * 1_000:
        return rollout
    return pause(rollout, why, MACHINE, now_ms, effects)


def _counted(rollout: Rollout) -> int:
    members, stage = rollout.members, rollout.stage
    return members.total(stage) - members.count_of((*_OUT, *_AWAY), (stage,))


def _all(rollout: Rollout) -> range:
    return range(len(rollout.plan.stages))


def _because(rollout: Rollout, reason: str) -> Rollout:
    return rollout if rollout.reason == reason else replace(rollout, reason=reason)


def _changed(rollout: Rollout, phase: RolloutPhase, reason: str, now_ms: int) -> Rollout:
    return replace(rollout, phase=phase, reason=reason, changed_ms=now_ms)


def _ask_again(more: bool, effects: list[Effect]) -> None:
    if more and GoOn() not in effects[-1:]:
        effects.append(GoOn())


def _tally(rollout: Rollout) -> dict[str, str]:
    return {name: str(count) for name, count in rollout.members.totals().items()}


def _evidence(rollout: Rollout) -> dict[str, str]:
    gates = {f"gate {result.gate}": f"{result.verdict.value}: {result.reason}" for result in rollout.gates}
    return {"stage": rollout.here.name, **_tally(rollout), **gates}
