"""What a gateway does not do, and what it does when things go wrong after it did."""

import time
from dataclasses import replace

import pytest

from edge_gateway.config import UpdateConfig
from edge_gateway.events import RolledBackByHand, SafeModeOff, SafeModeOn
from schemas.fleet import SlotState
from schemas.manifest import Limits
from sensing.pipelines import WEATHER

SLOW = Limits(latency_ms=1e-6, memory_bytes=10**9)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"bundle_sha256": "00" * 32}, "Command.bundle_sha256 is", id="altered"),
        pytest.param({"device_id": "press-8"}, "Command.device_id is 'press-8'", id="of another device"),
        pytest.param({"envelope": "{}"}, "not a DSSE envelope", id="unsigned"),
    ],
)
def test_a_command_that_is_not_as_it_was_signed_is_refused(serving, foundry, change, reason):
    gateway = serving()

    gateway.tell(replace(foundry.command(foundry.bundle("2", threshold=6.5), 2), **change))
    gateway.tick(3)

    ack = gateway.sent("rollouts.acks")[-1]
    assert (ack.revision, ack.phase) == (2, "refused")
    assert reason in ack.reason
    assert gateway.sent("audit.log")[-1].why == ack.reason
    assert gateway.gateway.slots.installation.model_id == "demo/1"


@pytest.mark.parametrize(
    ("bundle", "reason"),
    [
        pytest.param({"signer": "stranger"}, "the manifest lacks 1 valid signature(s)", id="signed by a stranger"),
        pytest.param(
            {"manifest": {"limits": Limits(latency_ms=1e-6, memory_bytes=10**9)}}, "ms an inference", id="slow"
        ),
    ],
)
def test_a_bundle_that_must_not_serve_is_refused_before_it_does(serving, foundry, bundle, reason):
    gateway = serving()
    if "signer" in bundle:
        bundle = {"signer": foundry.stranger}

    gateway.tell(foundry.command(foundry.bundle("2", threshold=6.5, **bundle), 2))
    gateway.tick(5)

    ack = gateway.sent("rollouts.acks")[-1]
    assert (ack.revision, ack.phase) == (2, "refused")
    assert reason in ack.reason
    assert gateway.gateway.slots.installation.model_id == "demo/1"


def test_golden_outputs_that_do_not_come_out_are_refused(serving, foundry):
    gateway = serving()
    made = foundry.bundle("2", threshold=6.5)
    golden = _manifest(foundry, made).golden

    wrong = foundry.bundle("4", threshold=1e-6, manifest={"golden": golden})
    gateway.tell(foundry.command(wrong, 2))
    gateway.tick(5)

    assert gateway.sent("rollouts.acks")[-1].reason.startswith("demo/4 decides True on golden input 0; wanted False")


def test_a_command_with_a_setting_that_is_no_number_is_refused(serving, foundry):
    gateway = serving()

    gateway.tell(foundry.command(foundry.bundle("2", threshold=6.5), 2, settings={"bake_s": "soon"}))
    gateway.tick(2)

    assert gateway.sent("rollouts.acks")[-1].reason == "settings of revision 2: bake_s is 'soon'; wanted: a number"


def test_a_bundle_for_other_readings_is_refused(serving, foundry, tmp_path):
    gateway = serving()
    elsewhere = type(foundry)(tmp_path / "weather", pipeline=WEATHER)
    made = elsewhere.bundle("2", signer=foundry.trainer)

    gateway.tell(foundry.command(made, 2))
    gateway.tick(5)

    assert gateway.sent("rollouts.acks")[-1].reason == (
        "bundle demo/2 wants temperature, humidity, pressure, wind; "
        "the source gives temperature, vibration, pressure, current"
    )


def test_outside_of_its_maintenance_window_a_device_waits_and_says_so(serving, foundry):
    gateway = serving()
    # The simulated day begins at midnight UTC.
    gateway.tell(foundry.command(foundry.bundle("2", threshold=6.5), 2, settings={"maintenance": "02:00-04:00 UTC"}))

    gateway.run(3)
    waiting = gateway.acks()[-1]
    gateway.now_ms += 3 * 3_600_000
    gateway.tick(6)

    assert waiting == (2, "postponed")
    assert gateway.acks()[-1] == (2, "trial")


def test_a_busy_machine_waits(serving, foundry):
    gateway = serving()
    gateway.config = replace(gateway.config, updates=UpdateConfig(reserve_bytes=0, busy_load=0.5))
    gateway.restart(crash=False)
    load = [0.9]
    gateway.gateway._updater._load = lambda: load[0]
    gateway.tell(foundry.command(foundry.bundle("2", threshold=6.5), 2))

    gateway.tick(3)
    waiting = gateway.sent("rollouts.acks")[-1]
    load[0] = 0.1
    gateway.tick(5)

    assert (waiting.phase, waiting.reason) == ("postponed", "the machine is busy: load a core above 0.5")
    assert gateway.acks()[-1] == (2, "trial")


def test_in_its_shadow_a_model_is_compared_before_it_serves(serving, foundry):
    gateway = serving()

    gateway.tell(foundry.command(foundry.bundle("2", threshold=6.5), 2, settings={"shadow_s": "15"}))
    gateway.tick(5)
    before = gateway.gateway.slots.installation
    gateway.run(30)
    health = [each for each in gateway.sent("telemetry.model-health") if each.model_id == "demo/2"]
    gateway.run(40)

    assert (before.model_id, before.phase) == ("demo/1", "installed")
    assert health[0].trial
    assert gateway.acks()[-1] == (2, "succeeded")


