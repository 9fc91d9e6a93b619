import math

import pytest

from schemas.errors import DriftlineError
from schemas.model_health import ModelHealth
from schemas.sample import Label, Sample, SampledBecause
from streams.health.labels import LabelJoin, Outcome
from streams.health.panel import HealthPanel
from streams.health.policy import read_health_policy

BOOT = "7b7a2c4e-5d0f-4b52-9d1c-0c8a7a9d1e11"
PREDICTION = "11111111-2222-4333-8444-555555555555"
HOUR_MS = 3_600_000


def test_a_rise_of_the_anomaly_rate_is_found_and_named():
    panel = HealthPanel(read_health_policy(""))
    for minute in range(100):
        panel.judge(health(minute, anomalies=10 + minute % 3))

    shifted = [shifted_series(panel.judge(health(minute, anomalies=60))) for minute in range(100, 200)]

    assert shifted[-1] == {("anomaly_rate", "adwin")}


def test_latency_a_fifth_above_the_usual_breaks_its_limit():
    panel = HealthPanel(read_health_policy('[health.latency_ms]\ndetector = "off"'))
    for minute in range(40):
        panel.judge(health(minute, latency=1.0))

    just_within = [shifted_series(panel.judge(health(minute, latency=1.19))) for minute in range(40, 60)]
    above = [shifted_series(panel.judge(health(minute, latency=1.25))) for minute in range(60, 80)]

    assert just_within == [set()] * 20
    assert above[-1] == {("latency_ms", "limit")}


def test_a_new_model_begins_anew():
    panel = HealthPanel(read_health_policy(""))
    for minute in range(200):
        panel.judge(health(minute, anomalies=10 if minute < 100 else 60))

    after = [shifted_series(panel.judge(health(minute, anomalies=60, model="m/2"))) for minute in range(200, 300)]

    assert after == [set()] * 100


def test_repeats_and_late_windows_are_counted_and_change_nothing():
    panel = HealthPanel(read_health_policy(""))
    panel.judge(health(5))

    repeated = panel.judge(health(5))
    late = panel.judge(health(3, boot_id="8b7a2c4e-5d0f-4b52-9d1c-0c8a7a9d1e11"))

    assert (repeated, late) == ([], [])
    assert (panel.counts.repeated, panel.counts.late) == (1, 1)


def test_a_loss_of_accuracy_is_found_from_late_labels():
    panel = HealthPanel(read_health_policy("[health]\noutcomes = 50"))
    for at in range(200):
        panel.outcome(Outcome("press-7", "m/1", predicted=False, truth=False, at_ms=at))

    findings = []
    for at in range(200, 320):
        findings = panel.outcome(Outcome("press-7", "m/1", predicted=False, truth=at % 4 == 0, at_ms=at))

    assert ("accuracy", "limit") in shifted_series(findings)


@pytest.mark.parametrize("label_first", [True, False], ids=["label first", "prediction first"])
def test_a_label_and_its_prediction_meet_in_either_order(label_first):
    join = LabelJoin(wait_ms=HOUR_MS, most=10)
    steps = [lambda: join.predicted(sample(at_ms=1_000)), lambda: join.labelled(label(at_ms=2_000))]

    met = [step() for step in (reversed(steps) if label_first else steps)]

    assert met == [None, Outcome("press-7", "m/1", predicted=True, truth=False, at_ms=2_000, confidence=0.9)]


def test_who_waits_too_long_is_let_go_and_counted():
    join = LabelJoin(wait_ms=HOUR_MS, most=10)
    join.predicted(sample(at_ms=0))
    join.labelled(label(at_ms=2 * HOUR_MS, prediction_id="22222222-2222-4333-8444-555555555555"))

    met = join.labelled(label(at_ms=2 * HOUR_MS))

    assert met is None
    assert join.expired == 1


def test_what_waits_is_bounded():
    join = LabelJoin(wait_ms=HOUR_MS, most=10)

    for number in range(25):
        join.predicted(sample(at_ms=0, prediction_id=f"{number:08}-2222-4333-8444-555555555555"))

    assert join.expired == 15


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ('[health.latency_ms]\ndetector = "adwim"', "health.latency_ms.detector: found 'adwim', wanted one of adwin"),
        ("[health.latency]\nmin_shift = 1", "health.latency: found .* wanted a known key; known: anomaly_rate"),
        ("[health]\nwarm_up_windows = 1", "health.warm_up_windows: found 1, wanted a whole number, 2 to 10000000"),
        (
            "[health]\nmemory_windows = 1_000_000_000_000",
            "health.memory_windows: found 1000000000000, wanted .* 50 to 10",
        ),
        (f"[health]\nlabel_wait_ms = {10**20}", "health.label_wait_ms: found 10+, wanted a whole number, 1 to"),
        ("[health.cpu_share]\nmin_shift = inf", "health.cpu_share.min_shift: found inf, wanted .* not without end"),
        ("[health.limits]\naccuracy = -inf", "health.limits.accuracy: found -inf, wanted a number, not without end"),
        ("health" + ".a" * 3000 + " = 1", "health.a: found .* wanted a known key"),
        ("[health.limits]\naccuracy = -0.1", "health.limits.accuracy: found -0.1, wanted a number"),
        ("[health.cpu_share.parameters]\ndelt = 0.1", "detector 'adwin' does not take {'delt': 0.1}"),
    ],
)
def test_a_policy_that_cannot_be_used_names_its_key(document, message):
    with pytest.raises(DriftlineError, match=message):
        read_health_policy(document)


def shifted_series(findings) -> set[tuple[str, str]]:
    return {(finding.series, finding.by) for finding in findings if finding.shift is not None}


def health(minute: int, *, anomalies: int = 10, latency: float = 1.0, model: str = "m/1", boot_id: str = BOOT):
    return ModelHealth(
        device_id="press-7",
        model_id=model,
        boot_id=boot_id,
        seq=minute,
        window_start_ms=minute * 60_000,
        window_end_ms=(minute + 1) * 60_000,
        inferences=600,
        anomalies=anomalies,
        errors=0,
        score_mean=0.1,
        score_m2=0.0,
        confidence_mean=0.9,
        latency_p50_ms=latency / 2,
        latency_p99_ms=latency,
        cpu_share=math.nan,
        memory_bytes=100_000_000,
    )


def sample(*, at_ms: int, prediction_id: str = PREDICTION) -> Sample:
    return Sample(
        device_id="press-7",
        prediction_id=prediction_id,
        model_id="m/1",
        pipeline="machine/1",
        at_ms=at_ms,
        features=b"",
        score=0.9,
        anomaly=True,
        confidence=0.9,
        because=SampledBecause.UNIFORM,
    )


def label(*, at_ms: int, prediction_id: str = PREDICTION) -> Label:
    return Label(device_id="press-7", prediction_id=prediction_id, value=0.0, at_ms=at_ms, by="inspector")
