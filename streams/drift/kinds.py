"""What drift is called, and the evidence that an alert carries."""

import math
from collections.abc import Collection, Mapping

import numpy as np

from schemas.drift_alert import Binned, Evidence
from schemas.drift_kind import DriftKind
from streams.drift.alerts import Breach, Observation
from streams.drift.engine import Judged
from streams.drift.evidence import Kind
from streams.drift.policy import Mode
from streams.drift.references import bin_name
from streams.drift.report import only_rows
from streams.drift.scores import SCORES, Floats
from streams.drift.verdicts import SEVERITIES, Grade

__all__ = ["drifting", "observations"]

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
_TOP_BINS = 3
_MOST_RANKED = 16
# A live share above this, in a bin that the reference filled less than half as much, is a stuck sensor.
_STUCK_SHARE = 0.9
_DEAD_VARIANCE_RATIO = 1e-6


def drifting(judged: Judged) -> set[str]:
    """Return the devices that drift, as some window shows."""
    rows = np.flatnonzero((judged.found.grade == Grade.DRIFT).any(axis=1))
    return {judged.device_id[row] for row in rows.tolist()}


def observations(judged: Judged, followed: Collection[str]) -> list[tuple[int, Observation]]:
    """Return what the windows of some devices showed, with the windows' places."""
    rows = [row for row, device in enumerate(judged.device_id) if device in followed]
    return [(int(judged.place[row]), _observation(judged, row)) for row in rows]


def _observation(judged: Judged, row: int) -> Observation:
    found = judged.found
    names = judged.judging.against.features
    drifted = np.flatnonzero(found.grade[row] == Grade.DRIFT)
    breaches: tuple[Breach, ...] = ()
    if len(drifted):
        ranked = drifted[np.lexsort((-judged.scores["psi"][row, drifted], -found.severity[row, drifted].astype(int)))]
        told = tuple(names[feature] for feature in ranked[:_MOST_RANKED].tolist())
        pair = only_rows(judged.pair, np.array([row]))
        scores = {name: SCORES[name](pair)[0] for name in _TOLD}
        breaches = tuple(_breach(judged, row, feature, scores, told) for feature in ranked.tolist())
    unknown = np.flatnonzero(found.grade[row] == Grade.NOT_ENOUGH_DATA).tolist()
    return Observation(
        subject=judged.device_id[row],
        model_id=judged.judging.against.model_id,
        at_ms=int(judged.end_ms[row]),
        breaches=breaches,
        unknown=frozenset(names[feature] for feature in unknown),
        labels=judged.judging.labels,
    )


def _breach(judged: Judged, row: int, feature: int, scores: Mapping[str, Floats], ranked: tuple[str, ...]) -> Breach:
    against = judged.judging.against
    kind = _kind(judged, row, feature)
    told = {name: float(values[feature]) for name, values in scores.items()}
    return Breach(
        feature=against.features[feature],
        kind=kind,
        family=_FAMILY.get(kind, kind),
        severity=SEVERITIES[int(judged.found.severity[row, feature])],
        evidence=Evidence(
            scores={name: value for name, value in told.items() if math.isfinite(value)},
            samples=int(judged.samples[row]),
            reference=against.baseline_id,
            horizon_ms=judged.horizon_ms,
            top_bins=_top_bins(judged, row, feature),
            ranked=ranked,
        ),
    )


def _kind(judged: Judged, row: int, feature: int) -> str:
    place = int(judged.found.kind[row, feature])
    rules = judged.judging.rules
    if rules.mode == Mode.THRESHOLDS:
        return list(rules.limits)[place]
    name = _NAMES[Kind(place)].value
    if name in _FAMILY:
        live, reference = judged.pair.live.shares[:, row, feature], judged.pair.reference.shares[:, 0, feature]
        if judged.scores["variance_ratio"][row, feature] < _DEAD_VARIANCE_RATIO:
            return DriftKind.DEAD_SENSOR.value
        fullest = int(np.nan_to_num(live).argmax())
        if live[fullest] > _STUCK_SHARE and reference[fullest] < _STUCK_SHARE / 2:
            return DriftKind.STUCK_BIN.value
    return name


def _top_bins(judged: Judged, row: int, feature: int) -> tuple[Binned, ...]:
    live, reference = judged.pair.live.shares[:, row, feature], judged.pair.reference.shares[:, 0, feature]
    moved = np.nan_to_num(np.abs(live - reference))
    grid = judged.judging.against.grid.features[feature]
    most = [place for place in np.argsort(-moved, kind="stable")[:_TOP_BINS].tolist() if moved[place] > 0]
    return tuple(
        Binned(bin=bin_name(grid, place), reference=float(reference[place]), live=float(live[place])) for place in most
    )
