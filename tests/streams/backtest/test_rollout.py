"""Past rollouts under other gates."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from driftline.command import main
from schemas.catalogue import topic_named
from schemas.fleet import Device, DeviceState
from schemas.model_health import ModelHealth
from schemas.record import as_plain
from schemas.rollouts import (
    Ack,
    AckPhase,
    DeviceInRollout,
    GateVerdict,
    RolloutDevice,
    RolloutPhase,
    RolloutPlan,
    RolloutStatus,
)
from streams.backtest.errors import BacktestError
from streams.backtest.history import Entry, FileHistory
from streams.backtest.history.parquet_file import ParquetWriter
from streams.backtest.rollout import Answer, PastRollout, retell
from streams.backtest.rollout_past import find_rollout, moments_then, plan_then
from streams.rollouts.plan import parse_plan
from streams.rollouts.rehearsal import foresee

BOOT = "00000000-0000-4000-8000-000000000000"
MINUTE_MS = 60_000
BEGIN_MS = 1_767_225_600_000
COUNT, MINUTES = 20, 90


def document(**gates):
    return {
        "rollout": "r1",
        "model": "m/2",
        "strategy": {"kind": "canary", "percent": [20, 100]},
        "limits": {"bake_s": 600, "device_bake_s": 60, "concurrency": 20, "min_devices": 4},
        "gates": gates or {"anomaly_rate": {}},
    }


PLAN = parse_plan(document())
STRICT = document(anomaly_rate={"max_rise": 0.0, "min_rise": 0.001})
LENIENT = document(anomaly_rate={"max_rise": 9.0, "min_rise": 0.5})
FLEET = [
    Device(
        device_id=f"d{number:02d}", state=DeviceState.ONLINE, labels={}, model_id="m/1", revision=0, registered_ms=0,
        last_seen_ms=0, proven_model_id="m/1",
    )
    for number in range(COUNT)
]  # fmt: skip
STAGES = [set(stage.devices) for stage in foresee(PLAN, FLEET, None, now_ms=0)]
# Minute at which each device really had the new model, and what it answered.
GOT_IT = {device: 2 if device in STAGES[0] else 20 for device in map("d{:02d}".format, range(COUNT))}
DONE = (Answer(0, AckPhase.RECEIVED), Answer(30_000, AckPhase.SUCCEEDED))
ANSWERS = {device: [list(DONE)] for device in GOT_IT}


def health(device, minute, *, worse=0.06):
    """The new model finds more anomalies than the old one."""
    has_it = minute >= GOT_IT[device]
    rng = np.random.default_rng([minute, int(device[1:])])
    return ModelHealth(
        device_id=device, model_id="m/2" if has_it else "m/1", boot_id=BOOT, seq=minute, window_start_ms=0,
        window_end_ms=0, inferences=600, anomalies=int(rng.binomial(600, worse if has_it else 0.02)), errors=0,
        score_mean=0.1, score_m2=1.0, confidence_mean=0.9, latency_p50_ms=1.0, latency_p99_ms=2.0, cpu_share=0.2,
        memory_bytes=1,
    )  # fmt: skip


def telemetry(minutes=MINUTES, **how):
    return [(BEGIN_MS + m * MINUTE_MS + n, health(d, m, **how)) for m in range(minutes) for n, d in enumerate(GOT_IT)]


def past(**changes):
    usual = PastRollout(rollout_id="r1", begin_ms=BEGIN_MS, devices=FLEET, answers=ANSWERS, telemetry=telemetry())
    return replace(usual, **changes)


def phases(retold):
    return [one.phase for one in retold.moments]


def test_lenient_gates_would_have_let_it_through():
    retold = retell(parse_plan(LENIENT), past())

    assert retold.settled
    assert phases(retold)[-1] is RolloutPhase.SUCCEEDED
    assert retold.moments[-1].devices == {"succeeded": COUNT}
    assert retold.assumed == set()


def test_strict_gates_would_have_stopped_it_at_the_canary():
    retold = retell(parse_plan(STRICT), past())

    assert RolloutPhase.ROLLED_BACK in phases(retold)
    assert {one.stage for one in retold.moments} == {0}
    failed = next(one for one in retold.moments if one.phase is RolloutPhase.ROLLING_BACK)
    assert [gate.verdict.value for gate in failed.gates] == ["fail"]


def test_gates_do_not_pass_before_there_was_evidence():
    """The canary had the model from the second minute on, so a plan that would not wait finds no data till then."""
    as_good = past(telemetry=telemetry(worse=0.02))
    hasty = document() | {"limits": {**document()["limits"], "bake_s": 0}}

    too_soon, in_time = retell(parse_plan(hasty), as_good), retell(PLAN, as_good)

    assert {one.stage for one in too_soon.moments} == {0}
    assert too_soon.moments[1].gates[0].verdict is GateVerdict.NO_DATA
    assert phases(too_soon)[-1] is RolloutPhase.PAUSED
    assert phases(in_time)[-1] is RolloutPhase.SUCCEEDED


def test_a_device_that_never_answered_never_succeeds():
    mute = sorted(STAGES[0])[0]

    retold = retell(parse_plan(LENIENT), past(answers={**ANSWERS, mute: []}))

    assert all(one.devices.get("succeeded", 0) < COUNT for one in retold.moments)


def test_a_device_that_failed_then_fails_now():
    failing = sorted(STAGES[0])[0]
    answer = (Answer(0, AckPhase.RECEIVED), Answer(5_000, AckPhase.FAILED, "disk full"))

    retold = retell(parse_plan(LENIENT), past(answers={**ANSWERS, failing: [answer]}))

    assert any("failed" in one.devices or "backing_off" in one.devices or one.devices.get("succeeded", 0) < COUNT
               for one in retold.moments)  # fmt: skip
    assert retold.moments[-1].devices != {"succeeded": COUNT}


def test_devices_that_were_not_commanded_then_are_taken_to_succeed_and_told():
    reached = {device: [DONE] for device in STAGES[0]}

    retold = retell(parse_plan(LENIENT), past(answers=reached))

    assert retold.assumed == STAGES[1]


def test_history_that_ends_too_soon_is_said_to():
    retold = retell(parse_plan(LENIENT), past(telemetry=telemetry(minutes=8)))

    assert not retold.settled


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The same past, as an archive folder has it."""
    folder = tmp_path_factory.mktemp("archive")

    def write(topic, timed):
        named = topic_named(topic)
        told = [Entry(0, i, at_ms, named.key_of(one).encode(), as_plain(one)) for i, (at_ms, one) in enumerate(timed)]
        with ParquetWriter(folder / f"{topic}.parquet", named) as writer:
            writer.write(told)

    plan = RolloutPlan(
        rollout_id="r1", model_id="m/2", document=json.dumps(document()), created_ms=BEGIN_MS, created_by="ada"
    )
    write("rollouts.plans", [(BEGIN_MS, plan)])
    write("fleet.devices", [(0, device) for device in FLEET])
    write("rollouts.devices", [(BEGIN_MS, in_rollout(device)) for device in GOT_IT])
    acks = [(BEGIN_MS + minute * MINUTE_MS + one.after_ms, ack(device, i, one.phase))
            for device, minute in GOT_IT.items() for i, one in enumerate(DONE)]  # fmt: skip
    # A gateway that was not sure sends its report again.
    write("rollouts.acks", sorted([*acks, acks[0]], key=lambda pair: pair[0]))
    write("rollouts.status", [(BEGIN_MS + 40 * MINUTE_MS, status())])
    write("telemetry.model-health", telemetry())
    return folder


