"""`driftline gateway` and `driftline simulate`, as somebody at the device types them."""

import json
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner
from patience import PATIENCE_S, eventually

from driftline.command import main
from trust import write_keyring


@pytest.fixture
def shell(tmp_path, foundry, shell_of):
    return shell_of(tmp_path, foundry)


def test_a_day_at_the_device(shell, foundry):
    bundle = foundry.bundle("1")
    other = foundry.bundle("2", threshold=6.5)

    applied = shell("gateway", "apply", str(bundle.path))
    running = shell.start("gateway", "run", "--offline")
    eventually(lambda: "stable" in shell("gateway", "slots").stdout)
    second = shell("gateway", "apply", str(other.path))
    eventually(lambda: shell("gateway", "slots").stdout.count("stable") == 2)
    back = shell("gateway", "rollback")
    again = shell("gateway", "run", "--offline", "--duration", "1")
    safe = shell("gateway", "safe-mode", "on")
    slots = json.loads(eventually(lambda: shell("gateway", "slots", "--json").stdout))
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=PATIENCE_S)

    assert applied.stdout == "the gateway does not run; it does so at its next start\n"
    assert second.stdout == "demo/2 is being installed\n"
    assert back.stdout == "back to demo/1\n"
    assert again.returncode == 1
    assert "another gateway runs in" in again.stderr
    assert safe.stdout == "safe mode is on\n"
    assert slots["safe_mode"] == "operator"
    assert running.returncode == 0, err
    assert out.endswith("lost: 0\n")
    assert "waiting 0," not in out
    assert "telemetry.feature-stats" in shell("gateway", "spool").stdout
    assert json.loads(shell("gateway", "spool", "--json").stdout)["dropped"] == 0


def test_a_bundle_is_verified_without_being_installed(shell, foundry):
    good = shell("gateway", "verify", str(foundry.bundle("1").path))
    strange = shell("gateway", "verify", str(foundry.bundle("1", signer=foundry.stranger).path))
    none = shell("gateway", "verify", "nothing.bundle")

    assert (good.returncode, strange.returncode, none.returncode) == (0, 1, 1)
    assert good.stdout.startswith("demo/1 (")
    assert "lacks 1 valid signature(s)" in strange.stderr
    assert none.stderr.startswith("error: nothing.bundle: No such file")


def test_there_is_nothing_to_go_back_to(shell):
    found = shell("gateway", "rollback")

    assert found.returncode == 1
    assert found.stderr.startswith("error: there is nothing to go back to: no model serves")
    assert "hint: `driftline gateway slots`" in found.stderr


def test_a_gateway_without_a_name_is_told_where_to_give_it_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    found = CliRunner().invoke(main, ["gateway", "slots"])

    assert found.exit_code == 1
    assert "error: gateway.device_id is not set" in found.stderr
    assert "hint: --device-id or DRIFTLINE_GATEWAY_DEVICE_ID" in found.stderr


def test_the_doctor_says_what_is_wrong_and_what_to_do(shell):
    found = shell("gateway", "doctor")

    assert found.returncode == 1
    assert "ok   keys" in found.stdout
    assert "BAD  broker     127.0.0.1:9 does not answer" in found.stdout
    assert "hint: the gateway buffers meanwhile" in found.stdout


def test_the_doctor_looks_into_a_folder_that_is_named_from_here(shell):
    ran = shell("gateway", "run", "--offline", "--duration", "0.1", "--data", "here")

    found = shell("gateway", "doctor", "--data", "here")

    assert ran.returncode == 0, ran.stderr
    assert "ok   spool" in found.stdout, found.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('speed = "fast"', "gateway.source.speed is 'fast', wanted a number"),
        ('kind = "carrier pigeon"', "source.kind is 'carrier pigeon'"),
        ("sped = 1", "unknown setting 'gateway.source.sped'"),
        ('pipeline = "machine/9"', "unknown pipeline 'machine/9'; known: machine/1"),
        ('kind = "replay"', "source.path is None; wanted: a CSV or Parquet file"),
    ],
)
def test_a_bad_setting_stops_at_once_and_is_named(shell, line, said):
    file = shell.folder / "driftline.toml"
    text = file.read_text().replace("speed = 60.0", line)
    file.write_text(text)

    found = shell("gateway", "run", "--offline", "--duration", "1")

    assert found.returncode == 1
    assert said in found.stderr


def test_without_keys_nothing_starts(shell):
    (shell.folder / "keyring.json").unlink()

    found = shell("gateway", "run", "--offline", "--duration", "1")

    assert found.returncode == 1
    assert "without pinned keys nothing is trusted" in found.stderr


def test_a_simulated_fleet_that_is_told_to_end_says_what_it_came_to(cluster, foundry, tmp_path):
    write_keyring(tmp_path / "keyring.json", foundry.keyring)
    where = ["--bootstrap", cluster.bootstrap, "--registry", cluster.registry_url, "--prefix", cluster.prefix]
    things = ["--devices", "1", "--data", str(tmp_path / "played"), "--keyring", str(tmp_path / "keyring.json")]
    command = [sys.executable, "-m", "driftline", "simulate", *things, *where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as playing:
        begun = playing.stderr.readline()
        playing.terminate()
        out, err = playing.communicate(timeout=PATIENCE_S)

    assert begun.startswith("playing 1 gateways")
    assert playing.returncode == 0, err
    assert out.startswith("decided ")


def test_simulated_data_train_a_model(shell):
    shell("keys", "make", "trainer.pem")
    shell("simulate", "data", "--samples", "4000", "--devices", "2", "-o", "a.parquet")

    trained = shell(
        "train", "--data", "a.parquet", "--pipeline", "machine/1", "--model", "press", "--key", "file:trainer.pem",
        "-o", "press.bundle",
    )  # fmt: skip

    assert trained.returncode == 0, trained.stderr
    assert "press/1 trained in" in trained.stdout
    assert (shell.folder / "press.bundle").stat().st_size > 0


def test_simulated_data_carry_their_labels(shell):
    made = shell("simulate", "data", "--samples", "3000", "-o", "a.csv")
    wrong = shell("simulate", "data", "-o", "a.xls")

    assert made.returncode == 0, made.stderr
    lines = (shell.folder / "a.csv").read_text().splitlines()
    assert lines[0] == "at_ms,device_id,temperature,vibration,pressure,current,label,fault"
    assert {tuple(line.split(",")[-2:]) for line in lines[1:]} > {("0", ""), ("1", "sudden_drift")}
    assert "ends in '.xls'; wanted: .parquet or .csv" in wrong.stderr
