import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensing.errors import ReadingError, UnknownPipelineError
from sensing.pipelines import MACHINE, PIPELINES, VIBRATION, WEATHER, Stream, pipeline_named, run_batch
from sensing.pipelines.rolling import RollingSums

HOUR_MS = 3_600_000


def readings_of(pipeline, rows, seed, missing=0.0):
    rng = np.random.default_rng(seed)
    centre = np.array([(channel.low + channel.high) / 2 for channel in pipeline.channels])
    values = centre + rng.normal(size=(rows, len(centre))) * 5
    values[rng.random(values.shape) < missing] = np.nan
    return np.arange(rows) * pipeline.every_ms, values


@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=lambda pipeline: pipeline.id)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_however_readings_arrive_the_same_vectors_come_out_bit_by_bit(pipeline, data):
    rows = data.draw(st.integers(1, 3000 if pipeline is VIBRATION else 300))
    cuts = data.draw(st.lists(st.integers(0, rows), max_size=12).map(sorted))
    missing = data.draw(st.sampled_from([0.0, 0.0005, 0.1]))
    at_ms, values = readings_of(pipeline, rows, data.draw(st.integers(0, 99)), missing)

    whole = run_batch(pipeline, at_ms, values)
    stream = Stream(pipeline)
    parts = [stream.extend(at_ms[a:b], values[a:b]) for a, b in zip([0, *cuts], [*cuts, rows], strict=True)]

    assert np.vstack([part.matrix for part in parts]).tobytes() == whole.matrix.tobytes()
    assert np.concatenate([part.at_ms for part in parts]).tolist() == whole.at_ms.tolist()


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 200), seed=st.integers(0, 999), missing=st.sampled_from([0.0, 0.2]))
def test_machine_features_equal_their_plain_definition(rows, seed, missing):
    at_ms, values = readings_of(MACHINE, rows, seed, missing)

    found = run_batch(MACHINE, at_ms, values).matrix

    for row in range(rows):
        window = values[max(row - 59, 0) : row + 1]
        there = [column[np.isfinite(column)] for column in window.T]
        mean = [column.mean() if len(column) else np.nan for column in there]
        std = [column.std(ddof=1) if len(column) > 1 else np.nan for column in there]
        change = values[row] - values[row - 10] if row >= 10 else np.full(4, np.nan)
        np.testing.assert_allclose(found[row], [*values[row], *mean, *std, *change], rtol=1e-5, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 80), seed=st.integers(0, 999), missing=st.sampled_from([0.0, 0.2]))
def test_weather_features_equal_their_plain_definition(rows, seed, missing):
    at_ms, values = readings_of(WEATHER, rows, seed, missing)

    found = run_batch(WEATHER, at_ms, values).matrix

    for row in range(rows):
        means = []
        for hours in (3, 6, 12, 24):
            window = values[max(row - hours + 1, 0) : row + 1]
            means += [c[np.isfinite(c)].mean() if np.isfinite(c).any() else np.nan for c in window.T]
        lags = [
            values[row - back, channel] if row >= back else np.nan
            for channel, back in ((0, 1), (0, 24), (1, 24), (2, 3))
        ]
        np.testing.assert_allclose(found[row, :24], [*values[row], *means, *lags], rtol=1e-5)
        hour = 2 * np.pi * (row % 24) / 24
        np.testing.assert_allclose(found[row, 24:26], [np.sin(hour), np.cos(hour)], atol=1e-6)
    assert found.shape[1] == 32


def test_vibration_features_equal_scipy_on_whole_windows():
    from scipy import stats

    at_ms, values = readings_of(VIBRATION, 5000, 1)

    found = run_batch(VIBRATION, at_ms, values)

    assert found.at_ms.tolist() == list(range(1023, 5000, 256))
    for end, row in zip(found.at_ms, found.matrix, strict=True):
        signal = values[end - 1023 : end + 1, 0]
        centred = signal - signal.mean()
        np.testing.assert_allclose(row[0], centred.std(), rtol=1e-5)
        np.testing.assert_allclose(row[1], np.abs(centred).max(), rtol=1e-5)
        np.testing.assert_allclose(row[2], stats.kurtosis(signal, fisher=False), rtol=1e-5)
        np.testing.assert_allclose(row[3], np.abs(centred).max() / centred.std(), rtol=1e-5)
        np.testing.assert_allclose(row[4], stats.skew(signal), rtol=1e-4, atol=1e-6)
        # Parseval: the bands hold all of the power.
        np.testing.assert_allclose(row[5:].sum(), centred.var(), rtol=1e-4)


def test_a_tone_has_its_energy_in_its_band():
    seconds = np.arange(1024) / 1000

    row = run_batch(VIBRATION, np.arange(1024), 2 * np.sin(2 * np.pi * 200 * seconds)[:, None]).matrix[0]

    assert row[0] == pytest.approx(np.sqrt(2), rel=1e-3)
    assert row[7] == pytest.approx(2.0, rel=0.02)  # 125 to 250 Hz; the power of a sine is half its square
    assert row[[5, 6, 8]].max() < 0.02


