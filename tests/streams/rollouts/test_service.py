"""The controller over real Kafka, with simulated gateways."""

import os
import signal
import time

import pytest
from patience import PATIENCE_S
from rollout_field import NEW, OLD, Field
from rollout_records import drift_alert, drift_scores

from schemas import feeds
from schemas.drift_alert import AlertState
from schemas.model_health import ModelHealth
from schemas.release import ReleaseStage

BOOT = "00000000-0000-4000-8000-000000000000"


def health(gateway, *, rates):
    """Report 600 decisions, as many of them anomalies as the model's rate says."""
    return ModelHealth(
        device_id=gateway.device_id,
        model_id=gateway.model_id,
        boot_id=BOOT,
        seq=0,
        window_start_ms=0,
        window_end_ms=60_000,
        inferences=600,
        anomalies=int(600 * rates[gateway.model_id]),
        errors=0,
        score_mean=0.1,
        score_m2=1.0,
        confidence_mean=0.9,
        latency_p50_ms=1.0,
        latency_p99_ms=2.0,
        cpu_share=0.2,
        memory_bytes=50_000_000,
    )


@pytest.fixture
def field(cluster, tmp_path):
    return Field(cluster, tmp_path)


AT_ONCE = {"strategy": "all-at-once", "limits": {"bake_s": 0, "concurrency": 1000}}


def test_a_release_in_production_reaches_the_fleet(field):
    field.release("1", created_ms=1)
    field.ask(
        "rollout/standing",
        "start",
        document={**AT_ONCE, "rollout": "standing", "model": "bearings", "standing": True},
    )

    with field.fleet(20) as fleet, field.controller():
        field.wait_for(lambda: len(feeds.snapshot(field.cluster, "fleet.devices")) == 20)
        field.release("2", created_ms=2)
        status = field.wait_for_phase("standing-2", "succeeded")

    assert fleet.models() == {NEW: 20}
    assert fleet.refused == []
    assert status.devices == {"succeeded": 20}
    assert status.digested
    commands = feeds.snapshot(field.cluster, "rollouts.commands")
    assert {command.model_id for command in commands.values()} == {NEW}


CANARY = {
    "rollout": "r1",
    "model": NEW,
    "strategy": {"kind": "canary", "percent": [20, 100]},
    "limits": {"bake_s": 2, "min_devices": 3, "concurrency": 100, "timeout_s": 60},
}


def test_a_model_with_a_raised_anomaly_rate_is_stopped_at_the_first_stage(field):
    field.release("2", ReleaseStage.STAGING)
    rates = {OLD: 0.02, NEW: 0.2}

    with field.fleet(15, health=lambda gateway: health(gateway, rates=rates), health_every_s=0.3) as fleet:
        with field.controller():
            field.wait_for(lambda: len(feeds.snapshot(field.cluster, "fleet.devices")) == 15)
            field.start({**CANARY, "gates": {"anomaly_rate": {}}})
            status = field.wait_for_phase("r1", "rolled_back")
        told = [device_id for device_id, gateway in fleet.gateways.items() if NEW in gateway.obeyed]
        models = fleet.models()

    assert models == {OLD: 15}
    assert 3 <= len(told) < 15
    assert status.stage == 0
    assert "anomaly_rate 0.2 against 0.02" in status.reason
    alerts = feeds.snapshot(field.cluster, "drift.alerts")
    assert alerts["rollout/r1/rollout_failed"].state is AlertState.FIRING


def test_a_drifting_environment_holds_and_rolls_nothing_back(field):
    field.release("2", ReleaseStage.STAGING)

    with field.fleet(10) as fleet, field.controller():
        field.wait_for(lambda: len(feeds.snapshot(field.cluster, "fleet.devices")) == 10)
        field.start({**CANARY, "gates": {"drift": {}}})
        field.wait_for(lambda: fleet.models().get(NEW, 0) >= 3)

        def world(state):
            for device_id, gateway in fleet.gateways.items():
                field.send("drift.scores", drift_scores(device_id, gateway.model_id))
                field.send("drift.alerts", drift_alert(device_id, gateway.model_id, state))

        world(AlertState.FIRING)
        held = field.wait_for(lambda: (now := field.status("r1")) and "held by drift" in now.reason and now)
        time.sleep(4)
        still = field.status("r1")
        told = sum(NEW in gateway.obeyed for gateway in fleet.gateways.values())

        def calm():
            world(AlertState.RESOLVED)
            return field.status("r1").phase.value == "succeeded"

        field.wait_for(calm)

    assert (held.phase.value, still.phase.value, still.stage) == ("baking", "baking", 0)
    assert told < 10
    assert fleet.models() == {NEW: 10}
    assert all(gateway.obeyed == [NEW] for gateway in fleet.gateways.values())


