"""The compiled loops against the scores' own definitions, and their numerics against the library's."""

from dataclasses import replace

import numpy as np
import pytest
from drift_fleet import Fleet
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.drift.evidence import Kind
from streams.drift.kernels import Totals, look_closely, score_totals, stacked
from streams.drift.kernels.compiled import compiled, cube_root, ln
from streams.drift.references import lay_out
from streams.drift.scores import SCORES, Pair, Sample
from streams.drift.scores.mean_shift import shift_z
from streams.drift.scores.psi import psi_bias
from streams.drift.scores.ranks import rank_scores

FLEET = Fleet(features=5, bins=7)
AGAINST = lay_out(FLEET.grid, FLEET.baseline)
# The same, and as if a few far values made its variances.
REFERENCES = [AGAINST.reference, replace(AGAINST.reference, dispersion_variance=np.full((1, 5), 40, np.float32))]
STACK = stacked(REFERENCES)


@compiled
def logarithms(x, into):
    for i in range(len(x)):
        into[i] = ln(x[i])


@compiled
def cube_roots(x, into):
    for i in range(len(x)):
        into[i] = cube_root(x[i])


def test_logarithms_and_roots_are_the_librarys():
    rng = np.random.default_rng(3)
    x = np.concatenate([np.exp(rng.uniform(-80, 80, 5000)), rng.uniform(0.5, 2, 5000), [1.0]]).astype(np.float32)
    found = np.empty_like(x)

    logarithms(x, found)
    np.testing.assert_allclose(found, np.log(x.astype(float)), rtol=3e-7, atol=1e-7)
    cube_roots(x, found)
    np.testing.assert_allclose(found, np.cbrt(x.astype(float)), rtol=5e-7)
    cube_roots(np.zeros(3, np.float32), found[:3])
    assert found[:3].tolist() == [0, 0, 0]


