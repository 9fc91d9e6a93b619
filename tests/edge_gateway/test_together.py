"""Several models on one box: a gateway for each, all in one process, each obeying its own commands."""

import json
from random import Random

import pytest
from feed_reading import records_on

from edge_gateway import ConfigError, GatewayConfig, Opened, Station, WatchConfig, WindowConfig, online, run_together
from edge_gateway.config import UpdateConfig
from edge_gateway.spool import look_into
from sensing.pipelines import MACHINE
from sensing.simulator import Simulated
from sensing.sources import SimulatedSource
from trust import write_keyring


@pytest.fixture
def station(tmp_path, foundry):
    write_keyring(tmp_path / "keyring.json", foundry.keyring)

    def make(device_id, *, device=9):
        config = GatewayConfig(
            device_id=device_id,
            data=tmp_path / device_id,
            keyring=tmp_path / "keyring.json",
            windows=WindowConfig(length_s=10.0, lateness_s=0.0, checkpoint_s=0.5),
            watch=WatchConfig(bake_s=0.5, bake_windows=2, bake_decisions=10),
            updates=UpdateConfig(reserve_bytes=0),
            heartbeat_s=1.0,
        )
        return Station(config, Opened(SimulatedSource([Simulated("machine", device=device)], speed=60.0), MACHINE))

    return make


def test_each_obeys_its_own_command_and_a_bad_model_harms_no_other(station, foundry, cluster, write):
    write("rollouts.commands", foundry.command(foundry.bundle("1"), 1))
    write("rollouts.commands", foundry.command(foundry.bundle("5", sick=True), 1, device_id="pump-3"))

    stations = [station("press-7"), station("pump-3", device=4)]
    summaries = run_together(stations, lambda each: online(each, cluster, rng=Random(2)), duration_s=20, rng=Random(1))

    ends = {("press-7", "succeeded", "demo/1"), ("pump-3", "fell_back", "")}
    records_on(
        cluster, "rollouts.acks", lambda found: {(ack.device_id, ack.phase, ack.model_id) for ack in found} >= ends
    )
    lasts = {("press-7", "demo/1", False), ("pump-3", "", True)}
    records_on(
        cluster,
        "fleet.heartbeats",
        lambda found: {(each.device_id, each.model_id, each.safe_mode) for each in found} >= lasts,
    )
    records_on(
        cluster, "telemetry.feature-stats", lambda found: {each.device_id for each in found} == {"press-7", "pump-3"}
    )
    assert [(each.waiting, each.lost) for each in summaries] == [(0, 0)] * 2
    assert all(each.readings_decided > 100 for each in summaries)


def test_two_of_one_name_are_refused(station):
    with pytest.raises(ConfigError, match="device_id is 'press-7'; wanted: another one for each gateway of a process"):
        run_together([station("press-7"), station("press-7")], None, duration_s=1)


def test_the_command_takes_the_settings_of_each(tmp_path, foundry, shell_of):
    also = tmp_path / "pump.toml"
    also.write_text(
        f'[gateway]\ndevice_id = "pump-3"\nkeyring = "{tmp_path}/keyring.json"\nlogs = "json"\n'
        "[gateway.windows]\nlength_s = 5.0\n[gateway.source]\nspeed = 60.0\ndevice = 4\n"
    )
    shell = shell_of(tmp_path, foundry)
    bundle = foundry.bundle("1").path
    for where in ([], ["--device-id", "pump-3", "--data", str(tmp_path / "stack" / "gateways" / "pump-3")]):
        assert shell("gateway", "apply", str(bundle), *where).returncode == 0

    ran = shell("gateway", "run", "--offline", "--duration", "6", "--also", str(also))

    assert ran.returncode == 0, ran.stderr
    first, second = ran.stdout.splitlines()
    assert first.startswith("press-7: decided ")
    assert second.startswith("pump-3: decided ")
    assert " press-7: slot activated" in ran.stderr
    assert " pump-3: slot activated" in ran.stderr
    for folder in (tmp_path / "data", tmp_path / "stack" / "gateways" / "pump-3"):
        assert look_into(folder / "spool.db")[1]["telemetry.feature-stats"] > 10
        assert json.loads((folder / "slots.json").read_text())["active"] == "A"


def test_a_file_without_a_gateway_is_named(tmp_path, foundry, shell_of):
    (tmp_path / "empty.toml").write_text("")

    ran = shell_of(tmp_path, foundry)("gateway", "run", "--offline", "--also", "empty.toml")

    assert ran.returncode == 1
    assert "empty.toml" in ran.stderr
