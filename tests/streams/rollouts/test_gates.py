import math

import numpy as np
import pytest

from schemas.model_health import ModelHealth
from streams.rollouts.gates import GATES, Evidence, Group
from streams.rollouts.gates.evidence import Sample
from streams.rollouts.gates.sequential import compare, devices_needed, half_width

BOOT = "00000000-0000-4000-8000-000000000000"


def window(device_id="d1", **fields):
    usual = {
        "inferences": 600, "anomalies": 12, "errors": 0, "score_mean": 0.1, "score_m2": 1.0, "confidence_mean": 0.9,
        "latency_p50_ms": 1.0, "latency_p99_ms": 2.0, "cpu_share": 0.2, "memory_bytes": 100_000_000,
    }  # fmt: skip
    return ModelHealth(
        device_id=device_id, model_id="m/1", boot_id=BOOT, seq=0, window_start_ms=0, window_end_ms=60_000,
        **{**usual, **fields},
    )  # fmt: skip


def group(devices, windows=20, rng=None, **fields):
    rng = rng or np.random.default_rng(1)
    made = Group()
    for number in range(devices):
        for _ in range(windows):
            drawn = {name: value(rng) if callable(value) else value for name, value in fields.items()}
            made.add(window(f"d{number}", **drawn))
    return made


def anomalies(rate):
    return lambda rng: int(rng.binomial(600, rate))


def verdict(kind, canary, control, **options):
    evidence = Evidence(canary=canary, alike=control)
    return GATES[kind](**options).judge(kind, evidence).verdict.value


def test_a_release_like_the_old_one_passes():
    assert verdict("anomaly_rate", group(20, anomalies=anomalies(0.02)), group(40, anomalies=anomalies(0.02))) == "pass"


def test_a_doubled_anomaly_rate_fails():
    assert verdict("anomaly_rate", group(10, anomalies=anomalies(0.04)), group(40, anomalies=anomalies(0.02))) == "fail"


def test_little_data_is_inconclusive():
    canary = group(1, windows=1, anomalies=20)

    assert verdict("anomaly_rate", canary, group(40, anomalies=anomalies(0.02))) == "inconclusive"


def test_a_rise_in_both_is_no_fault_of_the_canary():
    assert verdict("anomaly_rate", group(20, anomalies=anomalies(0.2)), group(40, anomalies=anomalies(0.2))) == "pass"


@pytest.mark.parametrize("errors", [1, 3])
def test_a_zero_baseline_with_a_few_canary_errors_is_not_a_pass(errors):
    canary, control = group(2, windows=1, inferences=200, errors=errors), group(10, windows=1, inferences=200)

    assert verdict("error_rate", canary, control) == "inconclusive"


def test_no_errors_in_few_samples_are_no_proof_of_none():
    assert (
        verdict("error_rate", group(1, windows=1, inferences=150), group(1, windows=1, inferences=150))
        == "inconclusive"
    )


def test_a_limit_fails_whatever_the_control_does():
    both = {"inferences": 570, "errors": 60}

    assert verdict("error_rate", group(5, **both), group(5, **both)) == "fail"


@pytest.mark.parametrize(
    ("kind", "worse"),
    [
        ("confidence", {"confidence_mean": lambda rng: float(rng.normal(0.7, 0.01))}),
        ("latency", {"latency_p99_ms": lambda rng: float(rng.normal(9.0, 0.1))}),
        ("resources", {"cpu_share": lambda rng: float(rng.normal(0.9, 0.01))}),
        ("resources", {"memory_bytes": 900_000_000}),
    ],
)
def test_what_is_plainly_worse_fails_and_the_old_passes(kind, worse):
    usual = {
        "confidence_mean": lambda rng: float(rng.normal(0.9, 0.01)),
        "latency_p99_ms": lambda rng: float(rng.normal(2.0, 0.1)),
        "cpu_share": lambda rng: float(rng.normal(0.2, 0.01)),
        "memory_bytes": lambda rng: int(rng.normal(1e8, 1e6)),
    }
    control = group(30, **usual)

    assert verdict(kind, group(10, **{**usual, **worse}), control) == "fail"
    assert verdict(kind, group(10, rng=np.random.default_rng(2), **usual), control) == "pass"


def test_more_confidence_and_less_latency_are_no_losses():
    control = group(30, confidence_mean=lambda rng: float(rng.normal(0.7, 0.01)))

    assert verdict("confidence", group(10, confidence_mean=lambda rng: float(rng.normal(0.9, 0.01))), control) == "pass"


def test_a_misspelt_metric_is_no_data():
    gate = GATES["metric"](metric="anomaly_rates")

    result = gate.judge("mine", Evidence(canary=group(5), alike=group(5)))

    assert result.verdict.value == "no_data"
    assert "known: anomaly_rate, error_rate" in result.reason


