"""Scores of sums: the two by which a policy's report floors are met, and all that evidence is made of.

The formulas are those of `streams.drift.scores`, which a test holds these loops to.
"""

import math
from typing import Any

import numpy as np

from streams.drift.kernels.compiled import compiled, cube_root, ln
from streams.drift.kernels.layout import References, Totals
from streams.drift.scores.pair import SHARE_FLOOR
from streams.drift.windows import Ints, Singles, Summary

__all__ = ["look_closely", "score_totals"]

_FLOOR = np.float32(SHARE_FLOOR)
_TINY = np.float32(1e-37)
_LARGEST = np.float32(30.0)
_NONE, _TWO, _THREE, _SIX, _NINE = (np.float32(n) for n in (0, 2, 3, 6, 9))
_ONE, _HALF, _THIRD, _QUARTER, _FIFTH = (np.float32(1 / n) for n in range(1, 6))
# Up to here four terms are as good as the logarithm.
_SMALL = np.float32(0.02)
_OFF_BY = np.float32(1.0)
# Places of the ways to drift; see `evidence.Kind`.
_UP, _DOWN, _WIDER, _NARROWER, _SHAPE, _MISSING, _OUTSIDE, _UNSEEN = range(8)


@compiled
def score_totals(sums: Summary | Totals, which: Ints, of: References, psi: Singles, ks: Singles) -> None:
    """Write PSI and KS of each entry against reference `which[i]`; NaN where nothing is usable."""
    entries, bins, features = sums.counts.shape
    usable = np.empty(features, np.float32)
    shares = np.empty((bins, features), np.float32)
    summed = np.empty(features, np.float32)
    for i in range(entries):
        g = which[i]
        _share(sums.counts[i], usable, shares)
        _stability(shares, of.floored[g], of.log_floored[g], psi[i])
        _gap(shares, of.shares[g], summed, ks[i])
        for f in range(features):
            if not (usable[f] > 0 and of.usable[g, f] > 0):
                psi[i, f], ks[i, f] = np.nan, np.nan


@compiled
def look_closely(sums: Summary | Totals, which: Ints, of: References, score: Singles, effect: Singles) -> None:
    """Write, for each entry and way to drift, a normal score and an effect; NaN where there is nothing to go by."""
    entries, bins, features = sums.counts.shape
    usable = np.empty(features, np.float32)
    shares = np.empty((bins, features), np.float32)
    weight = np.empty(features, np.float32)
    mine = np.empty(features, np.float32)
    theirs = np.empty(features, np.float32)
    used = np.empty(features, np.float32)
    for i in range(entries):
        g = which[i]
        _share(sums.counts[i], usable, shares)
        for f in range(features):
            weight[f] = usable[f] / max(usable[f] + of.usable[g, f], _ONE)
        _own_part(shares, of.shares[g], weight, mine)
        _other_part(shares, of.shares[g], weight, theirs)
        _bins_in_use(shares, of.shares[g], used)
        _stability(shares, of.floored[g], of.log_floored[g], effect[i, _SHAPE])
        for f in range(features):
            # The statistic, twice the logarithm of the likelihood ratio.
            mine[f] = max(_TWO * (usable[f] * mine[f] + of.usable[g, f] * theirs[f]), _NONE)
        _shape(mine, used, usable, of.shape_scale[g], score[i, _SHAPE])
        for f in range(features):
            rate = _ONE / max(of.usable[g, f], _ONE) + _ONE / max(usable[f], _ONE)
            effect[i, _SHAPE, f] -= of.dispersion_counts[g, f] * rate * max(used[f] - _ONE, _NONE)
            if not (usable[f] > 0 and of.usable[g, f] > 0):
                score[i, _SHAPE, f], effect[i, _SHAPE, f] = np.nan, np.nan
        _values(sums, of, i, g, usable, score, effect)
        _bound_by_shape(used, score[i])
        _bound_by_ranks(shares, of, g, usable, used, score[i])
        _rates(sums, of, i, g, usable, score, effect)


# Each of these loops is short: with few arrays the compiler can tell them apart, and takes eight features at a time.


@compiled
def _share(counts: Any, usable: Singles, shares: Singles) -> None:
    bins, features = counts.shape
    usable[:] = 0.0
    for b in range(bins):
        for f in range(features):
            usable[f] += np.float32(counts[b, f])
    for b in range(bins):
        for f in range(features):
            shares[b, f] = np.float32(counts[b, f]) / max(usable[f], _ONE)


@compiled
def _stability(shares: Singles, floored: Singles, logs: Singles, total: Singles) -> None:
    bins, features = shares.shape
    total[:] = 0.0
    for b in range(bins):
        for f in range(features):
            held = max(shares[b, f], _FLOOR)
            total[f] += (held - floored[b, f]) * (ln(held) - logs[b, f])


