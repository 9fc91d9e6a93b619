"""From judged windows to records: what is quiet stays off the wire."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import numpy.typing as npt

from schemas.drift_scores import DriftScores, FeatureScores
from streams.drift.judge import Judged
from streams.drift.measured import Measured
from streams.drift.scores import SCORES, multivariate
from streams.drift.verdicts import Grade
from streams.drift.windows import Rows

__all__ = ["COMBINED", "Scored", "Told", "report"]

COMBINED = "multivariate"

# What is told of features that only give charts their line.
_USUAL = ("psi", "ks", "js", "wasserstein", "mean_shift", "variance_ratio")


def report(judged: Sequence[Judged], policy_id: str, policy_revision: int) -> list[DriftScores]:
    """Return the records to publish, in the order in which windows completed them, slower horizons first."""
    placed = [
        ((place, -one.measured.horizon_ms, record.device_id), record)
        for one in judged
        for place, record in _records(one, policy_id, policy_revision)
    ]
    return [record for _, record in sorted(placed, key=lambda pair: pair[0])]


def _records(judged: Judged, policy_id: str, policy_revision: int) -> Iterator[tuple[int, DriftScores]]:
    told = Told.of(judged)
    if told is None:
        return
    measured, against = judged.measured, judged.measured.group.against
    features, ends = _features(told, against.features), told.ends
    for i, row in enumerate(told.rows.tolist()):
        yield (
            int(measured.place[row]),
            DriftScores(
                device_id=measured.device_id[row],
                model_id=against.model_id,
                grid_id=against.grid.grid_id,
                baseline_id=against.baseline_id,
                policy_id=policy_id,
                policy_revision=policy_revision,
                boot_id=measured.boot_id[row],
                seq=int(measured.seq[row]),
                window_end_ms=int(measured.end_ms[row]),
                horizon_ms=measured.horizon_ms,
                samples=int(measured.samples[row]),
                verdict=Grade(told.gravest[i]).verdict,
                drifted=told.drifted[i],
                complete=bool(judged.complete[row]),
                features=tuple(features[ends[i] : ends[i + 1]]),
                device_scores={COMBINED: told.combined[i]},
            ),
        )


@dataclass(frozen=True)
class Scored:
    """Entries of `Told` of which the same scores are told: a row of values each."""

    entries: Rows
    names: tuple[str, ...]
    values: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Told:
    """What is told of some windows, entry by entry: a feature of a window each, gravest first."""

    rows: Rows
    gravest: list[int]
    drifted: list[int]
    combined: list[float]
    feature: Rows
    grade: npt.NDArray[np.uint8]
    scored: list[Scored]
    # Entries of the i-th row end where those of the next begin.
    ends: list[int]

    @staticmethod
    def of(judged: Judged) -> "Told | None":
        """Choose the rows to tell of, and their features: every score of notable ones, the usual ones of others."""
        notable = _notable(judged)
        rows = np.flatnonzero(judged.complete | notable.any(axis=1))
        if not len(rows):
            return None
        measured, grades = judged.measured, judged.found.grade[rows]
        at, feature = np.nonzero(notable[rows] | judged.complete[rows][:, np.newaxis])
        psi, grade = measured.score("psi")[rows[at], feature], judged.found.grade[rows[at], feature]
        order = np.lexsort((-psi, -grade.astype(np.int64), at))
        at, feature, grade = at[order], feature[order], grade[order]
        every = notable[rows[at], feature]
        return Told(
            rows=rows,
            gravest=grades.max(axis=1).tolist(),
            drifted=(grades == Grade.DRIFT).sum(axis=1).tolist(),
            combined=_combined(measured, rows),
            feature=feature,
            grade=grade,
            scored=[
                scored
                for which, names in ((every, tuple(SCORES)), (~every, _USUAL))
                for scored in _scored(measured, rows[at], feature, np.flatnonzero(which), names)
            ],
            ends=np.searchsorted(at, np.arange(len(rows) + 1)).tolist(),
        )


def _scored(measured: Measured, rows: Rows, features: Rows, which: Rows, names: tuple[str, ...]) -> Iterator[Scored]:
    """Compute scores of some entries; those that lack the same ones come together."""
    if not len(which):
        return
    pair = measured.elements(rows[which], features[which])
    values = np.stack([SCORES[name](pair)[0, : len(which)] for name in names], axis=1).astype(np.float64)
    patterns, pattern_of = np.unique(np.isfinite(values), axis=0, return_inverse=True)
    for number, known in enumerate(patterns):
        mine = np.flatnonzero(pattern_of.reshape(-1) == number)
        yield Scored(which[mine], tuple(compress(names, known)), np.ascontiguousarray(values[mine][:, known]))


def _features(told: Told, names: Sequence[str]) -> list[FeatureScores]:
    scores: list[dict[str, float]] = [{}] * len(told.feature)
    for one in told.scored:
        for entry, values in zip(one.entries.tolist(), one.values.tolist(), strict=True):
            scores[entry] = dict(zip(one.names, values, strict=True))
    return [
        FeatureScores(feature=names[feature], verdict=_VERDICTS[grade], scores=mine)
        for feature, grade, mine in zip(told.feature.tolist(), told.grade.tolist(), scores, strict=True)
    ]


def _combined(measured: Measured, rows: Rows) -> list[float]:
    return [float(one) for one in multivariate(measured.moments_of(rows))]


def _notable(judged: Judged) -> npt.NDArray[np.bool_]:
    """Features above a report floor, or with a verdict that somebody should know of."""
    floors, measured = judged.rules.reporting, judged.measured
    moved = (measured.score("psi") >= floors.psi) | (measured.score("ks") >= floors.ks)
    notable: npt.NDArray[np.bool_] = moved & (judged.found.grade >= Grade.STABLE)
    notable |= judged.found.grade >= Grade.WARNING
    return notable


_VERDICTS = [grade.verdict for grade in Grade]
