"""From judged windows to records: what is quiet stays off the wire."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import numpy.typing as npt

from schemas.drift_scores import DriftScores, FeatureScores
from streams.drift.judge import Judged
from streams.drift.measured import Measured
from streams.drift.scores import SCORES, Pair, multivariate, side_by_side
from streams.drift.verdicts import Grade
from streams.drift.windows import Rows

__all__ = ["COMBINED", "Scored", "Told", "report", "tell"]

COMBINED = "multivariate"

_ALL = tuple(SCORES)
# What is told of features that only give charts their line.
_USUAL = ("psi", "ks", "js", "wasserstein", "mean_shift", "variance_ratio")


def report(judged: Sequence[Judged], policy_id: str, policy_revision: int) -> list[DriftScores]:
    """Return the records to publish, in the order in which windows completed them, slower horizons first."""
    placed = [
        ((place, -one.measured.horizon_ms, record.device_id), record)
        for one, told in zip(judged, tell(judged), strict=True)
        if told is not None
        for place, record in _records(one, told, policy_id, policy_revision)
    ]
    return [record for _, record in sorted(placed, key=lambda pair: pair[0])]


def _records(judged: Judged, told: "Told", policy_id: str, policy_revision: int) -> Iterator[tuple[int, DriftScores]]:
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


def tell(judged: Sequence[Judged]) -> list[Told | None]:
    """Choose rows to tell of, and their features: every score of notable ones, the usual ones of others.

    What many small runs have to tell is scored together, as that costs as much as one of them.
    """
    chosen = [_choose(one) for one in judged]
    scored = [_scored_together(judged, chosen, names, of_all) for names, of_all in ((_ALL, True), (_USUAL, False))]
    return [
        None
        if mine is None
        else Told(
            rows=mine.rows,
            gravest=mine.grades.max(axis=1).tolist(),
            drifted=(mine.grades == Grade.DRIFT).sum(axis=1).tolist(),
            combined=_combined(one.measured, mine.rows),
            feature=mine.feature,
            grade=mine.grade,
            scored=[each for some in scored for each in some[number]],
            ends=np.searchsorted(mine.at, np.arange(len(mine.rows) + 1)).tolist(),
        )
        for number, (one, mine) in enumerate(zip(judged, chosen, strict=True))
    ]


@dataclass(frozen=True)
class _Chosen:
    """Rows, and entries of them: entry i is of the row `rows[at[i]]`, gravest first."""

    rows: Rows
    grades: npt.NDArray[np.uint8]
    at: Rows
    feature: Rows
    grade: npt.NDArray[np.uint8]
    is_notable: npt.NDArray[np.bool_]


def _choose(judged: Judged) -> _Chosen | None:
    notable = _notable(judged)
    rows = np.flatnonzero(judged.complete | notable.any(axis=1))
    if not len(rows):
        return None
    grades = judged.found.grade[rows]
    at, feature = np.nonzero(notable[rows] | judged.complete[rows][:, np.newaxis])
    psi, grade = judged.measured.score("psi")[rows[at], feature], grades[at, feature]
    order = np.lexsort((-psi, -grade.astype(np.int64), at))
    at, feature = at[order], feature[order]
    return _Chosen(rows, grades, at, feature, grade[order], notable[rows[at], feature])


def _scored_together(
    judged: Sequence[Judged], chosen: Sequence[_Chosen | None], names: tuple[str, ...], of_all: bool
) -> list[list[Scored]]:
    """Compute scores of the entries that are notable, or of the others; those that lack the same ones come together."""
    scored: list[list[Scored]] = [[] for _ in judged]
    by_bins: dict[int, list[tuple[int, Rows, Pair]]] = {}
    for number, (one, mine) in enumerate(zip(judged, chosen, strict=True)):
        which = np.flatnonzero(mine.is_notable == of_all) if mine is not None else _NONE
        if mine is not None and len(which):
            pair = one.measured.elements(mine.rows[mine.at[which]], mine.feature[which])
            by_bins.setdefault(len(pair.live.counts), []).append((number, which, pair))
    for parts in by_bins.values():
        pair = side_by_side([pair for _, _, pair in parts])
        values = np.stack([SCORES[name](pair)[0] for name in names], axis=1).astype(np.float64)
        known = np.isfinite(values)
        pattern = known @ (1 << np.arange(len(names)))
        end = 0
        for number, which, _ in parts:
            # The last column of each part is there twice; see `elements`.
            first, end = end, end + len(which) + 1
            mine_of = pattern[first : end - 1]
            for one_pattern in sorted(set(mine_of.tolist())):
                at = np.flatnonzero(mine_of == one_pattern)
                has = known[first + at[0]]
                found = np.ascontiguousarray(values[first + at][:, has])
                scored[number].append(Scored(which[at], tuple(compress(names, has)), found))
    return scored


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


_NONE = np.empty(0, np.intp)
_VERDICTS = [grade.verdict for grade in Grade]
