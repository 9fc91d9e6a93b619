"""What drift is called, and the evidence that an alert carries."""

from collections.abc import Collection
from itertools import compress

import numpy as np

from schemas.drift_alert import Binned, Evidence
from schemas.drift_kind import DriftKind
from streams.drift.alerts import Breach, Observation
from streams.drift.evidence import Kind
from streams.drift.judge import Judged
from streams.drift.policy import Mode
from streams.drift.references import bin_name
from streams.drift.scores import SCORES, Floats, Pair
from streams.drift.verdicts import SEVERITIES, Grade
from streams.drift.windows import Rows

__all__ = ["drifting", "family_of", "kind_name", "observations"]

_NAMES = {
    Kind.MEAN_UP: DriftKind.MEAN_SHIFT,
    Kind.MEAN_DOWN: DriftKind.MEAN_SHIFT,
    Kind.SPREAD_UP: DriftKind.VARIANCE_CHANGE,
    Kind.SPREAD_DOWN: DriftKind.VARIANCE_CHANGE,
    Kind.SHAPE: DriftKind.SHAPE_CHANGE,
    Kind.MISSING: DriftKind.MISSING_RATE,
    Kind.OUT_OF_RANGE: DriftKind.OUT_OF_RANGE,
    Kind.UNSEEN: DriftKind.UNSEEN_CATEGORY,
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
_DEAD_VARIANCE_RATIO = 1e-6


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
    return [(int(measured.place[row]), close.observation(row)) for row in rows.tolist()]


def kind_name(kind: Kind, variance_ratio: float, pair: Pair, place: int, feature: int) -> str:
    """Return what drift is called that evidence of a kind has found in one feature of the pair's device at `place`."""
    name = _NAMES[kind].value
    if name in _FAMILY:
        if variance_ratio < _DEAD_VARIANCE_RATIO:
            return DriftKind.DEAD_SENSOR.value
        live, reference = _shares(pair, place, feature)
        fullest = int(np.nan_to_num(live).argmax())
        if live[fullest] > _STUCK_SHARE and reference[fullest] < _STUCK_SHARE / 2:
            return DriftKind.STUCK_BIN.value
    return name


def family_of(kind: str) -> str:
    """Return the family of a kind: alerts of one family are one alert."""
    return _FAMILY.get(kind, kind)


class _Close:
    """Some windows, with a closer look at each feature of theirs that drifts."""

    def __init__(self, judged: Judged, rows: Rows) -> None:
        self._judged, self._measured = judged, judged.measured
        at, self._feature = np.nonzero(judged.found.grade[rows] == Grade.DRIFT)
        self._row = rows[at]
        self._pair = self._measured.elements(self._row, self._feature)
        values = np.stack([SCORES[name](self._pair)[0] for name in _TOLD], axis=1) if len(at) else np.empty((0, 0))
        self._scores, self._finite = values.tolist(), np.isfinite(values).tolist()
        moved = np.nan_to_num(np.abs(self._pair.live.shares - self._pair.reference.shares)[:, 0])
        self._most = np.argsort(-moved, axis=0, kind="stable")[:_TOP_BINS].T.tolist()
        self._moved = moved

    def observation(self, row: int) -> Observation:
        measured, found = self._measured, self._judged.found
        against = measured.group.against
        mine = slice(*np.searchsorted(self._row, [row, row + 1]).tolist())
        drifted = list(range(mine.start, mine.stop))
        severity = found.severity[row]
        drifted.sort(key=lambda one: (-int(severity[self._feature[one]]), -self._scores[one][0], one))
        ranked = tuple(against.features[int(self._feature[one])] for one in drifted[:_MOST_RANKED])
        unknown = np.flatnonzero(found.grade[row] == Grade.NOT_ENOUGH_DATA).tolist()
        return Observation(
            subject=measured.device_id[row],
            model_id=against.model_id,
            at_ms=int(measured.end_ms[row]),
            breaches=tuple(self._breach(one, row, ranked) for one in drifted),
            unknown=frozenset(against.features[feature] for feature in unknown),
            labels=measured.group.labels,
        )

    def _breach(self, one: int, row: int, ranked: tuple[str, ...]) -> Breach:
        measured, feature = self._measured, int(self._feature[one])
        against = measured.group.against
        kind = self._kind(one, row, feature)
        return Breach(
            feature=against.features[feature],
            kind=kind,
            family=family_of(kind),
            severity=SEVERITIES[int(self._judged.found.severity[row, feature])],
            evidence=Evidence(
                scores=dict(compress(zip(_TOLD, self._scores[one], strict=True), self._finite[one])),
                samples=int(measured.samples[row]),
                reference=against.baseline_id,
                horizon_ms=measured.horizon_ms,
                top_bins=self._top_bins(one, feature),
                ranked=ranked,
            ),
        )

    def _kind(self, one: int, row: int, feature: int) -> str:
        found_kind, rules = int(self._judged.found.kind[row, feature]), self._judged.rules
        if rules.mode == Mode.THRESHOLDS:
            return list(rules.limits)[found_kind]
        return kind_name(Kind(found_kind), self._scores[one][_VARIANCE_RATIO], self._pair, 0, one)

    def _top_bins(self, one: int, feature: int) -> tuple[Binned, ...]:
        grid = self._measured.group.against.grid.features[feature]
        live, reference = _shares(self._pair, 0, one)
        return tuple(
            Binned(bin=bin_name(grid, place), reference=float(reference[place]), live=float(live[place]))
            for place in self._most[one]
            if self._moved[place, one] > 0
        )


def _shares(pair: Pair, place: int, feature: int) -> tuple[Floats, Floats]:
    """Live and reference shares of one feature of one device."""
    reference = pair.reference.shares
    return pair.live.shares[:, place, feature], reference[:, place if reference.shape[1] > 1 else 0, feature]