def test_what_is_not_a_number_was_not_reported():
    canary = group(5, confidence_mean=math.nan)

    assert verdict("confidence", canary, group(5)) == "no_data"
    assert canary.sample("latency_p99_ms").devices == 5


def test_without_control_there_is_no_data():
    assert verdict("anomaly_rate", group(5), Group()) == "no_data"


def test_an_earlier_control_can_let_pass_but_not_condemn():
    earlier = group(40, anomalies=anomalies(0.02))
    gate = GATES["anomaly_rate"]()

    good = gate.judge("a", Evidence(canary=group(20, anomalies=anomalies(0.02)), earlier=earlier))
    bad = gate.judge("a", Evidence(canary=group(20, anomalies=anomalies(0.06)), earlier=earlier))

    assert (good.verdict.value, bad.verdict.value) == ("pass", "inconclusive")


def drifting(watched, alerting):
    made = Group()
    made.scored = {f"d{number}" for number in range(watched)}
    made.alerting = {f"d{number}": "temperature" for number in range(alerting)}
    return made


@pytest.mark.parametrize(
    ("canary", "control", "said"),
    [
        ((10, 0), (10, 0), "pass"),
        ((10, 1), (10, 0), "pass"),
        ((10, 5), (10, 0), "fail"),
        ((10, 5), (10, 5), "hold"),
        ((10, 5), (10, 3), "hold"),
        ((10, 5), (10, 2), "fail"),
        ((10, 0), (10, 9), "pass"),
        ((10, 5), (0, 0), "inconclusive"),
        ((0, 0), (10, 0), "no_data"),
    ],
)
def test_drift_of_the_canary_alone_is_the_model_and_of_both_the_world(canary, control, said):
    assert verdict("drift", drifting(*canary), drifting(*control)) == said


def test_looking_every_minute_does_not_inflate_false_verdicts():
    """2,000 stages without any difference, looked at 120 times each: at most alpha of them ever look worse."""
    rng = np.random.default_rng(7)
    runs, looks, devices, alpha, rate, spread = 2_000, 120, 8, 0.05, 0.02, 0.004
    wrong = 0
    for _ in range(runs):
        own = rng.normal(rate, spread, size=(2, devices)).clip(0.001)
        seen = rng.binomial(600, own[:, :, None], size=(2, devices, looks)).cumsum(axis=2)
        for look in range(0, looks, 6):
            tried = np.full(devices, 600.0 * (look + 1))
            canary, control = (Sample(seen[side, :, look].astype(float), tried) for side in (0, 1))
            if compare(canary, control, effect=0.01, alpha=alpha, is_share=True).low > 0:
                wrong += 1
                break

    assert wrong <= alpha * runs


def test_a_naive_test_would_have_been_inflated_in_the_same_runs():
    """The yardstick of the test above: 1.645 standard errors, looked at as often, are wrong far more often."""
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(500):
        seen = rng.binomial(600, 0.02, size=(2, 8, 120)).sum(axis=1).cumsum(axis=1)
        tried = 600.0 * 8 * np.arange(1, 121)
        error = np.sqrt(2 * 0.02 * 0.98 / tried)
        wrong += bool(((seen[0] - seen[1]) / tried > 1.645 * error).any())

    assert wrong > 2 * 0.05 * 500


def test_bounds_narrow_as_devices_report():
    widths = [half_width(0.02 * 0.98 / count, effect=0.02, alpha=0.01) for count in (100, 1_000, 10_000)]

    assert widths == sorted(widths, reverse=True)
    assert half_width(math.inf, effect=0.1, alpha=0.01) == math.inf


@pytest.mark.parametrize("effect", [5e-324, 1e-200, 1e308])
@pytest.mark.parametrize("variance", [5e-324, 1e-12, 1e308])
def test_effects_and_variances_of_any_size_have_bounds_or_none(effect, variance):
    assert not half_width(variance, effect=effect, alpha=0.01) < 0


def test_the_sample_size_that_is_shown_is_the_one_that_is_enough():
    """With so many devices a doubled rate is seen in about four of five cases."""
    rate, samples = 0.02, 300.0
    devices = devices_needed(rate, rate, samples_per_device=samples, control_devices=200, alpha=0.01)
    rng = np.random.default_rng(3)

    found = 0
    for _ in range(400):
        canary = Sample(rng.binomial(300, 2 * rate, size=devices).astype(float), np.full(devices, samples))
        control = Sample(rng.binomial(300, rate, size=200).astype(float), np.full(200, samples))
        found += compare(canary, control, effect=rate, alpha=0.01, is_share=True).low > 0

    assert 0.6 <= found / 400 <= 0.99
    assert devices_needed(rate, rate, samples_per_device=samples, control_devices=0, alpha=0.01) is None
