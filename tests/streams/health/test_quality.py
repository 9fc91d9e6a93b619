"""What a model is worth: measured by labels, or estimated from its confidence where that is true."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.sample import Sample, SampledBecause
from streams.health.labels import Outcome
from streams.health.panel import HealthPanel
from streams.health.policy import read_health_policy
from streams.health.quality import Estimate, Quality


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=60))
def test_an_estimate_is_the_expectation_over_all_that_may_be_true(decisions):
    estimate = Estimate(window=len(decisions))
    for said, sure in decisions:
        estimate.add(said, sure)

    hits = sum(sure for said, sure in decisions if said)
    misses = sum(1 - sure for said, sure in decisions if not said)
    found = estimate.values()

    assert found["estimated_accuracy"] == pytest.approx(np.mean([sure for _, sure in decisions]))
    if hits + misses > 1e-9:
        assert found["estimated_recall"] == pytest.approx(hits / (hits + misses))


@pytest.mark.parametrize("p_right", [0.95, 0.8, 0.65])
def test_an_estimate_comes_near_what_labels_say_where_confidence_is_true(p_right):
    rng = np.random.default_rng(3)
    estimate, quality = Estimate(window=5000), Quality(window=5000)
    for _ in range(5000):
        said, sure = bool(rng.random() < 0.3), float(np.clip(rng.normal(p_right, 0.03), 0, 1))
        truth = said if rng.random() < sure else not said
        estimate.add(said, sure)
        quality.add(Outcome("d", "m/1", said, truth, 0, sure))

    measured = quality.values()

    assert quality.confidence_is_true()
    for name, value in estimate.values().items():
        assert value == pytest.approx(measured[name.removeprefix("estimated_")], abs=0.03)


def test_a_boaster_is_found_out():
    rng = np.random.default_rng(3)
    quality = Quality(window=200)
    for _ in range(200):
        quality.add(Outcome("d", "m/1", False, bool(rng.random() < 0.3), 0, 0.99))

    assert not quality.confidence_is_true()


def test_without_labels_nobody_knows_whether_confidence_is_true():
    assert not Quality().confidence_is_true()


@pytest.mark.parametrize(("trust", "alerts"), [("always", True), ("measured", False), ("never", False)])
def test_a_loss_of_estimated_accuracy_is_found_where_the_policy_trusts_it(trust, alerts):
    panel = HealthPanel(read_health_policy(f'[health]\noutcomes = 50\n[health.estimated]\ntrust = "{trust}"'))

    found = [panel.sampled(sample(number, 0.95 if number < 200 else 0.7)) for number in range(400)]

    shifted = {finding.series for findings in found for finding in findings if finding.shift}
    assert ("estimated_accuracy" in shifted) is alerts


def test_samples_that_were_kept_for_being_odd_say_nothing_of_the_rest():
    panel = HealthPanel(read_health_policy('[health]\noutcomes = 50\n[health.estimated]\ntrust = "always"'))

    assert [panel.sampled(sample(n, 0.6, because=SampledBecause.ANOMALY)) for n in range(99)] == [[]] * 99


def sample(number, sure, *, because=SampledBecause.UNIFORM):
    return Sample(
        device_id="d",
        prediction_id=f"{number:08}-2222-4333-8444-555555555555",
        model_id="m/1",
        pipeline="machine/1",
        at_ms=number,
        features=b"",
        score=0.5,
        anomaly=False,
        confidence=sure,
        because=because,
    )
