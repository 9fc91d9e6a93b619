"""What drift is called, and the evidence that an alert carries."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

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
    grade = judged.found.grade[rows]
    drifts = rows[(grade == Grade.DRIFT).any(axis=1)]
    pair = measured.pair_of(drifts)
    scores = {name: SCORES[name](pair) for name in _TOLD}
    close = _Close(judged, pair, scores, {row: place for place, row in enumerate(drifts.tolist())})
    return [(int(measured.place[row]), _observation(close, row)) for row in rows.tolist()]


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


@dataclass(frozen=True)
class _Close:
    """Windows with what is known of those that drift: pair and scores, at the place that `place_of` says."""

    judged: Judged
    pair: Pair
    scores: Mapping[str, Floats]
    place_of: Mapping[int, int]


def _observation(close: _Close, row: int) -> Observation:
    judged = close.judged
    found, measured = judged.found, judged.measured
    names = measured.group.against.features
    breaches: tuple[Breach, ...] = ()
    if row in close.place_of:
        place = close.place_of[row]
        drifted = np.flatnonzero(found.grade[row] == Grade.DRIFT)
        ranked = drifted[np.lexsort((-close.scores["psi"][place, drifted], -found.severity[row, drifted].astype(int)))]
        told = tuple(names[feature] for feature in ranked[:_MOST_RANKED].tolist())
        breaches = tuple(_breach(close, row, feature, told) for feature in ranked.tolist())
    unknown = np.flatnonzero(found.grade[row] == Grade.NOT_ENOUGH_DATA).tolist()
    return Observation(
        subject=measured.device_id[row],
        model_id=measured.group.against.model_id,
        at_ms=int(measured.end_ms[row]),
        breaches=breaches,
        unknown=frozenset(names[feature] for feature in unknown),
        labels=measured.group.labels,
    )


def _breach(close: _Close, row: int, feature: int, ranked: tuple[str, ...]) -> Breach:
    measured, place = close.judged.measured, close.place_of[row]
    against = measured.group.against
    kind = _kind(close, row, feature)
    told = {name: float(values[place, feature]) for name, values in close.scores.items()}
    return Breach(
        feature=against.features[feature],
        kind=kind,
        family=family_of(kind),
        severity=SEVERITIES[int(close.judged.found.severity[row, feature])],
        evidence=Evidence(
            scores={name: value for name, value in told.items() if math.isfinite(value)},
            samples=int(measured.samples[row]),
            reference=against.baseline_id,
            horizon_ms=measured.horizon_ms,
            top_bins=_top_bins(close, row, feature),
            ranked=ranked,
        ),
    )


def _kind(close: _Close, row: int, feature: int) -> str:
    found_kind, rules = int(close.judged.found.kind[row, feature]), close.judged.rules
    if rules.mode == Mode.THRESHOLDS:
        return list(rules.limits)[found_kind]
    place = close.place_of[row]
    return kind_name(Kind(found_kind), close.scores["variance_ratio"][place, feature], close.pair, place, feature)


def _top_bins(close: _Close, row: int, feature: int) -> tuple[Binned, ...]:
    live, reference = _shares(close.pair, close.place_of[row], feature)
    moved = np.nan_to_num(np.abs(live - reference))
    grid = close.judged.measured.group.against.grid.features[feature]
    most = [place for place in np.argsort(-moved, kind="stable")[:_TOP_BINS].tolist() if moved[place] > 0]
    return tuple(
        Binned(bin=bin_name(grid, place), reference=float(reference[place]), live=float(live[place])) for place in most
    )


def _shares(pair: Pair, place: int, feature: int) -> tuple[Floats, Floats]:
    """Live and reference shares of one feature of one device."""
    reference = pair.reference.shares
    return pair.live.shares[:, place, feature], reference[:, place if reference.shape[1] > 1 else 0, feature]
