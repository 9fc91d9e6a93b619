"""What drift is called, and the evidence that an alert carries."""

from collections.abc import Collection
from functools import cached_property, partial
from itertools import compress

import numpy as np
import numpy.typing as npt

from schemas.drift_alert import Binned, Evidence
from schemas.drift_kind import DriftKind
from streams.drift.evidence import Kind
from streams.drift.judge import Judged
from streams.drift.observed import Breach, Observation, Shown
from streams.drift.policy import Mode
from streams.drift.references import bin_name
from streams.drift.scores import SCORES, Floats, Pair
from streams.drift.verdicts import SEVERITIES, Grade
from streams.drift.windows import Rows

__all__ = ["drifting", "family_of", "kind_name", "observations", "usual_name"]

_NAMES: dict[int, str] = {
    Kind.MEAN_UP: DriftKind.MEAN_SHIFT.value,
    Kind.MEAN_DOWN: DriftKind.MEAN_SHIFT.value,
    Kind.SPREAD_UP: DriftKind.VARIANCE_CHANGE.value,
    Kind.SPREAD_DOWN: DriftKind.VARIANCE_CHANGE.value,
    Kind.SHAPE: DriftKind.SHAPE_CHANGE.value,
    Kind.MISSING: DriftKind.MISSING_RATE.value,
    Kind.OUT_OF_RANGE: DriftKind.OUT_OF_RANGE.value,
    Kind.UNSEEN: DriftKind.UNSEEN_CATEGORY.value,
}
# Values that sit still show in mean, spread and shape at once, so these are one family.
_FAMILY = {
    kind.value: "values"
    for kind in (
        *(DriftKind.MEAN_SHIFT, DriftKind.VARIANCE_CHANGE, DriftKind.SHAPE_CHANGE),
        *(DriftKind.DEAD_SENSOR, DriftKind.STUCK_BIN),
    )
}
_TOLD = (
    "psi", "ks", "js", "wasserstein", "mean_shift", "mean_z", "variance_ratio", "missing_rate_change",
    "out_of_range", "unseen_category", "chi_square", "shape_z",
)  # fmt: skip
_VARIANCE_RATIO = _TOLD.index("variance_ratio")
_TOP_BINS = 3
_MOST_RANKED = 16
# A live share above this, in a bin that the reference filled less than half as much, is a stuck sensor.
_STUCK_SHARE = 0.9
_DEAD_VARIANCE_RATIO, _STUCK_VARIANCE_RATIO = 1e-6, 0.5


def drifting(judged: Judged) -> set[str]:
    """Return the devices that drift, as some window shows."""
    rows = np.flatnonzero((judged.found.grade == Grade.DRIFT).any(axis=1))
    return {judged.measured.device_id[row] for row in rows.tolist()}


def observations(judged: Judged, followed: Collection[str]) -> list[tuple[int, Observation]]:
    """Return what the windows of some devices showed, with the windows' places."""
    measured = judged.measured
    rows = np.array([row for row, device in enumerate(measured.device_id) if device in followed], np.intp)
    if not len(rows):
        return []
    close = _Close(judged, rows)
    return [(int(measured.place[row]), close.observation(i, row)) for i, row in enumerate(rows.tolist())]


def kind_name(kind: Kind, variance_ratio: float, pair: Pair, place: int, feature: int) -> str:
    """Return what drift is called that evidence of a kind has found in one feature of the pair's device at `place`."""
    name = _NAMES[kind]
    if name in _FAMILY:
        if variance_ratio < _DEAD_VARIANCE_RATIO:
            return DriftKind.DEAD_SENSOR.value
        if not variance_ratio < _STUCK_VARIANCE_RATIO:
            # All of a far shift may lie in the last bin, where it goes on as lively as ever.
            return name
        live, reference = _shares(pair, place, feature)
        fullest = int(np.nan_to_num(live).argmax())
        if live[fullest] > _STUCK_SHARE and reference[fullest] < _STUCK_SHARE / 2:
            return DriftKind.STUCK_BIN.value
    return name


def usual_name(kind: Kind) -> str:
    """Return what drift is called before a closer look; its family stays the same."""
    return _NAMES[kind]


def family_of(kind: str) -> str:
    """Return the family of a kind: alerts of one family are one alert."""
    return _FAMILY.get(kind, kind)