def wait_for_leader(field, before=""):
    return field.wait_for(lambda: (who := field.leader()) != before and who)


SLOW = {
    "rollout": "r1",
    "model": NEW,
    "strategy": "all-at-once",
    "limits": {"bake_s": 1, "concurrency": 100, "rate": {"base_per_minute": 60}},
}


def test_a_killed_leader_is_followed_in_seconds_and_the_rollout_goes_on(field):
    field.release("2", ReleaseStage.STAGING)

    with field.fleet(20) as fleet, field.process() as first:
        first_name = wait_for_leader(field)
        field.wait_for(lambda: len(feeds.snapshot(field.cluster, "fleet.devices")) == 20)
        with field.controller() as second:
            assert second.stands_by.wait(PATIENCE_S)
            field.start(SLOW)
            field.wait_for(lambda: fleet.models().get(NEW, 0) >= 3)
            first.kill()
            killed_at = time.monotonic()
            wait_for_leader(field, first_name)
            took_s = time.monotonic() - killed_at
            status = field.wait_for_phase("r1", "succeeded")

    # Its session lasts 6 s; with Kafka's own it would be 45 s.
    assert took_s < 30
    assert status.devices == {"succeeded": 20}
    # Nobody was told twice: the successor went on, it did not begin anew.
    assert all(gateway.obeyed == [NEW] for gateway in fleet.gateways.values())


def test_a_frozen_leader_that_wakes_up_changes_nothing(field):
    field.release("2", ReleaseStage.STAGING)

    with field.fleet(20) as fleet, field.process() as first:
        first_name = wait_for_leader(field)
        field.wait_for(lambda: len(feeds.snapshot(field.cluster, "fleet.devices")) == 20)
        with field.controller() as second:
            assert second.stands_by.wait(PATIENCE_S)
            field.start(SLOW)
            field.wait_for(lambda: fleet.models().get(NEW, 0) >= 3)
            os.kill(first.pid, signal.SIGSTOP)
            second_name = wait_for_leader(field, first_name)
            os.kill(first.pid, signal.SIGCONT)
            field.wait_for_phase("r1", "succeeded")
            leader = field.leader()

    assert leader == second_name
    assert all(gateway.obeyed == [NEW] for gateway in fleet.gateways.values())
    assert {gateway.revision for gateway in fleet.gateways.values()} == {1}


def test_a_record_that_cannot_be_read_becomes_a_dead_letter_and_the_rest_goes_on(field):
    field.release("2", ReleaseStage.STAGING)

    with field.fleet(3) as fleet, field.controller():
        field.wait_for(lambda: len(feeds.snapshot(field.cluster, "fleet.devices")) == 3)
        field.producer.produce(field.cluster.named("rollouts.acks"), key=b"gw-000", value=b"nonsense")
        field.start({**AT_ONCE, "rollout": "r1", "model": NEW})
        field.wait_for_phase("r1", "succeeded")
        letters = [
            event.value
            for event in feeds.follow(field.cluster, "dead-letters", from_ms=0, until_current=True)
            if isinstance(event, feeds.Changed)
        ]

    assert fleet.models() == {NEW: 3}
    assert [(letter.found_by, letter.record_value) for letter in letters] == [("rollouts", b"nonsense")]


def test_what_cannot_be_done_is_refused_in_the_audit_log(field):
    with field.controller():
        field.ask("rollout/nobody", "pause")
        field.start({"rollout": "r9", "model": "m/1", "strategy": "cannary"})

        def refusals():
            log = feeds.follow(field.cluster, "audit.log", from_ms=0, until_current=True)
            found = [event.value for event in log if isinstance(event, feeds.Changed)]
            return found if len(found) == 2 else None

        entries = {entry.subject: entry for entry in field.wait_for(refusals)}

    assert entries["rollout/nobody"].why == "no rollout 'nobody' is known"
    assert "strategy: found 'cannary', wanted one of canary" in entries["rollout/r9"].why
    assert entries["rollout/r9"].evidence == {"asked_by": "eve"}
