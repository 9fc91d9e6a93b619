"""Every score against an independent implementation, on counts from 1 to 10^9, empty bins and single bins."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from streams.drift.scores import SCORES, Pair, Reference, Sample, combined_score, pair_of_counts
from streams.drift.scores.mean_shift import shift_z
from streams.drift.scores.pair import SHARE_FLOOR

REFERENCE, LIVE = [1000, 1500, 1200, 1300], [800, 1400, 1600, 1200]

COUNT = st.one_of(st.integers(0, 3), st.integers(0, 1000), st.integers(0, 10**9))


@st.composite
def two_histograms(draw, least=1):
    bins = draw(st.integers(1, 24))
    row = st.lists(COUNT, min_size=bins, max_size=bins).filter(lambda counts: sum(counts) >= least)
    return np.array(draw(row), float), np.array(draw(row), float)


def floored(counts):
    return np.maximum(counts / counts.sum(), SHARE_FLOOR)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("psi", 0.0349210194),
        ("kl_live_reference", 0.0178270411),
        ("kl_reference_live", 0.0170939783),
        ("js", 0.0792454225),
        ("hellinger", 0.0660225547),
        ("ks", 0.06),
    ],
)
def test_worked_values(name, value):
    assert SCORES[name](pair_of_counts(REFERENCE, LIVE)) == pytest.approx(value, abs=5e-11)


def test_worked_psi_of_shares():
    assert SCORES["psi"](pair_of_counts([30, 40, 30], [20, 40, 40])) == pytest.approx(0.0693147181, abs=5e-11)


def test_wasserstein_of_bins_ten_wide():
    pair = pair_of_counts(REFERENCE, LIVE, positions=[0, 10, 20, 30])

    assert SCORES["wasserstein"](pair) == pytest.approx(1.2)


def test_wasserstein_is_in_deviations_of_the_reference():
    pair = pair_of_counts(REFERENCE, LIVE, positions=[0, 10, 20, 30], unit=4.0)

    assert SCORES["wasserstein"](pair) == pytest.approx(0.3)


def test_wasserstein_of_single_samples():
    before, now = np.bincount([0, 1, 3], minlength=9), np.bincount([5, 6, 8], minlength=9)

    assert SCORES["wasserstein"](pair_of_counts(before, now)) == pytest.approx(5.0)


def test_sides_of_unequal_length_are_refused_with_both_lengths():
    with pytest.raises(ValueError, match="reference has 2 bins, live has 3"):
        pair_of_counts([1, 2], [1, 2, 3])


@given(two_histograms())
def test_psi_and_kl_agree_with_scipy(both):
    before, now = both
    pair = pair_of_counts(before, now)
    p, q = now / now.sum(), before / before.sum()
    p_floored, q_floored = floored(now), floored(before)

    psi = sum((a - b) * math.log(a / b) for a, b in zip(p_floored, q_floored, strict=True))

    assert SCORES["psi"](pair) == pytest.approx(psi, rel=1e-9, abs=1e-12)
    if (before > 0).all() and (now > 0).all() and min(p.min(), q.min()) > SHARE_FLOOR:
        assert SCORES["kl_live_reference"](pair) == pytest.approx(stats.entropy(p, q), rel=1e-7, abs=1e-12)
        assert SCORES["kl_reference_live"](pair) == pytest.approx(stats.entropy(q, p), rel=1e-7, abs=1e-12)


@given(two_histograms())
def test_js_agrees_with_scipy(both):
    before, now = both

    expected = jensenshannon(before, now, base=2)

    # Near 0 scipy's own cancellation is what differs.
    assert SCORES["js"](pair_of_counts(before, now)) == pytest.approx(0 if np.isnan(expected) else expected, abs=2e-7)


@given(two_histograms())
def test_hellinger_agrees_with_the_angle_between_the_roots(both):
    before, now = both

    overlap = np.sqrt(now / now.sum() * before / before.sum()).sum()

    assert SCORES["hellinger"](pair_of_counts(before, now)) ** 2 == pytest.approx(1 - overlap, abs=1e-9)


@given(two_histograms())
def test_wasserstein_agrees_with_scipy(both):
    before, now = both
    # One sample alone has no deviation to measure in.
    assume(before.sum() > 1)
    places = np.arange(len(before), dtype=float) ** 1.5

    expected = stats.wasserstein_distance(places, places, now, before)

    assert SCORES["wasserstein"](pair_of_counts(before, now, positions=places)) == pytest.approx(
        expected, rel=1e-6, abs=1e-9
    )


@given(two_histograms(least=2))
def test_chi_square_agrees_with_scipy(both):
    before, now = both
    used = (before + now) > 0
    assume(used.sum() > 1)

    expected = stats.chi2_contingency([now[used], before[used]], correction=False).statistic

    assert SCORES["chi_square"](pair_of_counts(before, now)) == pytest.approx(expected, rel=1e-6, abs=1e-5)


@given(two_histograms(least=2))
def test_g_agrees_with_scipy(both):
    before, now = both
    used = (before + now) > 0
    assume(used.sum() > 1)

    expected = stats.chi2_contingency([now[used], before[used]], correction=False, lambda_="log-likelihood").statistic

    size = now.sum() + before.sum()
    assert SCORES["g"](pair_of_counts(before, now)) == pytest.approx(expected, rel=1e-6, abs=1e-4 + size * 1e-14)


@given(
    st.lists(st.floats(-4, 4), min_size=1, max_size=80),
    st.lists(st.floats(-4, 4), min_size=1, max_size=80),
    st.lists(st.floats(-3, 3), min_size=1, max_size=12, unique=True),
)
def test_the_raw_ks_gap_lies_between_the_binned_one_and_its_upper_bound(before, now, cuts):
    edges = np.sort(cuts)
    bins = len(edges) + 1
    pair = pair_of_counts(
        np.bincount(np.searchsorted(edges, before), minlength=bins),
        np.bincount(np.searchsorted(edges, now), minlength=bins),
    )

    raw = stats.ks_2samp(before, now, method="asymp").statistic

    assert SCORES["ks"](pair) <= raw + 1e-12
    assert raw <= SCORES["ks_upper"](pair) + 1e-12


def test_ks_p_agrees_with_the_kolmogorov_distribution():
    before, now = np.full(40, 5000.0), np.full(40, 100.0)
    now[:6] += 12

    pair = pair_of_counts(before, now)

    n, m = now.sum(), before.sum()
    root = math.sqrt(n * m / (n + m))
    gap = np.abs(np.cumsum(now / n - before / m)).max()
    assert SCORES["ks_p"](pair) == pytest.approx(stats.kstwobign.sf((root + 0.12 + 0.11 / root) * gap), rel=1e-6)


def test_ks_p_of_nearly_equal_sides_is_one():
    assert SCORES["ks_p"](pair_of_counts([500, 500], [500, 501])) == pytest.approx(1.0)


@given(two_histograms())
def test_identical_sides_score_nothing(both):
    counts, _ = both
    pair = pair_of_counts(counts, counts)

    for name in ("psi", "ks", "kl_live_reference", "js", "hellinger", "chi_square", "g"):
        assert SCORES[name](pair) == pytest.approx(0, abs=1e-6 + counts.sum() * 1e-15), name
    # One sample alone has no deviation to measure in; within one bin there is nothing to measure.
    nothing = 0.0 if counts.sum() > 1 or len(counts) == 1 else math.nan
    assert SCORES["wasserstein"](pair) == pytest.approx(nothing, abs=1e-6, nan_ok=True)


@given(two_histograms())
def test_symmetric_scores_do_not_care_who_is_the_reference(both):
    before, now = both

    for name in ("psi", "ks", "js", "hellinger"):
        one, other = SCORES[name](pair_of_counts(before, now)), SCORES[name](pair_of_counts(now, before))
        assert one == pytest.approx(other, rel=1e-9, abs=1e-12), name


@pytest.mark.parametrize(
    "name", ["psi", "ks", "kl_live_reference", "js", "hellinger", "wasserstein", "chi_square", "g"]
)
def test_a_side_without_values_has_no_score(name):
    assert math.isnan(SCORES[name](pair_of_counts([3, 4], [0, 0])))
    assert math.isnan(SCORES[name](pair_of_counts([0, 0], [3, 4])))


def test_one_bin_has_nothing_to_tell():
    pair = pair_of_counts([10**9], [1])

    assert [float(SCORES[name](pair)) for name in ("psi", "ks", "js", "hellinger", "wasserstein", "g")] == [0.0] * 6


def test_disjoint_sides_are_as_far_apart_as_can_be():
    pair = pair_of_counts([5, 0], [0, 7])

    assert SCORES["js"](pair) == pytest.approx(1)
    assert SCORES["hellinger"](pair) == pytest.approx(1)
    assert SCORES["ks"](pair) == pytest.approx(1)


@pytest.mark.parametrize("name", SCORES)
def test_a_row_does_not_depend_on_its_neighbours(name):
    rng = np.random.default_rng(7)
    whole = random_pair(rng, devices=37, features=5, bins=16)

    together = SCORES[name](whole)

    for device in range(37):
        alone = SCORES[name](one_device(whole, device))
        np.testing.assert_array_equal(alone[0], together[device], err_msg=name)


@pytest.mark.parametrize("name", sorted(set(SCORES) - {"ks_p"}))
def test_single_precision_is_precise_enough(name):
    rng = np.random.default_rng(11)
    exact = random_pair(rng, devices=50, features=4, bins=16, dtype=np.float64)
    single = as_type(exact, np.float32)

    np.testing.assert_allclose(SCORES[name](single), SCORES[name](exact), rtol=2e-3, atol=2e-3)


def raw_pair(before, now, **overrides):
    """A pair with true moments, from raw values; NaN is missing."""
    return Pair(reference=_reference(before, **overrides), live=Sample(**_summary(now)))


def _summary(values):
    values = np.asarray(values, float)
    usable = values[~np.isnan(values)]
    counts = np.bincount(np.searchsorted([-1.0, 0.0, 1.0], usable), minlength=4).astype(float)
    return {
        "counts": counts,
        "missing": np.array(float(np.isnan(values).sum())),
        "out_of_range": np.array(float((np.abs(usable) > 3).sum())),
        "mean": np.array(usable.mean() if len(usable) else np.nan),
        "m2": np.array(((usable - usable.mean()) ** 2).sum() if len(usable) else 0.0),
    }


def _reference(values, **overrides):
    one = np.array(1.0)
    rest = {
        "positions": np.array([-1.5, -0.5, 0.5, 1.5]),
        "unseen_bin": np.array(-1),
        "dispersion_counts": one,
        "dispersion_mean": one,
        "dispersion_variance": one,
        "trials": np.array(np.inf),
    }
    return Reference(**(_summary(values) | rest | overrides))


def test_welch_z_agrees_with_scipy():
    rng = np.random.default_rng(3)
    before, now = rng.normal(size=5000), rng.normal(0.2, 1.1, size=800)

    pair = raw_pair(before, now)

    welch = stats.ttest_ind(now, before, equal_var=False)
    assert SCORES["mean_z"](pair) == pytest.approx(welch.statistic, rel=1e-3)
    assert SCORES["mean_shift"](pair) == pytest.approx((now.mean() - before.mean()) / before.std(ddof=1))


def test_the_dispersion_divides_what_a_window_proves():
    rng = np.random.default_rng(4)
    before, now = rng.normal(size=5000), rng.normal(0.3, 1, size=800)

    plain = SCORES["mean_z"](raw_pair(before, now))
    wide = SCORES["mean_z"](raw_pair(before, now, dispersion_mean=np.array(9.0)))

    assert wide == pytest.approx(plain / 3, rel=1e-3)


def test_the_score_that_evidence_is_gathered_from_is_a_normal_at_any_autocorrelation():
    rng = np.random.default_rng(12)
    one, windows, per_window, rho = np.array(1.0), 60_000, 60, 0.8
    readings = rng.normal(size=(windows, per_window))
    for now in range(1, per_window):
        readings[:, now] = rho * readings[:, now - 1] + math.sqrt(1 - rho * rho) * readings[:, now]
    mean = readings.mean(axis=1)
    dispersion = mean.var() * per_window
    live = Sample(
        counts=np.full((1, windows), float(per_window)),
        missing=np.zeros(windows),
        out_of_range=np.zeros(windows),
        mean=mean,
        m2=((readings - mean[:, None]) ** 2).sum(axis=1),
    )
    vast = _reference(np.zeros(2), counts=np.array([1e9]), mean=0 * one, m2=1e9 * one, dispersion_mean=dispersion * one)

    z = shift_z(Pair(reference=vast, live=live))

    assert (np.abs(z) > 3).mean() == pytest.approx(0.0027, abs=0.0007)
    assert np.abs(z).max() < 5.2


def test_variance_z_has_the_tail_of_an_f_test():
    rng = np.random.default_rng(5)
    before, now = rng.normal(size=4000), rng.normal(0, 1.2, size=700)

    z = SCORES["variance_z"](raw_pair(before, now))

    ratio = now.var(ddof=1) / before.var(ddof=1)
    assert stats.norm.logsf(float(z)) == pytest.approx(stats.f.logsf(ratio, 699, 3999), rel=0.02)
    assert SCORES["variance_ratio"](raw_pair(before, now)) == pytest.approx(ratio)


def test_a_constant_has_no_variance_left():
    pair = raw_pair(np.random.default_rng(6).normal(size=4000), np.full(600, 0.4))

    assert SCORES["variance_ratio"](pair) == 0
    assert SCORES["variance_z"](pair) < -30


@pytest.mark.parametrize(
    ("values", "dispersion", "least", "most"),
    [
        pytest.param(10, 40.0, -0.02, 0.0, id="a quarter of a degree of freedom says nothing"),
        pytest.param(10, 4.0, -2.9, -2.8, id="two degrees say a little"),
        pytest.param(600, 9.5, -17, -16, id="a window of autocorrelated values is sure"),
    ],
)
def test_a_constant_is_as_sure_as_its_degrees_of_freedom(values, dispersion, least, most):
    before = np.random.default_rng(6).normal(size=4000)

    z = SCORES["variance_z"](raw_pair(before, np.full(values, 0.4), dispersion_variance=np.array(dispersion)))

    assert least <= z <= most


@given(st.integers(2, 1000), st.floats(1, 200), st.floats(0, 0.3))
def test_a_narrower_spread_is_never_surer_than_none(values, dispersion, share):
    rng = np.random.default_rng(6)
    before, now = rng.normal(size=4000), rng.normal(size=values)
    narrow, none = (
        SCORES["variance_z"](raw_pair(before, now * by, dispersion_variance=np.array(dispersion)))
        for by in (share, 0.0)
    )

    assert none <= narrow


def test_a_reference_that_never_varied_has_no_deviation_to_count_in():
    pair = raw_pair(np.full(100, 2.0), np.random.default_rng(8).normal(size=50))

    assert not np.isfinite(SCORES["mean_shift"](pair))
    assert not np.isfinite(SCORES["variance_ratio"](pair))


def test_missing_and_impossible_values_are_rates():
    before = np.r_[np.zeros(900), np.full(100, np.nan)]
    now = np.r_[np.zeros(60), np.full(30, np.nan), np.full(10, 9.0)]

    pair = raw_pair(before, now)

    assert SCORES["missing_rate_change"](pair) == pytest.approx(0.3 - 0.1)
    assert SCORES["out_of_range"](pair) == pytest.approx(10 / 70)


@given(st.integers(0, 600), st.integers(0, 50_000))
def test_the_missing_score_is_the_root_of_g_of_two_proportions(gone, gone_before):
    before = np.r_[np.zeros(50_000 - gone_before + 1), np.full(gone_before, np.nan)]
    now = np.r_[np.zeros(601 - gone), np.full(gone, np.nan)]

    z = float(SCORES["missing_z"](raw_pair(before, now)))

    table = np.array([[gone, 601 - gone], [gone_before, 50_001 - gone_before]])
    used = table.sum(axis=0) > 0
    g = stats.chi2_contingency(table[:, used], correction=False, lambda_="log-likelihood").statistic if all(used) else 0
    assert abs(z) == pytest.approx(math.sqrt(max(g, 0)), abs=2e-3)
    if abs(z) > 0.01:
        assert (z > 0) == (gone / 601 > gone_before / 50_001)


def test_unseen_categories_are_those_of_the_last_bin():
    pair = raw_pair(np.zeros(100), [0.0] * 8 + [5.0, 6.0], unseen_bin=np.array(3))

    assert SCORES["unseen_category"](pair) == pytest.approx(0.2)
    assert SCORES["unseen_z"](pair) > 3


def test_all_missing_leaves_only_the_missing_rate():
    pair = raw_pair(np.random.default_rng(9).normal(size=500), np.full(200, np.nan))

    assert SCORES["missing_rate_change"](pair) == 1.0
    for name in ("psi", "ks", "js", "wasserstein", "mean_shift", "variance_ratio", "out_of_range"):
        assert math.isnan(SCORES[name](pair)), name


def test_features_without_a_score_sit_out_of_the_combined_one():
    assert combined_score(np.array([2.0, np.nan, 3.0])) == pytest.approx(combined_score(np.array([2.0, 3.0])))


def test_the_combined_score_of_many_quiet_features_is_an_ordinary_normal():
    rng = np.random.default_rng(10)

    combined = combined_score(rng.normal(size=(4000, 32)))

    assert abs(combined.mean()) < 0.06
    assert combined.std() == pytest.approx(1, abs=0.05)


def random_pair(rng, *, devices, features, bins, dtype=np.float32):
    shape = (devices, features)
    before, now = rng.integers(20, 900, (bins, 1, features)), rng.integers(0, 90, (bins, *shape))
    one = np.ones((1, features))
    return as_type(
        Pair(
            reference=Reference(
                counts=before, missing=one * 5, out_of_range=one * 3, mean=one * 0.5, m2=before.sum(axis=0) * 1.1,
                positions=np.broadcast_to(np.linspace(-2, 2, bins)[:, None, None], (bins, 1, features)),
                unseen_bin=np.where(np.arange(features) % 2, bins - 1, -1)[None],
                dispersion_counts=one * 1.3, dispersion_mean=one * 2, dispersion_variance=one * 1.5, trials=one * 400,
            ),
            live=Sample(
                counts=now, missing=rng.integers(0, 9, shape), out_of_range=rng.integers(0, 9, shape),
                mean=rng.normal(0.5, 0.05, shape), m2=now.sum(axis=0) * rng.uniform(0.8, 1.4, shape),
            ),
        ),
        dtype,
    )  # fmt: skip


def as_type(pair, dtype):
    def cast(side):
        values = {name: value.astype(dtype) for name, value in vars(side).items() if name in FIELDS}
        return values | ({"unseen_bin": side.unseen_bin} if isinstance(side, Reference) else {})

    return Pair(reference=Reference(**cast(pair.reference)), live=Sample(**cast(pair.live)))


FIELDS = {
    "counts", "missing", "out_of_range", "mean", "m2", "positions", "dispersion_counts", "dispersion_mean",
    "dispersion_variance", "trials",
}  # fmt: skip


def one_device(pair, device):
    live = pair.live
    which = slice(device, device + 1)
    alone = Sample(
        counts=live.counts[:, which],
        missing=live.missing[which],
        out_of_range=live.out_of_range[which],
        mean=live.mean[which],
        m2=live.m2[which],
    )
    return Pair(reference=pair.reference, live=alone)
