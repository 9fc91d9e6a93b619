"""Objectives: what a model may cost, and how much of that is used."""

import math
from dataclasses import replace

import numpy as np
import pytest
from drift_fleet import Fleet, columns_of

from schemas.drift_alert import AlertState, DriftAlert, Evidence, Severity
from schemas.model_health import ModelHealth
from streams.drift.measured import Group
from streams.drift.objectives import CONFIDENCE, FALSE_ALARMS, spendings
from streams.drift.partition import Partition, Stretch
from streams.drift.policy import PolicyError, read_policy
from streams.drift.references import lay_out

DAY_MS = 86_400_000
PROMISED = read_policy(
    "[objectives]\nfalse_alarms_per_device_day = 0.5\nconfidence = 0.8\nunsure_windows = 0.25\n"
    '[[override]]\nmodel = "other/*"\n[override.rules.objectives]\nconfidence = 0.5\n'
)


def health(*, model_id="pump/1", confidence=0.9, inferences=10, hours=24):
    return ModelHealth(
        device_id="d", model_id=model_id, boot_id="00000000-0000-4000-8000-000000000000", seq=0, window_start_ms=0,
        window_end_ms=hours * DAY_MS // 24, inferences=inferences, anomalies=0, errors=0, score_mean=0.0, score_m2=0.0,
        confidence_mean=confidence, latency_p50_ms=1.0, latency_p99_ms=1.0, cpu_share=0.1, memory_bytes=1,
    )  # fmt: skip


def alert(**more):
    usual = DriftAlert(
        alert_id="d/f0/mean_shift/1", kind="mean_shift", subject="d", subject_is_cohort=False, feature="f0",
        model_id="pump/1", state=AlertState.RESOLVED, severity=Severity.LOW, opened_ms=5, changed_ms=9, summary="",
        evidence=Evidence(scores={}, samples=1, reference="b", horizon_ms=1), policy_id="p", policy_revision=0,
    )  # fmt: skip
    return replace(usual, **more)


def found(alerts=(), windows=(), rules=PROMISED):
    told = spendings(rules, alerts, windows, from_ms=1)
    return {(one.model_id, one.objective): (one.spent, pytest.approx(one.allowed), one.used) for one in told}


def test_an_alert_that_went_by_without_anybody_caring_is_a_false_alarm():
    alerts = [
        alert(),
        alert(by="ada"),
        alert(state=AlertState.FIRING),
        alert(subject_is_cohort=True),
        # Before the time that is asked about, and of a model that nothing is seen of.
        alert(changed_ms=0),
        alert(model_id="gone/1"),
    ]

    # Four device-days, of half an alarm each.
    assert found(alerts, [health()] * 4)["pump/1", FALSE_ALARMS] == (1, 2.0, 0.5)


def test_windows_below_the_promised_confidence_spend_of_those_that_may_be():
    windows = [health(), health(confidence=0.7), health(), health(), health(confidence=math.nan, inferences=0)]

    assert found(windows=windows)["pump/1", CONFIDENCE] == (1, 1.0, 1.0)


def test_each_model_is_held_to_its_own_objectives():
    windows = [health(confidence=0.7), health(model_id="other/2", confidence=0.7)]

    told = found(windows=windows)

    assert (told["pump/1", CONFIDENCE][0], told["other/2", CONFIDENCE][0]) == (1, 0)
    assert found(windows=windows, rules=read_policy("")) == {}


def test_a_worker_counts_what_the_time_it_watched_allows():
    fleet = Fleet(features=2)
    stats = [fleet.window(device, minute) for minute in range(30) for device in ("a", "b")]
    stretch = Stretch(
        columns_of(stats, fleet.shape), [Group(lay_out(fleet.grid, fleet.baseline))], np.zeros(60, np.int64)
    )

    assert Partition(PROMISED).work([stretch]).allowed == {"pump/1": pytest.approx(0.5 * 60 / 1440)}
    assert Partition(read_policy("")).work([stretch]).allowed == {}


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ("confidence = 1.5", r"objectives.confidence: found 1.5, wanted a number above 0, at most 1"),
        ("false_alarms_per_device_day = 0", "objectives.false_alarms_per_device_day: found 0"),
        ("accuracy = 0.9", "known: confidence, false_alarms_per_device_day, unsure_windows"),
    ],
)
def test_an_objective_that_makes_no_sense_is_refused(document, complaint):
    with pytest.raises(PolicyError, match=complaint):
        read_policy(f"[objectives]\n{document}")
