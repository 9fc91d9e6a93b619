"""`driftline rollout`, `fleet` and `audit`, over real Kafka and a running controller."""

import io
import json
import re
import threading

import pytest
from click.testing import CliRunner
from patience import PATIENCE_S, eventually
from rich.console import Console

from driftline.command import main
from driftline.rollout_view import shown_status
from schemas import feeds
from schemas.rollouts import RolloutPhase, RolloutStatus
from streams.rollouts.plan import parse_plan
from streams.rollouts.service import RolloutService, ServiceOptions
from streams.rollouts.simulated import SimulatedFleet, SimulatedGateway
from trust import Keyring, Kind, load_signer, make_key, pin, write_keyring

PLAN = """
rollout = "r1"
model = "bearings/2"
strategy = "all-at-once"
cohort = ["gw-0", "gw-1", "gw-2"]
[limits]
bake_s = 0
device_bake_s = 1
"""


@pytest.fixture
def running(cluster, tmp_path):
    """A controller, three gateways, and `run(*arguments)` for the command."""
    make_key(tmp_path / "key.pem")
    signer = load_signer(f"file:{tmp_path / 'key.pem'}", environ={})
    keyring = Keyring(keys=(pin("controller", signer.public_key, Kind.COMMAND, Kind.CHECKPOINT),))
    write_keyring(tmp_path / "keyring.json", keyring)
    service = RolloutService(cluster, [signer], ServiceOptions(turn_s=0.05))
    thread = threading.Thread(target=service.run, daemon=True)
    thread.start()

    def run(*arguments, code=0):
        where = ["--bootstrap", cluster.bootstrap, "--registry", cluster.registry_url, "--prefix", cluster.prefix]
        result = CliRunner().invoke(main, [*arguments, *where], standalone_mode=True)
        assert code is None or result.exit_code == code, result.output
        return result.output

    gateways = [SimulatedGateway(f"gw-{number}", "bearings/1", {"hw": "rev2"}) for number in range(3)]
    with SimulatedFleet(cluster, gateways, keyring) as fleet:
        eventually(lambda: len(feeds.snapshot(cluster, "fleet.devices")) == 3)
        yield run, fleet, cluster, tmp_path
    service.stop()
    thread.join(PATIENCE_S)


def test_the_command_steers_a_rollout_and_shows_the_fleet(running):
    run, fleet, cluster, folder = running
    plan = folder / "plan.toml"
    plan.write_text(PLAN)

    assert "3 " in run("rollout", "plan", str(plan), "--dry-run")
    gated = folder / "gated.toml"
    gated.write_text(f"{PLAN}[gates.anomaly_rate]\n")
    assert re.search(
        r"at [\d,]+ decisions a device-hour, (as they|assumed)", run("rollout", "plan", str(gated), "--dry-run")
    )
    unknown = run("rollout", "start", str(plan), code=1)
    assert "no release 'bearings/2' is known" in unknown
    assert "hint: `driftline models list`" in unknown
    release(cluster)
    # The controller reads releases and requests side by side: it may hear of this one first.
    eventually(lambda: run("rollout", "start", str(plan), "--why", "because", code=None).startswith("r1: "))
    run("rollout", "watch", "r1")
    assert fleet.models() == {"bearings/2": 3}
    assert "succeeded" in run("rollout", "show", "r1")
    assert [one["phase"] for one in json.loads(run("rollout", "list", "--json"))] == ["succeeded"]
    assert "cannot pause a rollout that is succeeded" in run("rollout", "pause", "r1", code=1)
    refused = run("rollout", "lift", "r1", "--trait", "hw=rev2", code=1)
    assert "no devices with 'hw=rev2' are set apart; set apart: none" in refused
    assert "hint: `driftline rollout show r1`" in refused

    run("fleet", "label", "gw-0", "site=north", "--why", "moved")
    run("fleet", "group", "gw-1", "lab")
    run("fleet", "register", "gw-9", "hw=rev3")
    run("fleet", "revoke", "gw-2", "--why", "stolen")
    known = {device["device_id"]: device for device in json.loads(run("fleet", "list", "--json"))}
    assert known["gw-0"]["labels"] == {"hw": "rev2", "site": "north"}
    assert known["gw-1"]["groups"] == ["lab"]
    assert (known["gw-2"]["state"], known["gw-9"]["state"]) == ("revoked", "registered")
    assert "gw-0" in run("fleet", "list", "--cohort", "site:north")
    assert "gw-1" not in run("fleet", "list", "--cohort", "site:north")
    assert json.loads(run("fleet", "show", "gw-0"))["model_id"] == "bearings/2"
    assert "column 4" in run("fleet", "list", "--cohort", "hw:", code=1)

    log = run("audit", "list", "--subject", "rollout/r1")
    entries = json.loads(run("audit", "list", "--subject", "rollout/r1", "--json"))
    assert "accepted  by" in log
    assert "succeeded  by rollouts" in log
    assert {("accepted", "rollout/r1"), ("succeeded", "rollout/r1")} <= {
        (one["action"], one["subject"]) for one in entries
    }
    assert "0 entries" in run("audit", "verify", "--keyring", str(folder / "keyring.json"))


def release(cluster):
    from confluent_kafka import Producer

    from schemas.release import ModelRelease, ReleaseStage
    from schemas.wire import Contract

    made = ModelRelease(
        model="bearings", version="2", stage=ReleaseStage.STAGING, pipeline="vibration/1", grid_id="g",
        baseline_id="b", bundle_sha256="0" * 64, bundle_bytes=1, bundle_url="https://models.example/2",
        manifest="{}", created_ms=1, created_by="test",
    )  # fmt: skip
    contract = Contract.connect(cluster)
    contract.register("models.releases")
    key, value = contract.encode("models.releases", made)
    producer = Producer(cluster.client_settings())
    producer.produce(cluster.named("models.releases"), key=key, value=value)
    producer.flush(PATIENCE_S)


def test_a_rollout_is_shown_with_a_bar_for_each_stage_and_what_is_left():
    plan = parse_plan({"rollout": "r1", "model": "m/2", "strategy": {"kind": "canary", "percent": [10, 100]},
                       "limits": {"bake_s": 600}})  # fmt: skip
    status = RolloutStatus(
        rollout_id="r1", model_id="m/2", phase=RolloutPhase.RUNNING, stage=1, stages=2, reason="stage '100%'",
        changed_ms=0, devices={"succeeded": 19, "waiting": 20, "failed": 1}, gates=(), digested={},
        stage_devices={"0/succeeded": 4, "1/succeeded": 15, "1/waiting": 20, "1/failed": 1, "1/left": 3},
    )  # fmt: skip
    out = io.StringIO()

    Console(file=out, width=100).print(shown_status(status, plan, per_minute=10))

    head, first, second, *rest = (line.rstrip() for line in out.getvalue().splitlines())
    assert head == "r1  m/2  running  stage 2/2"
    assert first.split() == ["10%", "█" * 40, "4/4"]
    assert second.split() == ["▶", "100%", "█" * 16 + "░" * 24, "15/36", "1", "failed"]
    assert rest[-1] == "10 devices a minute; about 12 min to the end"
