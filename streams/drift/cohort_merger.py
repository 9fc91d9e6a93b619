"""The merger of cohorts: shares in, scores and alerts of cohorts out.

It keeps four rules:

* a pane is judged once, a while after its first share arrived, by what was told as of the time it was first told;
* panes are judged in the order in which they were told; what is told again later counts in the horizons after it;
* so it matters neither in which order the shares of several partitions come, nor how often;
* when a pane is judged follows from the arrivals of shares, so that folding their log again gives the same.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from schemas.columns import GridShape
from schemas.drift_alert import AlertState, DriftAlert
from schemas.drift_scores import CohortPane, DriftScores
from schemas.errors import BadRecordError
from sensing.week import hour_of_week
from streams.drift.alerts import AlertBook, Live
from streams.drift.cohort_shares import Cohort
from streams.drift.cohorts import FOR_EVER, Cohorts, follow_cohorts
from streams.drift.hours import hours_turned
from streams.drift.judge import Judge, needs_of
from streams.drift.kinds import family_of
from streams.drift.measured import Group
from streams.drift.measuring import in_season
from streams.drift.policy import Against, InForce
from streams.drift.references import ScoredAgainst
from streams.drift.report import report
from streams.drift.silences import Silence

__all__ = ["LIVE", "OF_COHORTS", "Found", "Merger"]

# How the ids of these alerts begin; nobody else writes those.
OF_COHORTS = "cohort-drift/"
LIVE = (AlertState.PENDING, AlertState.FIRING, AlertState.ACKNOWLEDGED)
HOUR_MS = 3_600_000
# A cohort of which nothing was heard for so long is forgotten; its log reaches no further back.
_FORGOTTEN_AFTER_MS = 24 * HOUR_MS
_CLOCKS_DIFFER_MS = 60_000


@dataclass
class Found:
    """What came of some shares."""

    scores: list[DriftScores] = field(default_factory=list)
    alerts: list[DriftAlert] = field(default_factory=list)

    def plus(self, more: "Found") -> None:
        self.scores += more.scores
        self.alerts += more.alerts


@dataclass
class _Following:
    """How far one cohort is."""

    group: Group
    heard_ms: int = 0
    # When each pane that was not judged yet will be.
    due_ms: dict[int, int] = field(default_factory=dict)
    judged_to: int = -1


class _Merged:
    """The cohorts of one grid and one length of panes."""

    def __init__(self, policy: InForce, shape: GridShape, pane_ms: int) -> None:
        self.cohorts = Cohorts(shape, pane_ms=pane_ms)
        self.judge = Judge(policy.rules, shape=shape)
        self.following: dict[Cohort, _Following] = {}
        # No pane is due before: most shares come when none is.
        self.next_due_ms = FOR_EVER

    def ready(self, now_ms: int) -> Iterator[tuple[Cohort, int, int]]:
        """Yield the panes to judge by now, and as of when; with a pane go all that were told before it."""
        if now_ms < self.next_due_ms:
            return
        for cohort, mine in self.following.items():
            due = {pane for pane, due_ms in mine.due_ms.items() if due_ms <= now_ms}
            if not due:
                continue
            told = sorted((self.cohorts.told_ms(cohort, pane) or 0, pane) for pane in mine.due_ms)
            newest_ms = max(told_ms for told_ms, pane in told if pane in due)
            for told_ms, pane in told:
                if told_ms <= newest_ms:
                    del mine.due_ms[pane]
                    if pane > mine.judged_to:
                        mine.judged_to = pane
                        yield cohort, pane, told_ms
        waiting = (due_ms for mine in self.following.values() for due_ms in mine.due_ms.values())
        self.next_due_ms = min(waiting, default=FOR_EVER)


class Merger:
    """What one worker knows of the cohorts of one partition; `settle_ms` is how long a pane waits for its shares."""

    def __init__(self, policy: InForce, *, settle_ms: int) -> None:
        self.policy, self.settle_ms = policy, settle_ms
        # Shares that came when their pane had been judged, or forgotten.
        self.late = 0
        self.silences: Mapping[str, Silence] = {}
        # Cohorts of one name but of several models are apart.
        self.books: dict[tuple[str, str], AlertBook] = {}
        self._merged: dict[tuple[str, int], _Merged] = {}
        self._judged_to_ms: dict[tuple[str, str], int] = {}
        self._hour = 0

    def take(self, share: CohortPane, against: ScoredAgainst, arrived_ms: int) -> None:
        """Take in a share, time having passed up to its arrival; `BadRecordError` for one that makes no sense."""
        _check(share, arrived_ms)
        merged = self._merged.get((share.grid_id, share.pane_ms))
        if merged is None:
            shape = GridShape(features=len(against.grid.features), bins=against.grid.bins)
            merged = self._merged[share.grid_id, share.pane_ms] = _Merged(self.policy, shape, share.pane_ms)
        taken = merged.cohorts.take(share)
        if taken is None:
            self.late += 1
            return
        cohort, pane = taken
        mine = merged.following.get(cohort)
        if mine is None or mine.group.against is not against:
            group = Group(against, dict([cohort.name.split("=", 1)]))
            mine = merged.following[cohort] = replace(mine, group=group) if mine is not None else _Following(group)
        mine.heard_ms = max(arrived_ms, mine.heard_ms)
        if pane <= mine.judged_to:
            self.late += 1
        else:
            due_ms = mine.due_ms.setdefault(pane, arrived_ms + self.settle_ms)
            merged.next_due_ms = min(due_ms, merged.next_due_ms)

    def is_due(self, now_ms: int) -> bool:
        """Say whether any pane is to be judged by now, or an alert grows old."""
        if now_ms // HOUR_MS > self._hour and any(book.live for book in self.books.values()):
            return True
        return any(merged.next_due_ms <= now_ms for merged in self._merged.values())

    def pass_time(self, now_ms: int) -> Found:
        """Judge the panes that are due, and let alerts grow old hour by hour."""
        found = Found()
        for turned_ms in hours_turned(self._hour, now_ms):
            found.plus(self._judged_by(turned_ms))
            for (cohort, model_id), book in self.books.items():
                rules = self.policy.rules.for_device(model_id, dict([cohort.split("=", 1)]))
                found.alerts += book.pass_time(turned_ms, rules.life)
            self._forget(turned_ms - _FORGOTTEN_AFTER_MS)
        self._hour = max(now_ms // HOUR_MS, self._hour)
        found.plus(self._judged_by(now_ms))
        return found

    def take_up(self, policy: InForce) -> None:
        """Judge by another policy from the next pane on."""
        self.policy = policy
        for merged in self._merged.values():
            merged.judge.rules = policy.rules
        for book in self.books.values():
            book.policy_id, book.policy_revision = policy.policy_id, policy.revision

    def remember(self, alert: DriftAlert) -> None:
        """Go on from a live alert as it was published, which reaches further back than the log of shares may."""
        mine = self.book_of(alert.subject, alert.model_id).live.setdefault(alert.subject, {})
        key = (alert.feature, family_of(alert.kind), 0)
        held = mine.get(key)
        judged_to_ms = self._judged_to_ms.get((alert.subject, alert.model_id), 0)
        if held is None:
            # A pane that is yet to be judged opened it, and will count again.
            mine[key] = Live(alert=alert, history=int(alert.opened_ms <= judged_to_ms))
            return
        is_ahead = held.alert.alert_id == alert.alert_id and alert.changed_ms > judged_to_ms
        if not is_ahead or alert.state is AlertState.ACKNOWLEDGED:
            mine[key] = replace(held, alert=alert)

    def book_of(self, cohort: str, model_id: str) -> AlertBook:
        """Return the alerts of a cohort."""
        book = self.books.get((cohort, model_id))
        if book is None:
            book = self.books[cohort, model_id] = AlertBook(
                policy_id=self.policy.policy_id,
                policy_revision=self.policy.revision,
                prefix=f"{OF_COHORTS}{model_id}/",
            )
            book.silences = dict(self.silences)
        return book

    def each_book(self, change: Callable[[AlertBook], list[DriftAlert]]) -> list[DriftAlert]:
        """Change all books; returns the alerts that this changed."""
        return [alert for book in self.books.values() for alert in change(book)]

    def _judged_by(self, now_ms: int) -> Found:
        found = Found()
        for merged in self._merged.values():
            for cohort, pane, told_ms in merged.ready(now_ms):
                found.plus(self._judged(merged, cohort, pane, told_ms))
        return found

    def _judged(self, merged: _Merged, cohort: Cohort, pane: int, told_ms: int) -> Found:
        group, rules, cohorts = merged.following[cohort].group, self.policy.rules, merged.cohorts
        self._judged_to_ms[cohort.name, cohort.model_id] = (pane + 1) * cohorts.pane_ms
        if rules.reference == Against.SEASON:
            (hour,) = hour_of_week(np.array([(pane + 1) * cohorts.pane_ms - 1])).tolist()
            group = in_season(group, hour)
        horizon_ms = rules.horizons_ms[0]
        members = cohorts.members(cohort, pane, told_ms)
        measured = None
        # So few are seen as the devices that they are.
        if members.devices >= rules.for_device(cohort.model_id, group.labels).life.group_from:
            needs = needs_of([rules], cohorts.shape.bins)
            measured = cohorts.measure(cohort, pane, group, horizon_ms=horizon_ms, needs=needs, as_of_ms=told_ms)
        cohorts.drop_before(cohort, pane + 2 - max(1, horizon_ms // cohorts.pane_ms))
        if measured is None:
            return Found()
        judged = merged.judge.judge([measured])
        scores = report(judged, self.policy.policy_id, self.policy.revision)
        book = self.book_of(cohort.name, cohort.model_id)
        return Found(
            scores=[replace(one, subject_is_cohort=True) for one in scores],
            alerts=follow_cohorts(book, judged, {cohort.name: members}),
        )

    def _forget(self, before_ms: int) -> None:
        """Forget cohorts of which nothing was heard since; an alert of theirs stays."""
        for merged in self._merged.values():
            for cohort in [one for one, mine in merged.following.items() if mine.heard_ms < before_ms]:
                del merged.following[cohort]
                merged.cohorts.forget(cohort)
                book = self.books.get((cohort.name, cohort.model_id))
                if book is not None and not book.live:
                    del self.books[cohort.name, cohort.model_id]


def _check(share: CohortPane, arrived_ms: int) -> None:
    if share.pane_ms <= 0:
        raise BadRecordError("pane_ms", found=str(share.pane_ms), wanted="more than 0")
    if share.pane_start_ms % share.pane_ms:
        raise BadRecordError("pane_start_ms", found=str(share.pane_start_ms), wanted=f"a multiple of {share.pane_ms}")
    over_ms = share.pane_start_ms + share.pane_ms
    if not over_ms <= share.as_of_ms <= arrived_ms + _CLOCKS_DIFFER_MS:
        wanted = f"a time between the pane's end ({over_ms}) and the share's arrival ({arrived_ms})"
        raise BadRecordError("as_of_ms", found=str(share.as_of_ms), wanted=wanted)
    if "=" not in share.cohort:
        raise BadRecordError("cohort", found=repr(share.cohort), wanted="label=value")
