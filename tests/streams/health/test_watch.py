import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DriftlineError
from streams.health.detectors import DETECTORS, DetectorSpec, UnknownDetectorError
from streams.health.series import Series, Worse
from streams.health.watch import Watch, WatchPolicy

UP = Series(of=lambda health: 0.0, worse=Worse.UP, noise=0.001)
DOWN = Series(of=lambda health: 0.0, worse=Worse.DOWN, noise=0.001)
ADWIN = WatchPolicy(detector=DetectorSpec("adwin", {}))


def two_regimes() -> list[float]:
    """The series of River's own documentation: coin flips, then an eight-sided die."""
    legacy = np.random.RandomState(12345)
    return [float(v) for v in np.concatenate((legacy.randint(2, size=1000), legacy.randint(8, size=1000)))]


@pytest.mark.parametrize(
    ("spec", "positions"),
    [
        (DetectorSpec("adwin", {}), [1023]),
        (DetectorSpec("page_hinkley", {}), [1020, 1397, 1548, 1988]),
        (DetectorSpec("kswin", {"alpha": 0.0001, "window_size": 200, "stat_size": 100, "seed": 42}), [1042]),
    ],
    ids=lambda value: value.name if isinstance(value, DetectorSpec) else "",
)
def test_detectors_signal_where_they_are_known_to(spec, positions):
    watch = Watch(UP, WatchPolicy(detector=spec, standardise=False, memory=2000))

    signalled = []
    for position, value in enumerate(two_regimes()):
        before = watch.signals
        watch.step(value)
        if watch.signals > before:
            signalled.append(position)

    assert signalled == positions


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_sees_a_lasting_rise_and_its_end(name):
    noise = np.random.default_rng(7).normal(0, 0.01, 900)
    watch = Watch(UP, WatchPolicy(detector=DetectorSpec(name, {})))

    before = [watch.step(0.1 + n) for n in noise[:300]]
    during = [watch.step(0.2 + n) for n in noise[300:600]]
    after = [watch.step(0.1 + n) for n in noise[600:]]

    assert before == [None] * 300
    assert during[-1] is not None
    assert during[-1].now == pytest.approx(0.2, abs=0.02)
    assert after[-1] is None


def test_a_change_for_the_better_is_no_shift():
    watch = Watch(DOWN, ADWIN)

    shifts = [watch.step(value) for value in [0.5] * 100 + [0.9] * 300]

    assert watch.signals > 0
    assert shifts == [None] * 400


def test_the_first_windows_alert_nobody():
    watch = Watch(UP, WatchPolicy(detector=DetectorSpec("adwin", {}), warm_up=50))

    shifts = [watch.step(value) for value in [0.0] * 10 + [9.0] * 40]

    assert shifts == [None] * 50


@given(
    name=st.sampled_from(sorted(DETECTORS)),
    seed=st.integers(0, 2**16),
    crash_at=st.integers(0, 160),
)
def test_what_is_restored_equals_what_was_lost(name, seed, crash_at):
    values = np.random.default_rng(seed).normal(np.repeat([0.0, 3.0], 80), 1.0)
    policy = WatchPolicy(detector=DetectorSpec(name, {}), memory=40, warm_up=20)
    undisturbed, crashing = Watch(UP, policy), Watch(UP, policy)

    expected = [undisturbed.step(value) for value in values]
    found = [crashing.step(value) for value in values[:crash_at]]
    crashing = Watch.restored(UP, policy, crashing.state())
    found += [crashing.step(value) for value in values[crash_at:]]

    assert found == expected
    assert crashing.state() == undisturbed.state()


def test_missing_values_change_nothing():
    watch = Watch(UP, ADWIN)
    for value in [0.1] * 100 + [0.9] * 100:
        watch.step(value)
    before = watch.state()

    shift = watch.step(float("nan"))

    assert shift is not None
    assert watch.state() == before


def test_an_unknown_detector_is_answered_with_the_known_ones():
    with pytest.raises(UnknownDetectorError, match=r"unknown detector 'adwim'; known: adwin, ddm"):
        DetectorSpec("adwim", {})


def test_a_parameter_that_a_detector_lacks_is_refused():
    with pytest.raises(DriftlineError, match=r"detector 'adwin' does not take \{'delt': 0.1\}"):
        DetectorSpec("adwin", {"delt": 0.1})