class _Close:
    """Some windows, and a closer look at each feature of theirs that drifts: all together, once one is asked for."""

    def __init__(self, judged: Judged, rows: Rows) -> None:
        self._judged, self._measured = judged, judged.measured
        grade = judged.found.grade[rows]
        at, feature = np.nonzero(grade == Grade.DRIFT)
        severity, psi = judged.found.severity[rows[at], feature], self._measured.score("psi")[rows[at], feature]
        order = np.lexsort((-psi, -severity.astype(np.int64), at))
        self._row, self._feature = rows[at[order]], feature[order]
        self._severity = severity[order].tolist()
        self._kind = judged.found.kind[self._row, self._feature].tolist()
        self._ends = np.searchsorted(at, np.arange(len(rows) + 1)).tolist()
        self._unknown = _by_row(grade == Grade.NOT_ENOUGH_DATA)

    def observation(self, i: int, row: int) -> Observation:
        """Return what the window at `row` showed, the `i`th of those that are looked at."""
        measured = self._measured
        against = measured.group.against
        drifted = range(self._ends[i], self._ends[i + 1])
        return Observation(
            subject=measured.device_id[row],
            model_id=against.model_id,
            at_ms=int(measured.end_ms[row]),
            breaches=tuple(self._breach(one, drifted) for one in drifted),
            unknown=frozenset(against.features[feature] for feature in self._unknown.get(i, ())),
            labels=measured.group.labels,
            horizon_ms=measured.horizon_ms if measured.alone is not None else 0,
            # Only slow horizons are compared with the past.
            fastest_ms=self._judged.rules.horizons_ms[2] if against.past_ms else 0,
        )

    def _breach(self, one: int, drifted: range) -> Breach:
        return Breach(
            feature=self._measured.group.against.features[int(self._feature[one])],
            family=family_of(self._usual_name(one)),
            severity=SEVERITIES[self._severity[one]],
            closer=partial(self._shown, one, drifted),
        )

    def _shown(self, one: int, drifted: range) -> Shown:
        measured, row = self._measured, int(self._row[one])
        against = measured.group.against
        scores = self._scores[one]
        ranked = self._feature[drifted.start : drifted.stop][:_MOST_RANKED].tolist()
        return Shown(
            kind=self._name(one),
            evidence=Evidence(
                scores=dict(compress(zip(_TOLD, scores.tolist(), strict=True), np.isfinite(scores))),
                samples=int(measured.samples[row]),
                reference=against.name,
                horizon_ms=measured.horizon_ms,
                top_bins=self._top_bins(one),
                ranked=tuple(against.features[feature] for feature in ranked),
            ),
        )

    @cached_property
    def _pair(self) -> Pair:
        return self._measured.elements(self._row, self._feature)

    @cached_property
    def _scores(self) -> npt.NDArray[np.float64]:
        """What is told of each feature that drifts, a row each."""
        return np.stack([SCORES[name](self._pair)[0] for name in _TOLD], axis=1)

    @cached_property
    def _moved(self) -> Floats:
        """How far each bin has moved, bins by features that drift."""
        moved: Floats = np.nan_to_num(np.abs(self._pair.live.shares - self._pair.reference.shares)[:, 0])
        return moved

    def _usual_name(self, one: int) -> str:
        rules = self._judged.rules
        if rules.mode == Mode.THRESHOLDS:
            name: str = list(rules.limits)[self._kind[one]]
            return name
        return usual_name(Kind(self._kind[one]))

    def _name(self, one: int) -> str:
        if self._judged.rules.mode == Mode.THRESHOLDS:
            return self._usual_name(one)
        return kind_name(Kind(self._kind[one]), float(self._scores[one, _VARIANCE_RATIO]), self._pair, 0, one)

    def _top_bins(self, one: int) -> tuple[Binned, ...]:
        grid = self._measured.group.against.grid.features[int(self._feature[one])]
        live, reference = _shares(self._pair, 0, one)
        moved = self._moved[:, one]
        return tuple(
            Binned(bin=bin_name(grid, place), reference=float(reference[place]), live=float(live[place]))
            for place in np.argsort(-moved, kind="stable")[:_TOP_BINS].tolist()
            if moved[place] > 0
        )


def _by_row(marked: npt.NDArray[np.bool_]) -> dict[int, list[int]]:
    """Return the places marked in each row that has any."""
    found: dict[int, list[int]] = {}
    for row, place in zip(*(one.tolist() for one in np.nonzero(marked)), strict=True):
        found.setdefault(row, []).append(place)
    return found


def _shares(pair: Pair, place: int, feature: int) -> tuple[Floats, Floats]:
    """Live and reference shares of one feature of one device."""
    reference = pair.reference.shares
    return pair.live.shares[:, place, feature], reference[:, place if reference.shape[1] > 1 else 0, feature]