@compiled
def _gap(shares: Singles, reference: Singles, summed: Singles, widest: Singles) -> None:
    bins, features = shares.shape
    summed[:] = 0.0
    widest[:] = 0.0
    for b in range(bins):
        for f in range(features):
            summed[f] += shares[b, f] - reference[b, f]
        for f in range(features):
            widest[f] = max(widest[f], abs(summed[f]))


@compiled
def _own_part(shares: Singles, reference: Singles, weight: Singles, total: Singles) -> None:
    """Live side of the likelihood ratio, per live sample."""
    bins, features = shares.shape
    total[:] = 0.0
    for b in range(bins):
        for f in range(features):
            p = shares[b, f]
            pooled = reference[b, f] + weight[f] * (p - reference[b, f])
            total[f] += p * ln(max(p, _TINY) / max(pooled, _TINY))


@compiled
def _other_part(shares: Singles, reference: Singles, weight: Singles, total: Singles) -> None:
    """Reference side of the likelihood ratio, per reference sample.

    In terms of how far pooling moves a share, u, that is the sum of -q · ln(1 + u). What the part linear in u adds
    up to is known: left in, it would drown the rest.
    """
    bins, features = shares.shape
    total[:] = 0.0
    for b in range(bins):
        for f in range(features):
            q = reference[b, f]
            moved = weight[f] * (shares[b, f] - q)
            u = moved / max(q, _TINY)
            small = u * u * (_HALF - u * (_THIRD - u * (_QUARTER - u * _FIFTH)))
            beyond = small if abs(u) < _SMALL else u - ln(max(_ONE + u, _TINY))
            total[f] += q * beyond if q > 0 else moved


@compiled
def _bins_in_use(shares: Singles, reference: Singles, total: Singles) -> None:
    bins, features = shares.shape
    total[:] = 0.0
    for b in range(bins):
        for f in range(features):
            total[f] += _ONE if shares[b, f] + reference[b, f] > 0 else np.float32(0.0)


@compiled
def _values(
    sums: Summary | Totals, of: References, i: int, g: int, usable: Singles, score: Singles, effect: Singles
) -> None:
    """Mean and spread, both ways."""
    for f in range(usable.shape[0]):
        n, m = usable[f], of.usable[g, f]
        variance, dispersion_mean, trials = of.variance[g, f], of.dispersion_mean[g, f], of.trials[g, f]
        shift = (sums.mean[i, f] - of.mean[g, f]) / of.deviation[g, f]
        error = np.float32(math.sqrt(dispersion_mean * variance * (_ONE / n + _ONE / m)))
        z = (sums.mean[i, f] - of.mean[g, f]) / error
        known = n > 0
        shift = shift if known else np.float32(np.nan)
        z = z if known else np.float32(np.nan)
        own = sums.m2[i, f] / (n - _ONE) if n > _ONE else np.float32(np.nan)
        ratio = own / variance
        spread = np.float32(math.log(ratio)) if ratio > 0 else (-_LARGEST if ratio == 0 else np.float32(np.nan))
        spread = min(max(spread, -_LARGEST), _LARGEST) if ratio >= 0 else np.float32(np.nan)
        # As in `variance_z`.
        least = _ONE - (dispersion_mean - _ONE) / max(n - _ONE, dispersion_mean)
        dispersion = of.dispersion_variance[g, f]
        root_skew = _ONE + _HALF * (_ONE - _ONE / (dispersion * dispersion))
        freedom = (n - _ONE) / dispersion
        above = freedom / (root_skew * root_skew)
        below = _ONE / (dispersion / max(m - _ONE, _ONE) + _ONE / max(np.float32(4.0) * trials, _ONE))
        beyond = ratio if ratio > _ONE else min(ratio / least, _ONE)
        compared = _ONE + (beyond - _ONE) * root_skew
        root = cube_root(abs(compared))
        root = root if compared >= 0 else -root
        first, second = _TWO / (_NINE * max(above, _ONE)), _TWO / (_NINE * max(below, _ONE))
        wider = ((_ONE - second) * root - (_ONE - first)) / np.float32(math.sqrt(second * root * root + first))
        enough = _NINE * max(freedom, _TWO / _NINE)
        wider = max(wider, (_TWO - enough) / np.float32(math.sqrt(_TWO * enough)))
        wider = wider if ratio >= 0 else np.float32(np.nan)
        # Less what a reference of limited size and known spread might feign; see `evidence`.
        off = _OFF_BY * np.float32(math.sqrt(n / max(m, _ONE)))
        certain = _ONE + _HALF / np.float32(math.sqrt(_TWO * trials))
        score[i, _UP, f], score[i, _DOWN, f] = (z - off) / certain, (-z - off) / certain
        effect[i, _UP, f], effect[i, _DOWN, f] = shift, -shift
        score[i, _WIDER, f], score[i, _NARROWER, f] = (wider - off) / certain, (-wider - off) / certain
        effect[i, _WIDER, f], effect[i, _NARROWER, f] = spread, -spread


