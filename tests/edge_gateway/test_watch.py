"""When a model is good enough: windows judged one by one."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

from edge_gateway import WatchConfig
from edge_gateway.watch import Look, Promise, Verdict, Watched, promise_of, step, verdict

LIMITS = WatchConfig(bake_s=10, bake_windows=2, bake_decisions=40, bad_windows=2, good_windows=3)


def look(anomalies=2, confidence=0.9, **changes):
    return replace(
        Look(end_ms=0, inferences=100, errors=0, anomalies=anomalies, confidence=confidence, latency_p99_ms=1.0),
        **changes,
    )


def watched(looks, before=None, promise=None):
    state = Watched()
    for each in looks:
        state = step(state, each, LIMITS, before, promise or Promise())
    return state


def judged(state, served_s=60.0, suspended=False):
    return verdict(state, LIMITS, on_trial=not suspended, suspended=suspended, served_s=served_s)


def test_a_bake_passes_when_it_was_long_enough_and_ended_well():
    assert judged(watched([look(), look()])) is Verdict.PASSED
    assert judged(watched([look(), look()]), served_s=5) is Verdict.GO_ON
    assert judged(watched([look()])) is Verdict.GO_ON
    assert judged(watched([look(inferences=10), look(inferences=10)])) is Verdict.GO_ON


def test_windows_without_decisions_count_for_nothing():
    empty = look(inferences=0, anomalies=0, confidence=math.nan)

    assert watched([empty] * 5) == Watched()


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        pytest.param(look(errors=50), "error rate 0.333 above 0.05", id="errors"),
        pytest.param(look(latency_p99_ms=2000.0), "latency 2000 ms above 1000 ms", id="slow"),
        pytest.param(look(memory_share=0.9), "memory 0.9 of the machine above 0.8", id="memory"),
    ],
)
def test_bad_windows_in_a_row_are_the_end_of_a_model(bad, says):
    assert judged(watched([bad, look(), bad])) is Verdict.GO_ON
    state = watched([look(), bad, bad])
    assert judged(state) is Verdict.BAD
    assert state.reason == says


def test_a_model_on_the_edge_comes_back_slower_than_it_went():
    assert judged(watched([look()] * 2), suspended=True) is Verdict.GO_ON
    assert judged(watched([look()] * 3), suspended=True) is Verdict.WELL_AGAIN


OLD_IS_CALM = look(anomalies=2)
OLD_IS_ALARMED = look(anomalies=95, confidence=0.99)


@pytest.mark.parametrize(
    ("new", "old", "promise", "bad"),
    [
        pytest.param(look(40), OLD_IS_CALM, Promise(), True, id="speaks up more than the one before"),
        pytest.param(look(95), OLD_IS_ALARMED, Promise(), False, id="both are alarmed: the world"),
        pytest.param(look(40), OLD_IS_CALM, Promise(0.02, 0.9), True, id="more than promised and than before"),
        pytest.param(look(40), OLD_IS_CALM, Promise(0.4, 0.9), False, id="as promised: it was trained on this world"),
        pytest.param(look(95), OLD_IS_ALARMED, Promise(0.02, 0.9), False, id="more than promised, as the one before"),
        pytest.param(look(2, 0.6), OLD_IS_ALARMED, Promise(), True, id="less sure than the one before"),
        pytest.param(look(2, 0.6), OLD_IS_ALARMED, Promise(0.02, 0.65), False, id="as sure as promised"),
        pytest.param(look(2, 0.4), OLD_IS_ALARMED, Promise(0.02, 0.65), True, id="less sure than both"),
        pytest.param(look(2, 0.6), look(2, 0.6), Promise(0.02, 0.9), False, id="as unsure as the one before"),
    ],
)
def test_a_model_is_bad_by_comparison_only_below_both_yardsticks(new, old, promise, bad):
    state = watched([new, new], old, promise)

    assert (judged(state) is Verdict.BAD) == bad, state.reason


def test_without_a_model_before_nothing_tells_a_bad_model_from_an_odd_device():
    assert judged(watched([look(60), look(60)], None, Promise(0.02, 0.9))) is Verdict.PASSED


def test_a_reason_names_both_yardsticks():
    state = watched([look(40, 0.5)], OLD_IS_CALM, Promise(0.05, 0.8))

    assert state.reason == (
        "anomaly rate 0.4 where the model before has 0.02 and 0.05 was promised; "
        "confidence 0.5 where the model before has 0.9 and 0.8 was promised"
    )


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf])
def test_a_figure_that_is_no_share_promises_nothing(value):
    assert promise_of(SimpleNamespace(metrics={"anomaly_share": value})) == Promise()
