import json
import re
from dataclasses import replace

import numpy as np
import pytest
from rollout_records import drift_alert, drift_scores

from schemas.drift_alert import AlertState
from schemas.fleet import Device, DeviceState
from schemas.model_health import ModelHealth
from streams.rollouts.plan import parse_plan
from streams.rollouts.rehearsal import decisions_per_device_hour, foresee, power_of, rehearse

BOOT = "00000000-0000-4000-8000-000000000000"


def devices(count):
    return [
        Device(
            device_id=f"d{number:02d}",
            state=DeviceState.OFFLINE if number == 0 else DeviceState.ONLINE,
            labels={},
            model_id="m/1",
            revision=0,
            registered_ms=0,
            last_seen_ms=0,
            proven_model_id="m/1",
        )
        for number in range(count)
    ]


def week(count, minutes, rate_of):
    rng = np.random.default_rng(5)
    for minute in range(minutes):
        for number in range(count):
            yield (
                minute * 60_000,
                ModelHealth(
                    device_id=f"d{number:02d}", model_id="m/1", boot_id=BOOT, seq=minute, window_start_ms=0,
                    window_end_ms=0, inferences=600, anomalies=int(rng.binomial(600, rate_of(number))), errors=0,
                    score_mean=0.1, score_m2=1.0, confidence_mean=0.9, latency_p50_ms=1.0, latency_p99_ms=2.0,
                    cpu_share=0.2, memory_bytes=1,
                ),
            )  # fmt: skip


PLAN = parse_plan(
    {
        "rollout": "r1",
        "model": "m/2",
        "strategy": {"kind": "canary", "percent": [20, 100]},
        "limits": {"bake_s": 600, "device_bake_s": 60, "concurrency": 5, "min_devices": 4},
        "gates": {"anomaly_rate": {}},
    }
)


def test_a_plan_says_whom_each_stage_takes_and_when():
    first, second = foresee(PLAN, devices(20), None, now_ms=0)

    assert len(first.devices) + len(second.devices) == 20
    assert len(first.devices) >= 4
    assert first.offline + second.offline == 1
    assert (first.begins_s, second.begins_s) == (0.0, first.ends_s)
    assert first.ends_s == 600 + 60 * -(-len(first.devices) // 5)


def test_the_calendar_is_in_what_a_plan_says():
    document = {"starts": "1970-01-01T01:00:00Z", "freeze": [{"begins": "1970-01-01", "ends": "1970-01-02"}]}
    frozen = parse_plan({**json.loads(PLAN.document), **document})
    started = parse_plan({**json.loads(PLAN.document), "starts": "1970-01-01T01:00:00Z"})

    assert foresee(started, devices(20), None, now_ms=0)[0].begins_s == 3_600
    assert foresee(frozen, devices(20), None, now_ms=0)[0].begins_s == 86_400
    assert foresee(frozen, devices(20), None, now_ms=86_400_000)[0].begins_s == 0


def test_a_quiet_week_would_have_let_the_rollout_through():
    steps = list(rehearse(PLAN, devices(20), None, week(20, 60, lambda _number: 0.02), begin_ms=0))

    assert steps[-1].phase.value == "succeeded"
    assert {step.stage for step in steps} == {0, 1}


def test_canaries_that_always_were_peculiar_would_have_been_blamed():
    canaries = {int(device[1:]) for device in foresee(PLAN, devices(20), None, now_ms=0)[0].devices}

    steps = list(
        rehearse(PLAN, devices(20), None, week(20, 60, lambda number: 0.2 if number in canaries else 0.02), begin_ms=0)
    )

    assert "rolled_back" in {step.phase.value for step in steps}


@pytest.mark.parametrize(
    ("drifting", "phase"),
    [
        pytest.param("canaries", "rolled_back", id="only the canary did: a false alarm of the gate"),
        pytest.param("everybody", "baking", id="all did: the world had changed, it holds"),
        pytest.param("nobody", "succeeded", id="nobody did"),
    ],
)
def test_alerts_of_that_week_are_heard_by_the_drift_gate(drifting, phase):
    plan = parse_plan({**json.loads(PLAN.document), "gates": {"drift": {}}})
    canaries = foresee(plan, devices(20), None, now_ms=0)[0].devices
    alerting = {"canaries": canaries, "everybody": [f"d{n:02d}" for n in range(20)], "nobody": []}[drifting]
    seen = [(60_000 * minute, drift_scores(f"d{n:02d}", "m/1")) for minute in range(60) for n in range(20)]
    opened = [(-1, drift_alert(device_id, "m/1", AlertState.FIRING)) for device_id in alerting]

    steps = list(rehearse(plan, devices(20), None, [*opened, *seen], begin_ms=0))

    assert steps[-1].phase.value == phase


def test_without_history_nothing_is_said():
    assert list(rehearse(PLAN, devices(20), None, [], begin_ms=0)) == []


def test_what_a_gate_can_see_follows_from_how_often_these_devices_decide():
    windows = [replace(window, window_end_ms=60_000) for _, window in week(3, 10, lambda _number: 0.02)]
    gate = PLAN.gates["anomaly_rate"]

    often = decisions_per_device_hour(windows)
    seldom = decisions_per_device_hour([replace(window, window_end_ms=36_000_000) for window in windows])

    assert (often, seldom) == (pytest.approx(36_000), pytest.approx(60))
    told = [power_of("anomaly_rate", gate, control_devices=400, per_device_hour=rate) for rate in (often, seldom)]
    needed = [int(re.search(r"after (\d+) devices", said).group(1)) for said in told]
    assert needed[0] < needed[1]
    assert decisions_per_device_hour([]) is None
