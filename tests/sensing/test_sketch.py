import numpy as np
import pytest

from schemas.feature_stats import FeatureStats
from sensing import GridError, Sketch, bin_counts, feature_stats, make_grid, merge, tally_of
from sensing.pipelines import MACHINE

FEATURES = len(MACHINE.features)
BOOT = "0b5d2f0e-8f2f-4a3a-9a63-0f7f9f0c8f11"


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(3).normal(size=(600, FEATURES)).astype(np.float32)


@pytest.fixture(scope="module")
def grid(vectors):
    return make_grid(MACHINE, vectors)


def stats_of(window, grid, seq=0) -> FeatureStats:
    return feature_stats(
        window, device_id="d1", model_id="m/1", pipeline=MACHINE.id, grid_id=grid.grid_id, boot_id=BOOT, seq=seq
    )


def test_a_window_closes_when_lateness_has_passed(grid, vectors):
    sketch = Sketch(grid, window_ms=60_000, lateness_ms=5_000)

    before = sketch.add(np.arange(65) * 1000, vectors[:65])
    after = sketch.add(np.array([65_000]), vectors[65:66])

    assert before == []
    assert [(w.start_ms, w.end_ms, w.tally.samples) for w in after] == [(0, 60_000, 60)]
    np.testing.assert_array_equal(after[0].tally.counts, bin_counts(grid, vectors[:60]).counts)


