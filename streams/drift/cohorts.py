"""Cohorts: panes of devices with a label in common, added up, so that a shift too small for one device shows.

It goes in two stages. Each partition adds up its own devices (`shares_of`, in `cohort_shares`). One merger a cohort
lets a share replace the one before it from the same partition and pane, adds the partitions up, and measures panes
like looks at one large device.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from schemas.columns import GridShape, PaneColumns, pane_columns
from schemas.drift_alert import DriftAlert
from schemas.drift_scores import CohortPane
from streams.drift.alerts import AlertBook
from streams.drift.cohort_shares import MOST_NAMED, Cohort
from streams.drift.judge import Judged
from streams.drift.kernels import Totals
from streams.drift.kinds import observations
from streams.drift.measured import Group, Measured
from streams.drift.measuring import Measuring
from streams.drift.merging import merged_moments
from streams.drift.observed import Shown
from streams.drift.scores import Floats
from streams.drift.telling import REACH_PANES

__all__ = ["FOR_EVER", "Cohort", "Cohorts", "Members", "follow_cohorts"]

FOR_EVER = 2**62


@dataclass(frozen=True)
class _Held:
    share: CohortPane
    columns: PaneColumns


@dataclass
class _Known:
    """What is known of one cohort."""

    row: int
    life: int
    # By pane and source partition, earlier shares before later ones.
    shares: dict[int, dict[int, list[_Held]]] = field(default_factory=dict)
    # Panes before this one are done with.
    floor: int = -1


class Members(NamedTuple):
    """The devices of a cohort in one pane: how many, and some of their names."""

    devices: int
    names: tuple[str, ...]


class Cohorts:
    """The cohorts of one grid, as their merger knows them; `panes` is how many of each are remembered at most.

    What a pane holds can be asked as of a time: of the shares of one partition counts the latest that was told by then.
    """

    def __init__(self, shape: GridShape, *, pane_ms: int, panes: int = REACH_PANES) -> None:
        self.shape, self.pane_ms, self.panes = shape, pane_ms, panes
        self._known: dict[Cohort, _Known] = {}
        self._free_rows: list[int] = []
        self._lives = 0
        self._measuring = Measuring()

    def take(self, share: CohortPane) -> tuple[Cohort, int] | None:
        """Take a share in; returns whose pane it is of, or None when that is long over, or a later share is known."""
        cohort = Cohort(share.cohort, share.model_id, share.grid_id)
        held = _Held(share, pane_columns(share, self.shape))
        known, pane = self._known.get(cohort) or self._enter(cohort), share.pane_start_ms // self.pane_ms
        if pane < known.floor or pane <= max(known.shares, default=pane) - self.panes:
            return None
        mine = known.shares.setdefault(pane, {}).setdefault(share.source_partition, [])
        if mine and mine[-1].share.as_of_ms > share.as_of_ms:
            return None
        if mine and mine[-1].share.as_of_ms == share.as_of_ms:
            mine.pop()
        mine.append(held)
        for old in [one for one in known.shares if one <= pane - self.panes]:
            del known.shares[old]
        return cohort, pane

    def told_ms(self, cohort: Cohort, pane: int) -> int | None:
        """Return the time as of which a pane was told first; None when nothing is known of it."""
        shares = self._known[cohort].shares.get(pane, {}).values()
        return min((mine[0].share.as_of_ms for mine in shares), default=None)

    def drop_before(self, cohort: Cohort, pane: int) -> None:
        """Forget panes that nobody will ask for again."""
        known = self._known[cohort]
        known.floor = max(pane, known.floor)
        for old in [one for one in known.shares if one < known.floor]:
            del known.shares[old]

    def forget(self, cohort: Cohort) -> None:
        """Forget a cohort; should it come back, it starts anew."""
        self._free_rows.append(self._known.pop(cohort).row)

    def members(self, cohort: Cohort, pane: int, as_of_ms: int = FOR_EVER) -> Members:
        """Return the devices that a cohort's pane was added up from."""
        shares = [one.share for _, one in self._shares(cohort, pane, as_of_ms)]
        names = sorted({device for share in shares for device in share.devices})
        return Members(sum(share.device_count for share in shares), tuple(names[:MOST_NAMED]))

    def totals(self, cohort: Cohort, panes: Iterable[int], as_of_ms: int = FOR_EVER) -> Totals:
        """Add up panes of a cohort over all partitions, in the order of panes and partitions."""
        features, bins = self.shape
        samples, counts = 0, np.zeros((features, bins))
        missing, outside = np.zeros(features), np.zeros(features)
        mean: Floats = np.zeros(features)
        m2: Floats = np.zeros(features)
        for pane in sorted(panes):
            for _, one in self._shares(cohort, pane, as_of_ms):
                theirs, more = one.columns, one.share.samples
                mean, m2 = merged_moments(
                    samples - missing, mean, m2, more - theirs.missing.astype(float), theirs.mean, theirs.m2
                )
                samples, counts = samples + more, counts + theirs.counts
                missing, outside = missing + theirs.missing, outside + theirs.out_of_range
        singles = (one[np.newaxis].astype(np.float32) for one in (counts.T, missing, outside, mean, m2))
        return Totals(np.array([samples]), *(np.ascontiguousarray(one) for one in singles))

    def measure(
        self,
        cohort: Cohort,
        pane: int,
        group: Group,
        *,
        horizon_ms: int,
        needs: Sequence[int],
        as_of_ms: int = FOR_EVER,
    ) -> Measured | None:
        """Measure a pane that is over as one look, beside the horizon that ends with it; None without samples."""
        look, known = self.totals(cohort, [pane], as_of_ms), self._known[cohort]
        if not look.samples[0]:
            return None
        back = max(1, min(self.panes, horizon_ms // self.pane_ms))
        return self._measuring.of_cohort(
            cohort.name, (known.row, known.life), pane, (pane + 1) * self.pane_ms, group, horizon_ms,
            self.totals(cohort, range(pane - back + 1, pane + 1), as_of_ms), look, self.pane_ms, needs,
        )  # fmt: skip

    def _enter(self, cohort: Cohort) -> _Known:
        row = self._free_rows.pop() if self._free_rows else len(self._known)
        self._lives += 1
        known = self._known[cohort] = _Known(row, self._lives)
        return known

    def _shares(self, cohort: Cohort, pane: int, as_of_ms: int) -> Iterator[tuple[int, _Held]]:
        for partition, mine in sorted(self._known[cohort].shares.get(pane, {}).items()):
            told = [one for one in mine if one.share.as_of_ms <= as_of_ms]
            if told:
                yield partition, told[-1]


def follow_cohorts(book: AlertBook, judged: Sequence[Judged], members: Mapping[str, Members]) -> list[DriftAlert]:
    """Tell a book what judged panes of cohorts showed; returns the alerts that this changed."""
    changed = []
    for one in judged:
        if not one.rules.alerts_on(one.measured.horizon_ms):
            continue
        for _, shown in observations(one, set(one.measured.device_id)):
            mine = members[shown.subject]
            breaches = tuple(
                replace(breach, closer=partial(_shown, breach.closer, mine.devices)) for breach in shown.breaches
            )
            seen = replace(shown, is_cohort=True, members=mine.names, breaches=breaches)
            if seen.breaches or seen.subject in book:
                changed += book.observe(seen, one.rules.life)
    return changed


def _shown(closer: Callable[[], Shown], devices: int) -> Shown:
    shown = closer()
    scores = {**shown.evidence.scores, "devices": float(devices)}
    return replace(shown, evidence=replace(shown.evidence, scores=scores))