@compiled
def _bound_by_shape(used: Singles, score: Singles) -> None:
    """Hold the spread to what the bins bear out: a few far values of a long tail are no other spread."""
    for f in range(used.shape[0]):
        if used[f] > _TWO:
            most = _THREE * max(score[_SHAPE, f], _NONE) + _TWO
            score[_WIDER, f] = min(score[_WIDER, f], most)
            score[_NARROWER, f] = min(score[_NARROWER, f], most)


@compiled
def _bound_by_ranks(shares: Singles, of: References, g: int, usable: Singles, used: Singles, score: Singles) -> None:
    """Where tails are long, hold mean and spread to what the ranks say, which no far value can pull."""
    bins = shares.shape[0]
    for f in range(used.shape[0]):
        if not of.long_tailed[g, f] or used[f] <= _TWO or usable[f] == 0:
            continue
        place, outness = _NONE, _NONE
        for b in range(bins):
            place += shares[b, f] * of.place[g, b, f]
            outness += shares[b, f] * of.outness[g, b, f]
        rate = of.dispersion_counts[g, f] * (_ONE / max(usable[f], _ONE) + _ONE / max(of.usable[g, f], _ONE))
        error = np.float32(math.sqrt(rate))
        score[_UP, f] = min(score[_UP, f], place / error + _ONE)
        score[_DOWN, f] = min(score[_DOWN, f], -place / error + _ONE)
        score[_WIDER, f] = min(score[_WIDER, f], outness / error)
        score[_NARROWER, f] = min(score[_NARROWER, f], -outness / error)


@compiled
def _shape(statistic: Singles, used: Singles, usable: Singles, scale: Singles, score: Singles) -> None:
    """As in `shape_z`."""
    for f in range(statistic.shape[0]):
        freedom = used[f] - _ONE
        williams = _ONE + (used[f] + _ONE) / (_SIX * max(usable[f], _ONE))
        spread = _TWO / (_NINE * max(freedom, _ONE))
        scaled = statistic[f] / (scale[f] * williams * max(freedom, _ONE))
        z = (cube_root(scaled) - (_ONE - spread)) / np.float32(math.sqrt(spread))
        score[f] = z if freedom > 0 else _NONE


@compiled
def _rates(
    sums: Summary | Totals, of: References, i: int, g: int, usable: Singles, score: Singles, effect: Singles
) -> None:
    """What is missing, impossible or unheard of; a rate that is not up speaks for health."""
    nan = np.float32(np.nan)
    for f in range(usable.shape[0]):
        n, missing, outside = usable[f], np.float32(sums.missing[i, f]), np.float32(sums.out_of_range[i, f])
        seen = n + missing
        up = missing / seen - of.missing[g, f] / of.seen[g, f]
        effect[i, _MISSING, f] = up
        score[i, _MISSING, f] = nan if up != up else _NONE
        if up > 0:
            root = _signed_root(missing, seen, of.missing[g, f], of.seen[g, f])
            score[i, _MISSING, f] = root / math.sqrt(of.dispersion_counts[g, f])
        up = outside / n - of.out_of_range[g, f] / of.usable[g, f]
        effect[i, _OUTSIDE, f] = up
        score[i, _OUTSIDE, f] = nan if up != up else _NONE
        if up > 0:
            root = _signed_root(outside, n, of.out_of_range[g, f], of.usable[g, f])
            score[i, _OUTSIDE, f] = root / math.sqrt(of.dispersion_counts[g, f])
        place = of.unseen_bin[g, f]
        if place < 0:
            effect[i, _UNSEEN, f], score[i, _UNSEEN, f] = nan, nan
            continue
        unseen = np.float32(sums.counts[i, place, f])
        before = of.shares[g, place, f] * of.usable[g, f]
        effect[i, _UNSEEN, f] = unseen / n
        score[i, _UNSEEN, f] = nan if n == 0 else _NONE
        if unseen > 0:
            root = _signed_root(unseen, n, before, of.usable[g, f])
            score[i, _UNSEEN, f] = root / math.sqrt(of.dispersion_counts[g, f])


@compiled
def _signed_root(live_hits: Any, live_seen: Any, hits: Any, seen: Any) -> float:
    # Large terms cancel here, beyond what single precision can carry.
    live_hits, live_seen, hits, seen = float(live_hits), float(live_seen), float(hits), float(seen)
    pooled = (live_hits + hits) / max(live_seen + seen, 1.0)
    gain = 0.0
    for found, expected in (
        (live_hits, live_seen * pooled),
        (live_seen - live_hits, live_seen * (1 - pooled)),
        (hits, seen * pooled),
        (seen - hits, seen * (1 - pooled)),
    ):
        if found > 0:
            gain += found * math.log(found / max(expected, 1e-30))
    root = math.sqrt(max(2 * gain, 0.0))
    return root if live_hits * seen >= hits * live_seen else -root
