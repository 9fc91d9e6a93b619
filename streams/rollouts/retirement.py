"""Retirement: which settled rollouts a controller need not keep in memory; their records stay on the topics.

It depends on the time and on what was published alone, so that a successor keeps the same ones.
"""

from collections.abc import Mapping

from schemas.release import ModelRelease
from schemas.rollouts import RolloutPhase
from streams.rollouts.cohort import EVERYBODY
from streams.rollouts.precedence import AT_WORK, STRAGGLING, newest_success_first
from streams.rollouts.rollout import SETTLED, Rollout

__all__ = ["has_no_more_to_do", "retired"]

_AT_WORK = {state.published.value for state in AT_WORK}
_STRAGGLING = {state.published.value for state in STRAGGLING}


def retired(
    rollouts: Mapping[str, Rollout], releases: Mapping[str, ModelRelease], *, now_ms: int, keep_ms: int
) -> list[str]:
    """Return the rollouts that may be put away.

    What succeeded serves late joiners and absentees, until a newer one has succeeded that takes all of them.
    """
    leaving: list[str] = []
    newer: list[Rollout] = []
    for rollout_id, rollout in newest_success_first(rollouts):
        if rollout.phase not in SETTLED:
            continue
        counts = rollout.members.totals()
        if rollout.phase is not RolloutPhase.SUCCEEDED:
            if has_no_more_to_do(rollout.phase, counts, rollout.changed_ms, now_ms=now_ms, keep_ms=keep_ms):
                leaving.append(rollout_id)
            continue
        served = any(_takes_all_of(other, rollout, releases) for other in newer)
        if served and rollout.changed_ms + keep_ms <= now_ms and not counts.keys() & (_AT_WORK | _STRAGGLING):
            leaving.append(rollout_id)
        newer.append(rollout)
    return leaving


def has_no_more_to_do(
    phase: RolloutPhase, counts: Mapping[str, int], changed_ms: int, *, now_ms: int, keep_ms: int
) -> bool:
    """Say whether a rollout ended without success so long ago that nothing of it is awaited or retried any more."""
    ended = phase in SETTLED and phase is not RolloutPhase.SUCCEEDED
    return ended and changed_ms + keep_ms <= now_ms and not any(counts.get(state) for state in _AT_WORK)


def _takes_all_of(newer: Rollout, older: Rollout, releases: Mapping[str, ModelRelease]) -> bool:
    wider = newer.plan.cohort in (EVERYBODY, older.plan.cohort)
    to_the_end = any(stage.share == 1.0 and not stage.where for stage in newer.plan.stages)
    new, old = releases.get(newer.plan.model), releases.get(older.plan.model)
    return wider and to_the_end and new is not None and old is not None and new.pipeline == old.pipeline
