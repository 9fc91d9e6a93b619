"""From judged windows to records: what is quiet stays off the wire."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from schemas.drift_scores import DriftScores, FeatureScores
from streams.drift.engine import Judged
from streams.drift.scores import SCORES, Pair, Sample
from streams.drift.verdicts import Grade

__all__ = ["only_rows", "report"]


def report(judged: Sequence[Judged], policy_id: str, policy_revision: int) -> list[DriftScores]:
    """Return the records to publish, in the order in which windows completed them, slower horizons first."""
    placed = [
        ((place, -one.horizon_ms, record.device_id), record)
        for one in judged
        for place, record in _records(one, policy_id, policy_revision)
    ]
    return [record for _, record in sorted(placed, key=lambda pair: pair[0])]


def only_rows(pair: Pair, rows: npt.NDArray[np.intp]) -> Pair:
    """Return the pair of some devices."""
    live = pair.live
    chosen = Sample(
        counts=live.counts[:, rows],
        missing=live.missing[rows],
        out_of_range=live.out_of_range[rows],
        mean=live.mean[rows],
        m2=live.m2[rows],
    )
    return Pair(reference=pair.reference, live=chosen)


def _records(judged: Judged, policy_id: str, policy_revision: int) -> Iterator[tuple[int, DriftScores]]:
    notable = _notable(judged)
    rows = np.flatnonzero(judged.complete | notable.any(axis=1))
    if not len(rows):
        return
    against = judged.judging.against
    pair = only_rows(judged.pair, rows)
    every = {name: score(pair).tolist() for name, score in SCORES.items()} if notable[rows].any() else {}
    usual = {name: score[rows].tolist() for name, score in judged.scores.items()}
    grades = judged.found.grade[rows]
    for i, row in enumerate(rows.tolist()):
        listed = np.flatnonzero(judged.complete[row] | notable[row])
        order = listed[np.lexsort((-judged.scores["psi"][row, listed], -grades[i, listed].astype(int)))]
        yield (
            int(judged.place[row]),
            DriftScores(
                device_id=judged.device_id[row],
                model_id=against.model_id,
                grid_id=against.grid.grid_id,
                baseline_id=against.baseline_id,
                policy_id=policy_id,
                policy_revision=policy_revision,
                boot_id=judged.boot_id[row],
                seq=int(judged.seq[row]),
                window_end_ms=int(judged.end_ms[row]),
                horizon_ms=judged.horizon_ms,
                samples=int(judged.samples[row]),
                verdict=Grade(int(grades[i].max())).verdict,
                drifted=int((grades[i] == Grade.DRIFT).sum()),
                complete=bool(judged.complete[row]),
                features=tuple(
                    FeatureScores(
                        feature=against.features[feature],
                        verdict=Grade(int(grades[i, feature])).verdict,
                        scores=_told(every if notable[row, feature] else usual, i, feature),
                    )
                    for feature in order.tolist()
                ),
                device_scores={"multivariate": float(judged.combined[row])},
            ),
        )


def _notable(judged: Judged) -> npt.NDArray[np.bool_]:
    """Features above a report floor, or with a verdict that somebody should know of."""
    floors = judged.judging.rules.reporting
    notable: npt.NDArray[np.bool_] = ((judged.scores["psi"] >= floors.psi) | (judged.scores["ks"] >= floors.ks)) & (
        judged.found.grade >= Grade.STABLE
    )
    notable |= judged.found.grade >= Grade.WARNING
    return notable


def _told(scores: dict[str, list[list[float]]], i: int, feature: int) -> dict[str, float]:
    return {name: values[i][feature] for name, values in scores.items() if math.isfinite(values[i][feature])}