@st.composite
def totals(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = int(10 ** draw(st.floats(0, 8)))
    shape = rng.dirichlet(np.full(7, draw(st.sampled_from([0.05, 1.0, 50.0]))), size=(4, 5))
    counts = np.stack([[rng.multinomial(size, one) for one in row] for row in shape]).transpose(0, 2, 1)
    counts[draw(st.integers(0, 3)), :, draw(st.integers(0, 4))] = 0
    usable = counts.sum(axis=1)
    missing = rng.binomial(size, draw(st.sampled_from([0.0, 0.01, 0.4])), size=(4, 5))
    mean, spread = rng.normal(0, 0.2, (4, 5)), np.exp(rng.normal(0, 0.3, (4, 5)))
    spread[0, 0] = 0
    named = {
        "missing": missing, "out_of_range": rng.binomial(usable, 0.02), "mean": mean,
        "m2": spread * np.maximum(usable - 1, 0),
    }  # fmt: skip
    return Totals(
        samples=np.full(4, size), counts=np.ascontiguousarray(counts, np.float32),
        **{name: value.astype(np.float32) for name, value in named.items()},
    )  # fmt: skip


def compared(found, expected, *, rtol=2e-3, atol=1e-4):
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(np.nan_to_num(found), np.nan_to_num(expected), rtol=rtol, atol=atol)


def rank_zs(pair):
    """Normal scores of a move and of another spread, by ranks alone."""
    reference, live = pair.reference, pair.live
    error = np.sqrt(
        np.maximum(reference.dispersion_counts, 1) * (1 / np.maximum(live.usable, 1) + 1 / reference.usable)
    )
    return [np.nansum(live.shares * values, axis=0) / error for values in rank_scores(reference.shares)]


@settings(max_examples=60, deadline=None)
@given(totals(), st.sampled_from([0, 1]))
def test_loops_score_as_the_definitions_do(sums, which):
    entries = np.full(4, which)
    psi, ks = np.empty((4, 5), np.float32), np.empty((4, 5), np.float32)
    score, effect = np.empty((4, len(Kind), 5), np.float32), np.empty((4, len(Kind), 5), np.float32)

    score_totals(sums, entries, STACK, psi, ks)
    look_closely(sums, entries, STACK, score, effect)

    pair = Pair(
        REFERENCES[which],
        Sample(counts=np.ascontiguousarray(sums.counts.transpose(1, 0, 2)), **{
            name: getattr(sums, name) for name in ("missing", "out_of_range", "mean", "m2")}),
    )  # fmt: skip
    compared(psi, SCORES["psi"](pair))
    compared(ks, SCORES["ks"](pair))
    compared(effect[:, Kind.SHAPE], SCORES["psi"](pair) - psi_bias(pair))
    compared(effect[:, Kind.MISSING], SCORES["missing_rate_change"](pair))
    some = pair.live.usable > 0
    live, reference = pair.live, pair.reference
    off = np.sqrt(live.usable / reference.usable)
    certain = 1 + 0.5 / np.sqrt(2 * reference.trials)
    # No more of another spread than the bins bear out, where there are enough of them to do so.
    bins_in_use = ((live.counts > 0) | (reference.counts > 0)).sum(axis=0)
    borne_out = np.where(bins_in_use > 2, 3 * np.maximum(score[:, Kind.SHAPE], 0) + 2, np.inf)
    # Where tails are long, ranks must bear it out as well.
    moved, wider = (np.where((bins_in_use > 2) & bool(which), z, np.nan) for z in rank_zs(pair))
    for kind, z, most, ranked in (
        (Kind.MEAN_UP, shift_z(pair), np.inf, moved),
        (Kind.SPREAD_UP, SCORES["variance_z"](pair), borne_out, wider),
    ):
        slack = 1 if kind is Kind.MEAN_UP else 0
        up, down = np.minimum((z - off) / certain, most), np.minimum((-z - off) / certain, most)
        up = np.where(np.isnan(ranked), up, np.minimum(up, slack + ranked))
        down = np.where(np.isnan(ranked), down, np.minimum(down, slack - ranked))
        compared(np.where(some, score[:, kind], 0), np.where(some, up, 0), atol=2e-3)
        compared(np.where(some, score[:, kind + 1], 0), np.where(some, down, 0), atol=2e-3)
    compared(np.where(some, effect[:, Kind.MEAN_DOWN], 0), np.where(some, -SCORES["mean_shift"](pair), 0))
    np.testing.assert_allclose(
        np.nan_to_num(score[:, Kind.SHAPE]), np.nan_to_num(np.where(some, SCORES["shape_z"](pair), 0)),
        rtol=5e-3, atol=0.05,
    )  # fmt: skip
    up = SCORES["missing_rate_change"](pair) > 0
    # The loops take the difference of two shares in single precision.
    found, expected = np.where(up, score[:, Kind.MISSING], 0), np.where(up, SCORES["missing_z"](pair), 0)
    compared(found, expected, rtol=5e-3, atol=1e-3)


def test_what_an_entry_scores_does_not_depend_on_its_neighbours():
    rng = np.random.default_rng(8)
    counts = rng.multinomial(300, np.full(7, 1 / 7), size=(9, 5)).transpose(0, 2, 1)
    zero = np.zeros((9, 5), np.float32)
    sums = Totals(np.full(9, 300), np.ascontiguousarray(counts, np.float32), zero, zero, zero + 0.1, zero + 299)

    def scored(some):
        score = np.empty((len(some), len(Kind), 5), np.float32)
        effect = np.empty_like(score)
        look_closely(sums.take(some), np.zeros(len(some), np.int64), STACK, score, effect)
        return score, effect

    whole = scored(np.arange(9))
    for i in range(9):
        for all_of, mine in zip(whole, scored(np.array([i])), strict=True):
            np.testing.assert_array_equal(all_of[i], mine[0])


@pytest.mark.parametrize("many", [1, 3])
def test_references_of_several_baselines_stand_beside_each_other(many):
    stack = stacked([lay_out(FLEET.grid, FLEET.baseline_of(f"m/{i}")).reference for i in range(many)])

    assert stack.shares.shape == (many, 7, 5)
    np.testing.assert_allclose(stack.shares.sum(axis=1), 1, rtol=1e-5)