def test_out_of_order_samples_find_their_window(grid, vectors):
    at_ms = np.arange(600) * 1000
    shuffled = np.argsort(at_ms + np.random.default_rng(1).integers(0, 4000, 600), kind="stable")
    sketch = Sketch(grid)

    done = [w for chunk in np.array_split(shuffled, 50) for w in sketch.add(at_ms[chunk], vectors[chunk])]
    done += sketch.flush()

    assert [w.start_ms for w in done] == [60_000 * i for i in range(10)]
    for window in done:
        rows = slice(window.start_ms // 1000, window.end_ms // 1000)
        assert window.tally.counts.tolist() == bin_counts(grid, vectors[rows]).counts.tolist()


def test_a_sample_later_than_late_opens_its_window_once_more(grid, vectors):
    sketch = Sketch(grid)
    first = sketch.add(np.array([1000, 70_000]), vectors[:2])

    again = sketch.add(np.array([2000]), vectors[2:3]) + sketch.flush()

    assert [(w.start_ms, w.tally.samples) for w in first] == [(0, 1)]
    assert [(w.start_ms, w.tally.samples) for w in again] == [(0, 1), (60_000, 1)]


def test_a_clock_set_back_by_half_an_hour_makes_no_window_of_each_sample(grid, vectors):
    sketch = Sketch(grid)
    sketch.add(np.arange(0, 7_200_000, 60_000), vectors[:120])
    done = []

    for step in range(1800):
        done += sketch.add(np.array([5_400_000 + step * 1000]), vectors[step % 600 : step % 600 + 1])
    done += sketch.add(np.arange(7_200_000, 7_300_000, 1000), vectors[:100])

    # The two that were open at first, the same half hour once more, and what came in time again.
    assert sum(w.tally.samples for w in done) + sum(w.tally.samples for w in sketch.flush()) == 2 + 1800 + 100
    assert len(done) <= 33
    assert len({w.start_ms for w in done}) == len(done)


def test_a_sensor_that_catches_up_beside_a_live_one_makes_no_window_of_each_sample(grid, vectors):
    sketch = Sketch(grid)
    sketch.add(np.array([3_600_000]), vectors[:1])
    done = []

    for step in range(300):
        done += sketch.add(np.array([3_600_000 + step * 1000]), vectors[step : step + 1])
        done += sketch.add(np.array([step * 10_000]), vectors[step : step + 1])
    done += sketch.flush()

    assert sum(w.tally.samples for w in done) == 601
    assert len(done) <= 2 * (5 + 50)


def test_a_clock_set_back_closes_what_was_ahead_of_it(grid, vectors):
    sketch = Sketch(grid)
    sketch.add(np.array([10_000_000_000]), vectors[:1])

    done = sketch.add(np.array([5_000_000_000]), vectors[1:2])
    later = sketch.add(np.array([5_000_070_000]), vectors[2:3])

    assert [w.tally.samples for w in done] == [1]
    assert [w.start_ms for w in later] == [5_000_000_000 - 5_000_000_000 % 60_000]


def test_open_windows_are_bounded(grid, vectors):
    sketch = Sketch(grid, window_ms=1000, lateness_ms=10**9)

    done = sketch.add(np.arange(100) * 1000, vectors[:100])

    assert len(done) == 84
    assert len(sketch.flush()) == 16


def test_a_restart_keeps_the_open_windows(grid, vectors):
    sketch = Sketch(grid)
    sketch.add(np.arange(30) * 1000, vectors[:30])

    restarted = Sketch(grid)
    restarted.thaw(sketch.freeze())
    done = restarted.add(np.arange(30, 70) * 1000, vectors[30:70])

    assert [w.tally.samples for w in done] == [60]
    assert done[0].tally.counts.tolist() == bin_counts(grid, vectors[:60]).counts.tolist()


@pytest.mark.parametrize("restart_after", [None, 7, 32, 45])
def test_single_vectors_that_wait_for_each_other_are_all_counted(grid, vectors, restart_after):
    sketch = Sketch(grid)
    done = []

    for row in range(70):
        done += sketch.add(np.array([row * 1000]), vectors[row : row + 1])
        if row == restart_after:
            kept = sketch.freeze()
            sketch = Sketch(grid)
            sketch.thaw(kept)

    wanted = bin_counts(grid, vectors[:60])
    assert [w.tally.samples for w in done] == [60]
    assert done[0].tally.counts.tolist() == wanted.counts.tolist()
    np.testing.assert_allclose(done[0].tally.mean, wanted.mean)
    np.testing.assert_allclose(done[0].tally.m2, wanted.m2)


def test_what_is_missing_changes_nothing_of_what_is_there(grid, vectors):
    holed = vectors[:40].copy()
    holed[3, 2] = np.nan

    tally, whole = bin_counts(grid, holed), bin_counts(grid, vectors[:40])

    others = [column for column in range(FEATURES) if column != 2]
    assert (tally.missing[2], tally.missing.sum()) == (1, 1)
    for name in ("counts", "out_of_range", "mean", "m2", "min", "max"):
        assert getattr(tally, name)[others].tobytes() == getattr(whole, name)[others].tobytes()


def test_a_record_reads_back_as_it_was_counted(grid, vectors):
    sketch = Sketch(grid)
    sketch.add(np.arange(60) * 1000, vectors[:60])
    window = sketch.flush()[0]

    back = tally_of(stats_of(window, grid), grid)

    assert back.counts.tolist() == window.tally.counts.tolist()
    np.testing.assert_allclose(back.mean, window.tally.mean, rtol=1e-6)
    assert len(stats_of(window, grid).counts) == FEATURES * 16 * 4


def test_records_of_split_windows_merge_exactly(grid, vectors):
    halves = [bin_counts(grid, vectors[:300]), bin_counts(grid, vectors[300:])]

    assert merge(halves).counts.tolist() == bin_counts(grid, vectors).counts.tolist()


def test_a_record_with_other_lengths_is_refused(grid, vectors):
    from dataclasses import replace

    sketch = Sketch(grid)
    sketch.add(np.array([0]), vectors[:1])
    stats = replace(stats_of(sketch.flush()[0], grid), mean=b"\0" * 8)

    with pytest.raises(GridError, match=r"mean of d1 .* holds 8 bytes; grid .* wants 64"):
        tally_of(stats, grid)