def test_a_dead_vibration_sensor_has_no_shape():
    row = run_batch(VIBRATION, np.arange(1024), np.full((1024, 1), 7.25)).matrix[0]

    assert row[[0, 1, 5, 6, 7, 8]].tolist() == [0] * 6
    assert np.isnan(row[[2, 3, 4]]).all()


@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=lambda pipeline: pipeline.id)
def test_a_restart_goes_on_as_if_nothing_had_happened(pipeline):
    at_ms, values = readings_of(pipeline, 4000, 5)
    whole = run_batch(pipeline, at_ms, values).matrix
    before = Stream(pipeline)
    first = before.extend(at_ms[:1717], values[:1717]).matrix

    after = Stream(pipeline)
    after.thaw({name: array.copy() for name, array in before.freeze().items()})
    second = after.extend(at_ms[1717:], values[1717:]).matrix

    assert np.vstack((first, second)).tobytes() == whole.tobytes()


@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=lambda pipeline: pipeline.id)
def test_what_was_frozen_stays_as_it_was_while_the_stream_goes_on(pipeline):
    at_ms, values = readings_of(pipeline, 3000, seed=5)
    stream = Stream(pipeline)
    stream.extend(at_ms[:2000], values[:2000])

    frozen = stream.freeze()
    before = {name: array.tobytes() for name, array in frozen.items()}
    for row in range(2000, 2100):
        stream.extend(at_ms[row : row + 1], values[row : row + 1])
    stream.extend(at_ms[2100:], values[2100:])

    assert {name: array.tobytes() for name, array in frozen.items()} == before


def test_sums_do_not_drift_over_a_million_rows():
    rng = np.random.default_rng(0)
    rows = rng.normal(1e6, 1.0, size=(1_000_000, 1))

    sums = RollingSums(60, 1).extend(rows)

    assert sums[-1, 0] == pytest.approx(rows[-60:].sum(), rel=1e-14)


def test_late_readings_are_left_out_and_counted():
    stream = Stream(MACHINE)

    found = stream.extend([1000, 2000, 1500, 2000, 3000], np.ones((5, 4)))

    assert found.at_ms.tolist() == [1000, 2000, 3000]
    assert stream.troubles.late == 2


def test_a_long_gap_starts_afresh():
    stream = Stream(MACHINE)
    stream.extend(np.arange(100) * 1000, np.full((100, 4), 50.0))

    found = stream.extend([99_000 + 61_000], np.full((1, 4), 10.0)).matrix[0]

    assert found[4:8].tolist() == [10.0] * 4
    assert np.isnan(found[12:]).all()
    assert stream.troubles.restarts == 1


def test_a_clock_set_back_by_an_hour_starts_afresh_and_goes_on():
    stream = Stream(MACHINE)
    stream.extend(np.arange(100) * 1000 + HOUR_MS * 2, np.ones((100, 4)))

    found = stream.extend(np.arange(5) * 1000 + HOUR_MS, np.ones((5, 4)))

    assert found.at_ms.tolist() == [HOUR_MS + 1000 * i for i in range(5)]
    assert stream.troubles.restarts == 1
    assert stream.troubles.late == 0


def test_missing_hours_are_bridged_as_missing_values():
    at_ms = np.array([0, 1, 2, 5, 6]) * HOUR_MS
    values = np.column_stack([np.array([10.0, 11, 12, 15, 16])] * 4)

    found = run_batch(WEATHER, at_ms, values)

    assert found.at_ms.tolist() == at_ms.tolist()
    assert found.matrix[3, 4] == 15.0  # mean over 3 h: two hours are missing
    assert np.isnan(found.matrix[3, 20])  # lag of 1 h
    assert found.matrix[4, 8] == pytest.approx((11 + 12 + 15 + 16) / 4)  # mean over 6 h


def test_an_infinite_reading_is_missing_and_counted():
    stream = Stream(MACHINE)

    found = stream.extend([0], [[np.inf, 1.0, 1.0, 1.0]])

    assert np.isnan(found.matrix[0, 0])
    assert stream.troubles.not_finite == 1


@pytest.mark.parametrize(
    ("readings", "said"),
    [
        pytest.param([["warm", 1, 1, 1]], "readings of machine/1 are not numbers", id="strings"),
        pytest.param([[1.0, 2.0]], "machine/1 wants 4 values a reading", id="too few channels"),
    ],
)
def test_unusable_readings_are_refused_in_words(readings, said):
    with pytest.raises(ReadingError, match=said):
        Stream(MACHINE).extend([0], readings)


def test_an_unknown_pipeline_is_answered_with_the_known_ones():
    with pytest.raises(UnknownPipelineError, match="unknown pipeline 'machine/9'; known: machine/1, vibration/1"):
        pipeline_named("machine/9")