def test_a_model_for_later_is_switched_on_by_the_next_command_even_after_a_crash(serving, foundry):
    gateway = serving()
    made = foundry.bundle("2", threshold=6.5)

    gateway.tell(foundry.command(made, 2, settings={"activate": "later", "shadow_s": "5"}))
    gateway.tick(5)
    gateway.run(40)
    installed = gateway.gateway.slots.installation
    gateway.restart()
    made.path.unlink()
    gateway.run(20)
    before = gateway.gateway.slots.installation.model_id
    gateway.tell(foundry.command(made, 3))
    gateway.tick(5)
    gateway.run(45)

    assert (installed.model_id, installed.phase) == ("demo/1", "installed")
    assert before == "demo/1"
    assert [phase for revision, phase in gateway.acks() if revision == 3] == [
        "received", "installed", "trial", "succeeded",
    ]  # fmt: skip
    assert gateway.gateway.serving.model_id == "demo/2"


def test_a_time_to_activate_that_nobody_knows_is_refused(serving, foundry):
    gateway = serving()

    gateway.tell(foundry.command(foundry.bundle("2", threshold=6.5), 2, settings={"activate": "tomorrow"}))
    gateway.tick(3)

    assert gateway.acks()[-1] == (2, "refused")
    assert "activate is 'tomorrow'; wanted: 'later', or nothing" in gateway.sent("rollouts.acks")[-1].reason


def test_a_model_that_disagrees_in_its_shadow_never_serves(serving, foundry):
    gateway = serving()

    gateway.tell(foundry.command(foundry.bundle("2", threshold=0.01), 2, settings={"shadow_s": "1000"}))
    gateway.tick(5)
    gateway.run(60)

    ack = gateway.sent("rollouts.acks")[-1]
    assert (ack.revision, ack.phase, ack.model_id) == (2, "failed", "demo/1")
    assert ack.reason.startswith("in the shadow of the active model: anomaly rate 1")


def test_without_any_model_that_works_the_rules_decide_and_say_so(played, foundry):
    gateway = played()
    gateway.tell(foundry.command(foundry.bundle("3", sick=True), 1))
    gateway.tick(5)
    gateway.run(60)
    decided = gateway.run(3, values=lambda values: values * 0 + 150.0)

    assert gateway.acks()[-1] == (1, "fell_back")
    assert [bool(anomaly) for scored in decided for anomaly in scored.decisions.anomaly] == [True] * 3
    gateway.now_ms += 120_000
    gateway.tick()
    assert gateway.sent("fleet.heartbeats")[-1].safe_mode
    assert gateway.sent("telemetry.model-health")[-1].slot == ""


def test_safe_mode_by_hand_holds_until_it_is_left(serving):
    gateway = serving()

    gateway.gateway.happen(SafeModeOn(), gateway.now_ms)
    gateway.run(30)
    during = gateway.gateway.serving.model
    gateway.gateway.happen(SafeModeOff(), gateway.now_ms)

    assert during is None
    assert gateway.gateway.serving.model is not None


def test_a_rollback_by_hand_takes_the_success_back(serving, foundry):
    gateway = serving()
    gateway.tell(foundry.command(foundry.bundle("2", threshold=6.5), 2))
    gateway.tick(5)
    gateway.run(40)

    gateway.gateway.happen(RolledBackByHand("rolled back by hand"), gateway.now_ms)

    assert gateway.acks()[-1] == (2, "fell_back")
    assert gateway.gateway.serving.model_id == "demo/1"


def test_a_gateway_that_crashes_with_a_bundle_three_times_abandons_it(serving, foundry):
    gateway = serving()
    gateway.tell(foundry.command(foundry.bundle("2", threshold=6.5), 2))
    gateway.tick(5)
    for _ in range(3):
        gateway.restart()
        assert gateway.gateway.serving.model_id == "demo/2"

    gateway.restart()

    assert gateway.gateway.serving.model_id == "demo/1"
    assert gateway.acks()[-1] == (2, "fell_back")
    assert gateway.gateway.slots.installation.slots["B"].state is SlotState.BAD


def test_a_slot_that_rotted_on_disk_is_given_up_at_the_next_start(serving, foundry):
    gateway = serving()
    gateway.tell(foundry.command(foundry.bundle("2", threshold=6.5), 2))
    gateway.tick(5)
    gateway.run(40)
    path = gateway.gateway.slots.path("B")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)

    gateway.restart()

    assert gateway.gateway.serving.model_id == "demo/1"
    assert "slot B cannot be loaded" in gateway.sent("rollouts.acks")[-1].reason


def test_a_missing_bundle_is_tried_again_and_then_failed(serving, foundry):
    gateway = serving(updates=UpdateConfig(reserve_bytes=0, attempts=3))
    command = foundry.command(foundry.bundle("2", threshold=6.5), 2, bundle_url="http://127.0.0.1:9/none")
    gateway.tell(command)

    gateway.run(30)

    assert gateway.acks()[-1] == (2, "failed")
    assert gateway.gateway.serving.model_id == "demo/1"


def test_old_bundles_are_cleaned_and_those_in_slots_are_kept(serving, foundry):
    gateway = serving()
    for revision in range(2, 7):
        gateway.tell(foundry.command(foundry.bundle(str(revision), threshold=6.0 + revision / 10), revision))
        gateway.tick(5)
        gateway.run(40)

    slots = gateway.gateway.slots
    slots.clean(now_ms=time.time_ns() // 1_000_000, keep=3, keep_days=30)

    kept = {path.stem for path in slots.store.glob("*.bundle")}
    assert len(kept) == 3
    assert {content.sha256 for content in slots.installation.slots.values()} <= kept


def _manifest(foundry, made):
    from trust import open_bundle

    return open_bundle(made.content, foundry.keyring).manifest
