"""The examples of the main workflows, each run as its reader would run it."""

import contextlib
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import console_fleet as made
import pytest
from backtest_fleet import exported, recorded
from patience import PATIENCE_S, eventually

from console import Role
from schemas import feeds
from schemas.drift_alert import AlertState
from streams.rollouts.controller import ControllerOptions
from streams.rollouts.service import RolloutService, ServiceOptions
from streams.rollouts.simulated import SimulatedFleet, SimulatedGateway
from trust import Keyring, Kind, load_signer, make_key, pin, write_keyring

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def environment(console, tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DRIFTLINE_")}
    return kept | {
        "DRIFTLINE_BOOTSTRAP": console.cluster.bootstrap,
        "DRIFTLINE_REGISTRY": console.cluster.registry_url,
        "DRIFTLINE_PREFIX": console.cluster.prefix,
        "DRIFTLINE_CACHE": str(tmp_path / "cache"),
        "CONSOLE_URL": console.url,
        "CONSOLE_KEY": console.keys[Role.ADMIN],
    }


@pytest.fixture
def begin(environment, tmp_path):
    """Start an example; it is gone when the test is over."""
    running = []

    def begin(name, *said):
        process = subprocess.Popen(
            [sys.executable, EXAMPLES / name, *said], cwd=tmp_path, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


@contextlib.contextmanager
def fleet_at_work(cluster, folder, devices, site):
    """A real controller, and gateways that do as they are told."""
    key = make_key(folder / "controller.pem")
    signer = load_signer(f"file:{folder / 'controller.pem'}", environ={})
    keyring = Keyring(keys=(pin("controller", key, Kind.COMMAND),))
    options = ControllerOptions(judge_every_ms=200, default_plan=None)
    service = RolloutService(cluster, [signer], ServiceOptions(turn_s=0.05, controller=options))
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        with SimulatedFleet(cluster, [SimulatedGateway(one, "bearings/1", {"site": site}) for one in devices], keyring):
            assert service.leads.wait(PATIENCE_S)
            yield
    finally:
        service.stop()
        thread.join(PATIENCE_S)


def test_alerts_are_told_as_they_fire_and_end(console, begin):
    alert = made.alert(made.unique("press"))
    example = begin("watch_drift.py")

    def line_about(text):
        return next(line for line in example.stdout if alert.subject in line and text in line)

    console.publish("drift.alerts", [alert])
    assert line_about("high") == f"high: {alert.subject} temperature mean_shift (psi 0.41, ks 0.30)\n"
    console.publish("drift.alerts", [replace(alert, state=AlertState.RESOLVED)])
    assert line_about("over") == f"over: {alert.subject} temperature mean_shift\n"


@pytest.mark.timeout(300)
def test_a_model_is_rolled_out_and_another_one_back(console, begin, viewer, environment, tmp_path):
    model, site = made.unique("pumps"), made.unique("hall")
    devices = [f"{site}-{i}" for i in range(4)]
    with fleet_at_work(console.cluster, tmp_path, devices, site):
        console.publish("models.releases", [made.release("1", model=model), made.release("2", model=model)])
        found = {"label": f"site={site}"}
        eventually(lambda: viewer.get("/devices", params=found).json()["total"] == len(devices))

        environment["BAKE_S"] = "1"
        first = begin("roll_out.py", f"{model}/1", f"site = '{site}'")
        told, _ = first.communicate(timeout=120)
        environment["BAKE_S"] = "600"
        second = begin("roll_out.py", f"{model}/2", f"site = '{site}'")
        eventually(lambda: viewer.get(f"/rollouts/{model}-2").json().get("phase") == "baking")
        back, _ = begin("roll_back.py", f"{model}-2", "hums on the floor").communicate(timeout=120)
        second_told, _ = second.communicate(timeout=PATIENCE_S)

    assert (first.returncode, told.splitlines()[-1].partition(":")[0]) == (0, "succeeded, 4 succeeded"), told
    assert any(f"rolled_back, ran {model}/1 before" in line for line in back.splitlines()), back
    assert second.returncode == 1, second_told


def test_a_model_is_retrained_and_its_release_named(console, begin):
    model = made.unique("pumps")
    example = begin("retrain.py", model, "machine/1")
    assert example.stdout.readline() == "waiting: an example\n"

    # A trainer's words: what it does itself is told elsewhere.
    request_id = eventually(lambda: asked_for(console.cluster, model))
    console.publish("audit.log", [made.training_note(request_id, "progressed", why="fitting, 50%")])
    assert example.stdout.readline() == "running: fitting, 50%\n"
    console.publish("models.releases", [replace(made.release("9", model=model), request_id=request_id)])
    console.publish("audit.log", [made.training_note(request_id, "finished", why="not worse")])

    told, _ = example.communicate(timeout=PATIENCE_S)
    assert told == f"finished: not worse\n{model}/9 is in production\n"
    assert example.returncode == 0


def asked_for(cluster, model):
    with feeds.follow(cluster, "training.requests", from_ms=0, until_current=True) as feed:
        found = [event.value for event in feed if isinstance(event, feeds.Changed)]
    return next((one.request_id for one in found if one.model == model), None)


@pytest.mark.timeout(300)
def test_policies_are_held_against_what_happened(begin, tmp_path):
    fleet, windows, _ = recorded()
    exported(tmp_path / "november.parquet", windows, grids=[fleet.grid], baselines=[fleet.baseline])
    (tmp_path / "incidents.csv").write_text(
        "device,start,end\nd-1,2026-01-01T03:20,2026-01-01T05:20\nd-3,2026-01-01T06:40,2026-01-01T08:20\n"
    )

    told, _ = begin("backtest.py", "november.parquet", "incidents.csv").communicate(timeout=240)

    assert told.splitlines()[0].startswith("usual: 2 of 2 incidents"), told
    assert told.splitlines()[1].startswith("coarse: "), told
    assert (tmp_path / "backtest.html").stat().st_size > 10_000


def test_what_a_gateway_makes_offline_is_sent_when_it_is_back(console, begin, environment, tmp_path):
    key = make_key(tmp_path / "trainer.pem")
    keyring = Keyring(keys=(pin("trainer", key, Kind.MANIFEST),))
    write_keyring(tmp_path / "keyring.json", keyring)
    environment |= {"DRIFTLINE_GATEWAY_KEYRING": str(tmp_path / "keyring.json"), "DRIFTLINE_GATEWAY_HEARTBEAT_S": "1"}

    told, _ = begin("offline_and_back.py").communicate(timeout=120)

    offline, online = (line for line in told.splitlines() if line.endswith("records wait"))
    assert int(offline.split()[1]) >= 3, told
    assert online == "online again: 0 records wait"
    with feeds.follow(console.cluster, "fleet.heartbeats", from_ms=0, until_current=True) as feed:
        beats = [one.value for one in feed if isinstance(one, feeds.Changed) and one.key == "press-7"]
    assert len(beats) > int(offline.split()[1])
