"""Cohorts: panes of devices with a label in common, added up, so that a shift too small for one device shows.

It goes in two stages. Each partition adds up its own devices (`shares_of`); since that follows from the rings alone,
whoever restores the rings tells the same shares again. One merger a cohort (`Cohorts`) lets a share replace the one
before it from the same partition and pane, adds the partitions up, and measures panes like looks at one large device.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from schemas.columns import GridShape, PaneColumns, pane_columns
from schemas.drift_alert import DriftAlert
from schemas.drift_scores import CohortPane
from streams.drift.alerts import AlertBook
from streams.drift.engine import Engine
from streams.drift.judge import Judged
from streams.drift.kernels import Totals, add_up
from streams.drift.kinds import observations
from streams.drift.measured import Group, Measured
from streams.drift.measuring import Measuring
from streams.drift.merging import merged_moments
from streams.drift.scores import Floats
from streams.drift.windows import Rows

__all__ = ["Cohort", "Cohorts", "follow_cohorts", "shares_of"]

MODEL = "model"


class Cohort(NamedTuple):
    """Devices with a label in common that run one model: only those are compared with one baseline."""

    name: str
    model_id: str
    grid_id: str


def shares_of(engine: Engine, pane: int, labels: Sequence[str], *, partition: int) -> list[CohortPane]:
    """Add up one pane of the fast ring over the devices of each cohort; `model` is a label of every device."""
    members: dict[Cohort, list[int]] = {}
    for row in sorted(engine.presence.roster.row_of.values()):
        group = engine.group_of[row]
        if group is None:
            continue
        for label in labels:
            value = group.against.model_id if label == MODEL else group.labels.get(label)
            if value is not None:
                cohort = Cohort(f"{label}={value}", group.against.model_id, engine.grid_id)
                members.setdefault(cohort, []).append(row)
    shares = (_share(engine, cohort, np.array(rows, np.intp), pane, partition) for cohort, rows in members.items())
    return [share for share in shares if share is not None]


def _share(engine: Engine, cohort: Cohort, rows: Rows, pane: int, partition: int) -> CohortPane | None:
    features, bins = engine.shape
    samples, counts = np.zeros(len(rows), np.int64), np.zeros((bins, features), np.int64)
    missing, outside = np.zeros(features, np.int64), np.zeros(features, np.int64)
    mean, m2 = np.zeros(features), np.zeros(features)
    if not add_up(engine.fast.panes, rows, pane, samples, counts, missing, outside, mean, m2):
        return None
    most = np.iinfo(np.uint32).max
    return CohortPane(
        cohort=cohort.name,
        model_id=cohort.model_id,
        grid_id=cohort.grid_id,
        source_partition=partition,
        pane_start_ms=pane * engine.fast.pane_ms,
        pane_ms=engine.fast.pane_ms,
        devices=tuple(sorted(engine.presence.roster.names[row] for row in rows[samples > 0].tolist())),
        samples=int(samples.sum()),
        counts=np.minimum(counts.T, most).astype("<u4").tobytes(),
        missing=np.minimum(missing, most).astype("<u4").tobytes(),
        out_of_range=np.minimum(outside, most).astype("<u4").tobytes(),
        mean=np.where(counts.sum(axis=0) > 0, mean, np.nan).astype("<f8").tobytes(),
        m2=m2.astype("<f8").tobytes(),
    )


@dataclass(frozen=True)
class _Held:
    share: CohortPane
    columns: PaneColumns


class Cohorts:
    """The cohorts of one grid, as their merger knows them; `panes` is how many of each are remembered."""

    def __init__(self, shape: GridShape, *, pane_ms: int, panes: int = 12) -> None:
        self.shape, self.pane_ms, self.panes = shape, pane_ms, panes
        self.row_of: dict[Cohort, int] = {}
        # By cohort, pane and source partition.
        self._held: dict[Cohort, dict[int, dict[int, _Held]]] = {}
        self._measuring = Measuring()

    def take(self, share: CohortPane) -> tuple[Cohort, int] | None:
        """Let a share replace the one before it; returns whose pane it is of, or None when that is long over."""
        cohort = Cohort(share.cohort, share.model_id, share.grid_id)
        held, pane = self._held.setdefault(cohort, {}), share.pane_start_ms // self.pane_ms
        self.row_of.setdefault(cohort, len(self.row_of))
        if held and pane <= max(held) - self.panes:
            return None
        held.setdefault(pane, {})[share.source_partition] = _Held(share, pane_columns(share, self.shape))
        for old in [one for one in held if one <= max(held) - self.panes]:
            del held[old]
        return cohort, pane

    def members(self, cohort: Cohort, pane: int) -> tuple[str, ...]:
        """Return the devices that a cohort's pane was added up from."""
        shares = self._held.get(cohort, {}).get(pane, {}).values()
        return tuple(sorted({device for one in shares for device in one.share.devices}))

    def totals(self, cohort: Cohort, panes: Iterable[int]) -> Totals:
        """Add up panes of a cohort over all partitions, in the order of panes and partitions."""
        features, bins = self.shape
        samples, counts = 0, np.zeros((features, bins))
        missing, outside = np.zeros(features), np.zeros(features)
        mean: Floats = np.zeros(features)
        m2: Floats = np.zeros(features)
        for pane in sorted(panes):
            for _, one in sorted(self._held.get(cohort, {}).get(pane, {}).items()):
                theirs, more = one.columns, one.share.samples
                mean, m2 = merged_moments(
                    samples - missing, mean, m2, more - theirs.missing.astype(float), theirs.mean, theirs.m2
                )
                samples, counts = samples + more, counts + theirs.counts
                missing, outside = missing + theirs.missing, outside + theirs.out_of_range
        singles = (one[np.newaxis].astype(np.float32) for one in (counts.T, missing, outside, mean, m2))
        return Totals(np.array([samples]), *(np.ascontiguousarray(one) for one in singles))

    def measure(
        self, cohort: Cohort, pane: int, group: Group, *, horizon_ms: int, needs: Sequence[int]
    ) -> Measured | None:
        """Measure a pane that is over as one look, beside the horizon that ends with it; None without samples."""
        look = self.totals(cohort, [pane])
        if not look.samples[0]:
            return None
        back = max(1, min(self.panes, horizon_ms // self.pane_ms))
        return self._measuring.of_cohort(
            cohort.name, self.row_of[cohort], pane, (pane + 1) * self.pane_ms, group, horizon_ms,
            self.totals(cohort, range(pane - back + 1, pane + 1)), look, self.pane_ms, needs,
        )  # fmt: skip


def follow_cohorts(
    book: AlertBook, judged: Sequence[Judged], members: Mapping[str, tuple[str, ...]]
) -> list[DriftAlert]:
    """Tell a book what judged panes of cohorts showed; returns the alerts that this changed."""
    changed = []
    for one in judged:
        for _, shown in observations(one, set(one.measured.device_id)):
            mine = replace(shown, is_cohort=True, members=members.get(shown.subject, ()))
            if mine.breaches or mine.subject in book:
                changed += book.observe(mine, one.rules.life)
    return changed
