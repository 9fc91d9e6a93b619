"""A pipeline of one's own, from a file of readings to a gateway that decides by it, as a user would go about it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from driftline.command import main
from edge_gateway.spool import look_into
from sensing.pipelines import known

DECLARATION = """
name = "press"
version = 1
every_ms = 1000

[channels]
force = { unit = "kN", low = 0, high = 900 }
oil = { unit = "°C" }

[features]
force = "force"
force_mean = "mean(force, 60)"
oil_change = "change(oil, 30)"
"""


@pytest.fixture
def plant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # What another test of this process was told of is none of this plant's.
    monkeypatch.setattr(known, "_learned", {})
    Path("press.toml").write_text(DECLARATION)
    rng = np.random.default_rng(5)
    for name, rows in (("normal", 7200), ("today", 1200)):
        lines = [f"{1767225600 + i};{400 + rng.normal(0, 10):.2f};{60 + rng.normal():.2f}" for i in range(rows)]
        Path(f"{name}.csv").write_text("\n".join(["timestamp;force;oil", *lines]).replace(".", ","))
    run("keys", "make", "trainer.pem")
    run("keys", "pin", "trainer", "--key", "file:trainer.pem", "--may-sign", "manifest", "--keyring", "keyring.json")


def run(*words):
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, f"{' '.join(words)}: {done.output}"
    return done.output


def test_a_model_brings_its_features_to_the_gateway(plant):
    shown = run("pipelines", "show", "press.toml", "--data", "normal.csv")
    asked = ("--pipeline", "press.toml", "--model", "press", "--key", "file:trainer.pem")
    run("train", "--data", "normal.csv", *asked, "-o", "press.bundle")
    Path("driftline.toml").write_text(
        """
        [gateway]
        device_id = "press-7"
        data = "gateway"
        keyring = "keyring.json"
        source = { kind = "replay", path = "today.csv", pipeline = "press.toml", speed = 200 }
        """
    )
    run("gateway", "apply", "press.bundle")
    # A process of its own: it minds signals.
    command = [sys.executable, "-m", "driftline", "gateway", "run", "--offline", "--duration", "60"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)

    assert "force_mean" in shown
    assert "7200 vectors" in shown
    assert ran.returncode == 0, ran.stderr
    assert "slot activated" in ran.stderr
    assert look_into(Path("gateway/spool.db"))[1]["telemetry.feature-stats"] > 10


def test_what_the_readings_are_not_is_said(plant):
    Path("other.toml").write_text(DECLARATION.replace("oil", "water").replace("press", "other"))
    asked = ["train", "--data", "normal.csv", "--model", "press", "--key", "file:trainer.pem", "-o", "b", "--pipeline"]

    lacking, unknown, simulated = (
        CliRunner().invoke(main, [*asked, "other.toml"]),
        CliRunner().invoke(main, [*asked, "press/9"]),
        CliRunner().invoke(main, ["train", "--data", "simulator", *asked[3:], "press.toml"]),
    )

    assert "lacks water; other/1 wants all its channels or all its features" in lacking.output
    assert "unknown pipeline 'press/9'" in unknown.output
    assert "press/1 is not simulated" in simulated.output
