"""Drift scores: each a small pure function over arrays, all of them in one registry."""

from collections.abc import Callable, Mapping

from streams.drift.scores.chi_square import chi_square
from streams.drift.scores.g_statistic import g_statistic, shape_z
from streams.drift.scores.hellinger import hellinger
from streams.drift.scores.jensen_shannon import js_distance
from streams.drift.scores.kl import kl_live_reference, kl_reference_live
from streams.drift.scores.ks import ks, ks_p, ks_upper
from streams.drift.scores.mean_shift import mean_shift, mean_z
from streams.drift.scores.missing_rate import missing_rate_change, missing_z
from streams.drift.scores.multivariate import combined_score, multivariate
from streams.drift.scores.out_of_range import out_of_range_rate, out_of_range_z
from streams.drift.scores.pair import Floats, Pair, Reference, Sample, pair_of_counts, side_by_side
from streams.drift.scores.psi import psi, psi_bias
from streams.drift.scores.unseen_category import unseen_share, unseen_z
from streams.drift.scores.variance_ratio import variance_ratio, variance_z
from streams.drift.scores.wasserstein import wasserstein

__all__ = [
    "SCORES",
    "Floats",
    "Pair",
    "Reference",
    "Sample",
    "Score",
    "combined_score",
    "multivariate",
    "pair_of_counts",
    "psi_bias",
    "side_by_side",
]

Score = Callable[[Pair], Floats]

# The names are those of policies and of published records.
SCORES: Mapping[str, Score] = {
    "psi": psi,
    "ks": ks,
    "ks_upper": ks_upper,
    "ks_p": ks_p,
    "kl_live_reference": kl_live_reference,
    "kl_reference_live": kl_reference_live,
    "js": js_distance,
    "hellinger": hellinger,
    "wasserstein": wasserstein,
    "mean_shift": mean_shift,
    "mean_z": mean_z,
    "variance_ratio": variance_ratio,
    "variance_z": variance_z,
    "missing_rate_change": missing_rate_change,
    "missing_z": missing_z,
    "out_of_range": out_of_range_rate,
    "out_of_range_z": out_of_range_z,
    "chi_square": chi_square,
    "unseen_category": unseen_share,
    "unseen_z": unseen_z,
    "g": g_statistic,
    "shape_z": shape_z,
}
