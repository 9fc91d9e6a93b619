"""How far off a forecaster was."""

from types import SimpleNamespace

import numpy as np
import pytest

from edge_gateway.forecasts import Forecasts
from edge_gateway.inference import Decisions
from schemas.manifest import ModelKind

SECOND_MS = 1000
FORECASTER = SimpleNamespace(
    kind=ModelKind.FORECAST, target="temperature", features=("wind", "temperature"), horizon_ms=2 * SECOND_MS
)


def vectors(values):
    return np.array([[0.0, value] for value in values], dtype=np.float32)


def foretold(scores):
    return Decisions(np.array(scores, dtype=np.float32), np.zeros(len(scores), bool), np.ones(len(scores), np.float32))


def take(forecasts, seconds, values, scores, stream="s"):
    return forecasts.take(stream, np.array(seconds) * SECOND_MS, vectors(values), foretold(scores))


def test_a_forecast_is_judged_when_its_time_has_come():
    forecasts = Forecasts(FORECASTER, SECOND_MS)

    early = take(forecasts, [0, 1], [20, 21], [22.5, 23.0])
    met = take(forecasts, [2, 3], [22, 24], [0, 0])

    assert early is None
    assert met.at_ms.tolist() == [2000, 3000]
    assert met.error.tolist() == [0.5, -1.0]


def test_it_makes_no_difference_how_the_vectors_come():
    whole, single = Forecasts(FORECASTER, SECOND_MS), Forecasts(FORECASTER, SECOND_MS)
    seconds, values = list(range(50)), list(np.sin(np.arange(50)))

    at_once = take(whole, seconds, values, values).error.tolist()
    one_by_one = []
    for second, value in zip(seconds, values, strict=True):
        met = take(single, [second], [value], [value])
        one_by_one += [] if met is None else met.error.tolist()

    assert one_by_one == at_once
    assert len(at_once) == 48


def test_a_forecast_whose_reading_never_came_is_forgotten():
    forecasts = Forecasts(FORECASTER, SECOND_MS)

    take(forecasts, [0, 1], [20, 21], [1.0, 2.0])
    after_a_gap = take(forecasts, [60], [20], [0])

    assert after_a_gap is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_reading_that_is_missing_judges_nothing(value):
    forecasts = Forecasts(FORECASTER, SECOND_MS)

    take(forecasts, [0], [20], [1.0])

    assert take(forecasts, [2], [value], [0]) is None


def test_streams_are_kept_apart_and_outlive_a_restart():
    forecasts, again = Forecasts(FORECASTER, SECOND_MS), Forecasts(FORECASTER, SECOND_MS)
    take(forecasts, [0], [20], [1.0], stream="a")
    take(forecasts, [0], [20], [5.0], stream="b")

    again.thaw(forecasts.freeze())

    assert take(again, [2], [2.0], [0], stream="a").error.tolist() == [-1.0]
    assert take(again, [2], [2.0], [0], stream="b").error.tolist() == [3.0]


def test_other_models_foretell_nothing():
    detector = Forecasts(SimpleNamespace(**{**vars(FORECASTER), "kind": ModelKind.ANOMALY}), SECOND_MS)

    take(detector, [0], [20], [1.0])

    assert take(detector, [2], [20], [1.0]) is None


def test_a_gateways_health_says_how_far_off_its_forecaster_was(played, foundry):
    """The score is a mean square, so as a forecast of a temperature it is far off, and by a known amount."""
    gateway = played()
    target = foundry.pipeline.feature_names[0]
    forecaster = {"kind": ModelKind.FORECAST, "target": target, "horizon_ms": 3000}
    gateway.tell(foundry.command(foundry.bundle("1", threshold=1e6, manifest=forecaster), 1))
    gateway.tick(5)

    decided = gateway.run(30)
    gateway.restart()
    decided += gateway.run(30)

    health = gateway.sent("telemetry.model-health")
    values = np.array([each.matrix[0, 0] for each in decided])
    scores = np.array([each.decisions.score[0] for each in decided])
    errors = scores[:-3] - values[3:]
    begin_ms = decided[0].at_ms[0]
    closed = [error for place, error in enumerate(errors) if begin_ms + (place + 3) * 1000 < health[-1].window_end_ms]
    assert sum(each.forecasts for each in health) == len(closed)
    assert sum(each.forecast_abs_error for each in health) == pytest.approx(np.abs(closed).sum(), rel=1e-4)
    assert sum(each.forecast_sq_error for each in health) == pytest.approx((np.array(closed) ** 2).sum(), rel=1e-4)
