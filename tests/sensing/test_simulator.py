import numpy as np
import pytest

from sensing.errors import SensingError
from sensing.pipelines import run_batch
from sensing.simulator import WORLDS, Fault, FaultKind, Simulated, bit_of, kinds_in, label_vectors, scripted_faults


@pytest.mark.parametrize("fleet", WORLDS)
def test_readings_do_not_depend_on_how_they_are_asked_for(fleet):
    faults = scripted_faults(fleet, 5000, share=0.3)
    whole = Simulated(fleet, device=4, faults=faults).take(5000)
    parts = Simulated(fleet, device=4, faults=faults)

    pieces = [parts.take(count) for count in (1, 2, 1021, 1024, 2000, 952)]

    for column in range(3):
        np.testing.assert_array_equal(np.concatenate([piece[column] for piece in pieces]), whole[column])


@pytest.mark.parametrize("fleet", WORLDS)
def test_devices_differ_and_healthy_readings_are_physical(fleet):
    one, other = Simulated(fleet, device=1), Simulated(fleet, device=2)

    readings = one.take(20_000)

    assert not np.array_equal(readings.values, other.take(20_000).values)
    for column, channel in zip(readings.values.T, one.pipeline.channels, strict=True):
        assert channel.low <= column.min() < column.max() <= channel.high
    assert not readings.labels.any()


@pytest.mark.parametrize("fleet", ["machine", "vibration"])
def test_stated_scales_are_those_of_the_readings(fleet):
    simulated = Simulated(fleet)

    spread = simulated.take(86_400).values.std(axis=0)

    np.testing.assert_allclose(spread, WORLDS[fleet].scales, rtol=0.35)


@pytest.mark.parametrize("kind", FaultKind)
def test_every_fault_shows_and_is_labelled(kind):
    fault = Fault(kind=kind, channel=1, first=1500, last=2600, size=6.0, share=0.5)
    healthy = Simulated("machine").take(4000)

    faulty = Simulated("machine", faults=[fault]).take(4000)

    touched = faulty.labels == bit_of(kind)
    if kind is FaultKind.DROPOUT:
        assert 400 < len(healthy.at_ms) - len(faulty.at_ms) < 700
        assert not touched.any()
        return
    if kind is FaultKind.CLOCK_SKEW:
        assert (faulty.at_ms != healthy.at_ms).nonzero()[0].tolist() == list(range(1500, 2600))
    else:
        changed = ~((faulty.values == healthy.values) | np.isnan(healthy.values)).all(axis=1)
        assert changed.sum() > 400
        np.testing.assert_array_equal(changed & ~touched, np.zeros(4000, dtype=bool))
    assert set(touched.nonzero()[0]) <= set(range(1500, 2600))
    assert kinds_in(int(faulty.labels.max())) == (kind,)


def test_a_stuck_sensor_holds_its_last_value():
    fault = Fault(kind=FaultKind.STUCK, channel=0, first=1000, last=2100)
    healthy = Simulated("machine").take(2100)

    faulty = Simulated("machine", faults=[fault]).take(2100)

    assert set(faulty.values[1000:2100, 0]) == {healthy.values[999, 0]}


def test_vectors_carry_the_labels_of_their_readings():
    fault = Fault(kind=FaultKind.SUDDEN_DRIFT, first=2000, last=2010)
    simulated = Simulated("vibration", faults=[fault])
    readings = simulated.take(8000)
    vectors = run_batch(simulated.pipeline, readings.at_ms, readings.values)

    labels = label_vectors(simulated.pipeline, readings, vectors)

    ends = [1024 + 256 * i for i in range(len(labels))]
    assert [bool(label) for label in labels] == [end - 1024 < 2010 and end > 2000 for end in ends]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        pytest.param(lambda: Simulated("ships"), "unknown fleet 'ships'; known: machine", id="fleet"),
        pytest.param(
            lambda: Simulated("vibration", faults=[Fault(kind=FaultKind.DEAD, channel=3)]),
            "channels 0 to 0",
            id="channel",
        ),
        pytest.param(lambda: Fault(kind=FaultKind.DEAD, first=5, last=5), "wanted: 0 <= first < last", id="span"),
        pytest.param(lambda: Fault(kind=FaultKind.SPIKE, share=0.0), "wanted: above 0, at most 1", id="share"),
    ],
)
def test_a_wrong_script_is_refused_in_words(wrong, said):
    with pytest.raises(SensingError, match=said):
        wrong()


def test_trouble_that_comes_while_a_sensor_runs_shows_from_its_next_reading():
    runs, healthy = Simulated("machine", device=1), Simulated("machine", device=1)
    before, after = runs.take(700), healthy.take(700)
    assert runs.step == 700

    runs.suffer(Fault(kind=FaultKind.SUDDEN_DRIFT, channel=0, size=4.0, first=runs.step))
    warm, usual = runs.take(600), healthy.take(600)

    assert (before.values == after.values).all()
    np.testing.assert_allclose(warm.values[:, 0] - usual.values[:, 0], 4.0 * 2.4)
    assert (warm.values[:, 1:] == usual.values[:, 1:]).all()
    assert (warm.labels == bit_of(FaultKind.SUDDEN_DRIFT)).all()
