"""`driftline rollout`, `fleet` and `audit`, over real Kafka and a running controller."""

import json
import threading
import time

import pytest
from click.testing import CliRunner

from driftline.command import main
from schemas import feeds
from schemas.cluster import Cluster
from schemas.topics import create_missing
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
def running(bootstrap, registry_url, prefix, tmp_path):
    """A controller, three gateways, and `run(*arguments)` for the command."""
    cluster = Cluster(bootstrap=bootstrap, registry_url=registry_url, prefix=prefix)
    create_missing(cluster)
    make_key(tmp_path / "key.pem")
    signer = load_signer(f"file:{tmp_path / 'key.pem'}", environ={})
    keyring = Keyring(keys=(pin("controller", signer.public_key, Kind.COMMAND, Kind.CHECKPOINT),))
    write_keyring(tmp_path / "keyring.json", keyring)
    service = RolloutService(cluster, [signer], ServiceOptions(turn_s=0.05))
    thread = threading.Thread(target=service.run, daemon=True)
    thread.start()

    def run(*arguments, code=0):
        where = ["--bootstrap", bootstrap, "--registry", registry_url, "--prefix", prefix]
        result = CliRunner().invoke(main, [*arguments, *where], standalone_mode=True)
        assert result.exit_code == code, result.output
        return result.output

    gateways = [SimulatedGateway(f"gw-{number}", "bearings/1", {"hw": "rev2"}) for number in range(3)]
    with SimulatedFleet(cluster, gateways, keyring) as fleet:
        while len(feeds.snapshot(cluster, "fleet.devices")) < 3:
            time.sleep(0.2)
        yield run, fleet, cluster, tmp_path
    service.stop()
    thread.join(20)


def test_the_command_steers_a_rollout_and_shows_the_fleet(running):
    run, fleet, cluster, folder = running
    plan = folder / "plan.toml"
    plan.write_text(PLAN)

    assert "3 " in run("rollout", "plan", str(plan), "--dry-run")
    assert "no release 'bearings/2' is known" in run("rollout", "start", str(plan), code=1)
    release(cluster)
    assert run("rollout", "start", str(plan), "--why", "because").startswith("r1: ")
    run("rollout", "watch", "r1")
    assert fleet.models() == {"bearings/2": 3}
    assert "succeeded" in run("rollout", "show", "r1")
    assert [one["phase"] for one in json.loads(run("rollout", "list", "--json"))] == ["succeeded"]
    assert "cannot pause a rollout that is succeeded" in run("rollout", "pause", "r1", code=1)

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
    assert "accepted  by" in log
    assert "succeeded  by rollouts" in log
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
    producer.flush(10)
    # The controller reads releases and requests side by side: let it hear of this one first.
    time.sleep(2)