def in_rollout(device):
    return RolloutDevice(
        rollout_id="r1", device_id=device, state=DeviceInRollout.SUCCEEDED, stage=0, revision=1, attempts=1,
        previous_model_id="m/1", reason="", changed_ms=0,
    )  # fmt: skip


def ack(device, seq, phase):
    return Ack(
        device_id=device, revision=1, rollout_id="r1", phase=phase, model_id="m/2", reason="", at_ms=0, boot_id=BOOT,
        seq=seq,
    )  # fmt: skip


def status():
    return RolloutStatus(
        rollout_id="r1", model_id="m/2", phase=RolloutPhase.SUCCEEDED, stage=1, stages=2, reason="all is done",
        changed_ms=0, devices={"succeeded": COUNT}, gates=(), digested={},
    )  # fmt: skip


def test_a_past_rollout_is_found_in_history(archive):
    history = FileHistory(archive)

    found = find_rollout(history, "r1")

    assert found.answers == ANSWERS
    assert set(found.previous.values()) == {"m/1"}
    # Shares and scores are single-precision numbers on the wire.
    assert [(at_ms, one.device_id, one.anomalies) for at_ms, one in found.telemetry] == [
        (at_ms, one.device_id, one.anomalies) for at_ms, one in telemetry()
    ]
    assert plan_then(history, "r1") == PLAN
    assert [one.phase for one in moments_then(history, "r1")] == [RolloutPhase.SUCCEEDED]


def test_an_unknown_rollout_is_named_with_those_that_are_there(archive):
    with pytest.raises(BacktestError, match=r"rollout 'r9': found no such rollout on .*; it has r1"):
        find_rollout(FileHistory(archive), "r9")


def test_the_command_tells_stage_by_stage(archive, tmp_path):
    (tmp_path / "strict.json").write_text(json.dumps(STRICT))
    arguments = ["backtest", "rollout", "--source", str(archive), "--rollout", "r1"]

    shown = CliRunner().invoke(main, [*arguments, "--plan", str(tmp_path / "strict.json")], standalone_mode=False)
    plain = CliRunner().invoke(
        main, [*arguments, "--plan", str(tmp_path / "strict.json"), "--json"], standalone_mode=False
    )

    assert "rolled_back" in shown.output
    assert "THEN, AS FAR AS IT IS KEPT" in shown.output
    assert json.loads(plain.output)["now"][-1]["phase"] == "rolled_back"
