"""From judged windows to records: what is quiet stays off the wire."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from schemas.drift_scores import DriftScores, FeatureScores
from streams.drift.judge import Judged
from streams.drift.scores import SCORES, combined_score
from streams.drift.verdicts import Grade

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
    measured = judged.measured
    notable = _notable(judged)
    rows = np.flatnonzero(judged.complete | notable.any(axis=1))
    if not len(rows):
        return
    against = measured.group.against
    pair = measured.pair.only(rows)
    names = SCORES if notable[rows].any() else _USUAL
    scores = {name: SCORES[name](pair).tolist() for name in names}
    usual = {name: scores[name] for name in _USUAL}
    grades, psi = judged.found.grade[rows], measured.score("psi")
    combined = combined_score(np.nan_to_num(scores["mean_shift"], nan=0.0))
    for i, row in enumerate(rows.tolist()):
        listed = np.flatnonzero(judged.complete[row] | notable[row])
        order = listed[np.lexsort((-psi[row, listed], -grades[i, listed].astype(int)))]
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
                verdict=Grade(int(grades[i].max())).verdict,
                drifted=int((grades[i] == Grade.DRIFT).sum()),
                complete=bool(judged.complete[row]),
                features=tuple(
                    FeatureScores(
                        feature=against.features[feature],
                        verdict=Grade(int(grades[i, feature])).verdict,
                        scores=_told(scores if notable[row, feature] else usual, i, feature),
                    )
                    for feature in order.tolist()
                ),
                device_scores={"multivariate": float(combined[i])},
            ),
        )


def _notable(judged: Judged) -> npt.NDArray[np.bool_]:
    """Features above a report floor, or with a verdict that somebody should know of."""
    floors, measured = judged.rules.reporting, judged.measured
    moved = (measured.score("psi") >= floors.psi) | (measured.score("ks") >= floors.ks)
    notable: npt.NDArray[np.bool_] = moved & (judged.found.grade >= Grade.STABLE)
    notable |= judged.found.grade >= Grade.WARNING
    return notable


def _told(scores: dict[str, list[list[float]]], i: int, feature: int) -> dict[str, float]:
    return {name: values[i][feature] for name, values in scores.items() if math.isfinite(values[i][feature])}
