from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from schemas.grid import FeatureGrid, FeatureKind, Grid
from sensing import GridError, bin_counts, check_grid, content_id, make_grid, merge
from sensing.pipelines import MACHINE

FEATURES = len(MACHINE.features)
MATRICES = st.integers(0, 40).flatmap(
    lambda rows: hnp.arrays(
        np.float32, (rows, FEATURES), elements=st.floats(-50, 300, width=32) | st.just(float("nan"))
    )
)


@pytest.fixture(scope="module")
def grid():
    rng = np.random.default_rng(1)
    return make_grid(MACHINE, rng.normal(50, 10, size=(5000, FEATURES)).astype(np.float32))


def test_bins_of_a_grid_are_equally_filled(grid):
    rng = np.random.default_rng(1)
    reference = rng.normal(50, 10, size=(5000, FEATURES)).astype(np.float32)

    counts = bin_counts(grid, reference).counts

    assert counts.shape == (FEATURES, 16)
    assert counts.min() >= 311
    assert counts.max() <= 314


def test_the_id_is_the_content(grid):
    check_grid(grid)

    assert content_id(replace(grid, grid_id="")) == grid.grid_id
    with pytest.raises(GridError, match="says otherwise than its id"):
        check_grid(replace(grid, pipeline="machine/2"))


def test_equal_quantiles_are_merged():
    matrix = np.zeros((1000, FEATURES), dtype=np.float32)
    matrix[:100, 0] = np.arange(100)

    made = make_grid(MACHINE, matrix)

    assert made.features[0].edges == (0.0, 37.0)
    assert bin_counts(made, matrix).counts[0, :4].tolist() == [901, 37, 62, 0]


def test_a_constant_has_a_bin_below_and_a_bin_above():
    made = make_grid(MACHINE, np.full((100, FEATURES), 7.0, dtype=np.float32))

    probe = np.full((3, FEATURES), 7.0, dtype=np.float32)
    probe[1], probe[2] = 6.9, 7.1

    assert bin_counts(made, probe).counts[0, :4].tolist() == [1, 1, 1, 0]


def test_a_feature_that_is_all_missing_has_one_bin():
    made = make_grid(MACHINE, np.full((10, FEATURES), np.nan, dtype=np.float32))

    assert made.features[0].edges == ()
    assert bin_counts(made, np.ones((2, FEATURES))).counts[0].tolist() == [2] + [0] * 15


def test_bins_hold_their_upper_edge():
    one = FeatureGrid(name="x", kind=FeatureKind.NUMERIC, edges=(1.0, 2.0), low=0.5, high=2.5)
    grid = Grid(grid_id="", pipeline="p/1", bins=4, features=(one,))

    tally = bin_counts(grid, np.array([[0.0], [1.0], [1.5], [2.0], [3.0], [np.nan], [np.inf]]))

    assert tally.counts.tolist() == [[2, 2, 1, 0]]
    assert (tally.missing[0], tally.out_of_range[0]) == (2, 2)


def test_unseen_categories_share_the_last_bin():
    one = FeatureGrid(name="mode", kind=FeatureKind.CATEGORICAL, categories=(0.0, 3.0, 7.0))
    grid = Grid(grid_id="", pipeline="p/1", bins=4, features=(one,))

    tally = bin_counts(grid, np.array([[3.0], [7.0], [3.0], [1.0], [np.nan]]))

    assert tally.counts.tolist() == [[0, 2, 1, 1]]
    assert tally.missing.tolist() == [1]


@settings(max_examples=60, deadline=None)
@given(matrix=MATRICES)
def test_counts_equal_counting_one_by_one(grid, matrix):
    tally = bin_counts(grid, matrix)

    for column, feature in enumerate(grid.features):
        usable = [float(x) for x in matrix[:, column] if np.isfinite(x)]
        expected = [0] * grid.bins
        for x in usable:
            expected[sum(edge < x for edge in feature.edges)] += 1
        assert tally.counts[column].tolist() == expected
        assert tally.missing[column] == len(matrix) - len(usable)
        outside = [
            x
            for x in usable
            if (feature.low is not None and x < feature.low) or (feature.high is not None and x > feature.high)
        ]
        assert tally.out_of_range[column] == len(outside)
        if usable:
            assert tally.mean[column] == pytest.approx(np.mean(usable), abs=1e-9)
            assert tally.m2[column] == pytest.approx(np.var(usable) * len(usable), abs=1e-6, rel=1e-9)
            assert (tally.min[column], tally.max[column]) == (min(usable), max(usable))
        else:
            assert np.isnan(tally.mean[column])


@settings(max_examples=60, deadline=None)
@given(matrix=MATRICES, cuts=st.lists(st.integers(0, 40), max_size=4).map(sorted))
def test_tallies_add_up(grid, matrix, cuts):
    whole = bin_counts(grid, matrix)

    merged = merge([bin_counts(grid, part) for part in np.split(matrix, cuts)])

    assert merged.counts.tolist() == whole.counts.tolist()
    assert merged.missing.tolist() == whole.missing.tolist()
    assert merged.out_of_range.tolist() == whole.out_of_range.tolist()
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-9)
    np.testing.assert_allclose(merged.m2, whole.m2, rtol=1e-7, atol=1e-5)
    np.testing.assert_array_equal(merged.min, whole.min)


def test_a_matrix_of_another_shape_is_refused(grid):
    with pytest.raises(GridError, match="has 16 features, got"):
        bin_counts(grid, np.ones((3, 4)))
