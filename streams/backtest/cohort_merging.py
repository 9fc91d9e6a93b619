"""Merge what replays told of cohorts: the second stage of a backtest, as it is of the live judgement."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from schemas.catalogue import topic_named
from schemas.drift_alert import DriftAlert
from schemas.drift_scores import CohortPane
from streams.backtest.candidate import Candidate
from streams.backtest.cohort_player import CohortPlayer, Since
from streams.backtest.players import AS_THEN, Measure
from streams.backtest.share_files import shares_in
from streams.backtest.span import Span
from streams.backtest.stories import Stories
from streams.backtest.task import Task
from streams.drift.cohort_log import TOPIC
from streams.drift.known import Known
from streams.drift.policy import InForce

__all__ = ["CohortsFound", "merged"]

_MANY = topic_named(TOPIC).partitions


@dataclass
class CohortsFound:
    """What came of cohorts, by policy."""

    stories: dict[str, Stories] = field(default_factory=dict)
    # Every change of an alert of then, in order, where that was asked for.
    as_then: list[DriftAlert] = field(default_factory=list)


def merged(tasks: Sequence[Task], folders: Sequence[Path], *, settle_ms: int) -> CohortsFound:
    """Judge the cohorts of all tasks together, from what each left in its folder."""
    task, found = tasks[0], CohortsFound()
    known = Known(task.grids, task.baselines)
    for one in task.cohort_candidates:
        shares = _asked_for(shares_in(folders, Measure.of(one.rules).audience), one.rules.cohorts)
        found.stories[one.name] = Stories()
        for alerts in _played(_player(known, one, settle_ms), shares, task.span, settle_ms):
            found.stories[one.name].take(alerts)
    if task.then is not None:
        found.stories[AS_THEN] = Stories()
        player = CohortPlayer(known, task.then.cohort_policies, task.then.asked, settle_ms=settle_ms)
        for alerts in _played(player, shares_in(folders, AS_THEN), task.span, settle_ms):
            found.stories[AS_THEN].take(alerts)
            found.as_then += alerts
    return found


def _player(known: Known, candidate: Candidate, settle_ms: int) -> CohortPlayer:
    policy = InForce(policy_id=candidate.name, document=candidate.document, rules=candidate.rules)
    return CohortPlayer(known, {number: [Since(0, policy)] for number in range(_MANY)}, settle_ms=settle_ms)


def _asked_for(shares: Iterator[CohortPane], names: Sequence[str]) -> Iterator[CohortPane]:
    """Leave out cohorts that only other policies of the same audience ask for."""
    return (share for share in shares if share.cohort.partition("=")[0] in names)


def _played(
    player: CohortPlayer, shares: Iterator[CohortPane], span: Span, settle_ms: int
) -> Iterator[list[DriftAlert]]:
    """Yield the alerts that changed within a span."""
    newest_ms = span.from_ms - 1
    for share in shares:
        if newest_ms < span.from_ms <= share.as_of_ms:
            player.end(span.from_ms - 1)
        newest_ms = share.as_of_ms
        alerts = player.take(share)
        if newest_ms >= span.from_ms and alerts:
            yield alerts
    if newest_ms >= span.from_ms:
        yield player.end(min(newest_ms + settle_ms, span.to_ms - 1))
