"""From judged windows to records: what is quiet stays off the wire."""

from collections.abc import Iterator, Sequence
from itertools import compress

import numpy as np
import numpy.typing as npt

from schemas.drift_scores import DriftScores, FeatureScores
from streams.drift.judge import Judged
from streams.drift.measured import Measured
from streams.drift.scores import SCORES, multivariate
from streams.drift.verdicts import Grade
from streams.drift.windows import Rows

__all__ = ["report"]

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
    measured, against = judged.measured, judged.measured.group.against
    notable = _notable(judged)
    rows = np.flatnonzero(judged.complete | notable.any(axis=1))
    if not len(rows):
        return
    grades, told = judged.found.grade[rows], _Told(judged, rows, notable[rows])
    combined = _combined(measured, rows)
    gravest, drifted = grades.max(axis=1).tolist(), (grades == Grade.DRIFT).sum(axis=1).tolist()
    for i, row in enumerate(rows.tolist()):
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
                verdict=Grade(gravest[i]).verdict,
                drifted=drifted[i],
                complete=bool(judged.complete[row]),
                features=told.features(i),
                device_scores={"multivariate": combined[i]},
            ),
        )


class _Told:
    """What is told of the features of some rows: every score of notable ones, the usual ones of the others."""

    def __init__(self, judged: Judged, rows: Rows, notable: npt.NDArray[np.bool_]) -> None:
        measured = judged.measured
        listed = notable | judged.complete[rows][:, np.newaxis]
        at, feature = np.nonzero(listed)
        psi, grade = measured.score("psi")[rows[at], feature], judged.found.grade[rows[at], feature]
        order = np.lexsort((-psi, -grade.astype(np.int64), at))
        at, feature, grade = at[order], feature[order], grade[order]
        self._names = [measured.group.against.features[one] for one in feature.tolist()]
        self._verdicts = [_VERDICTS[one] for one in grade.tolist()]
        self._scores: list[dict[str, float]] = [{}] * len(at)
        every = notable[at, feature]
        for which, names in ((every, SCORES), (~every, _USUAL)):
            self._score(measured, rows[at], feature, np.flatnonzero(which), list(names))
        self._ends = np.searchsorted(at, np.arange(len(rows) + 1)).tolist()

    def features(self, i: int) -> tuple[FeatureScores, ...]:
        return tuple(
            FeatureScores(feature=self._names[one], verdict=self._verdicts[one], scores=self._scores[one])
            for one in range(self._ends[i], self._ends[i + 1])
        )

    def _score(self, measured: Measured, rows: Rows, features: Rows, which: Rows, names: list[str]) -> None:
        if not len(which):
            return
        pair = measured.elements(rows[which], features[which])
        values = np.stack([SCORES[name](pair)[0, : len(which)] for name in names], axis=1)
        for one, mine, known in zip(which.tolist(), values.tolist(), np.isfinite(values).tolist(), strict=True):
            self._scores[one] = dict(compress(zip(names, mine, strict=True), known))


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
