"""`driftline train`, `models` and `training`, on a fleet of the test's own."""

import json

import pytest
from click.testing import CliRunner

from driftline.command import main


@pytest.fixture
def run(in_a_folder_of_its_own):
    def command(*words: str):
        return CliRunner().invoke(main, list(words))

    command("keys", "make", "t.pem")
    return command


def trained(run, version: str) -> None:
    done = run(
        *("train", "--data", "simulator", "--pipeline", "machine/1", "--model", "bearing", "--version", version),
        *("--key", "file:t.pem", "-o", f"{version}.bundle", "--devices", "3", "--samples", "3000", "--seed", version),
    )
    assert done.exit_code == 0, done.output
    assert "trained in" in done.output


REGISTER = ("--store", "store", "--url", "http://127.0.0.1:9", "--key", "file:t.pem", "--who", "ann")


def test_from_training_to_production_and_back(run, tmp_path):
    trained(run, "1")
    registered = run("models", "register", "1.bundle", *REGISTER, "--metric", "mAP50=0.85")
    assert "bearing/1 is a candidate" in registered.output
    assert "bearing/1 is in staging" in run("models", "promote", "bearing/1").output
    assert "bearing/1 is in production" in run("models", "promote", "bearing/1").output

    (shown,) = json.loads(run("models", "list", "--json").output)
    assert shown["metrics"]["mAP50"] == 0.85
    assert shown["stage"] == "production"
    assert len(list((tmp_path / "store" / "bundles").iterdir())) == 1
    assert "is in production" in run("models", "archive", "bearing/1").output
    assert "bearing/1 is archived" in run("models", "archive", "bearing/1", "--force").output
    assert "would delete" not in run("models", "gc", "--store", "store").output


def test_the_same_bundle_is_not_registered_twice(run):
    trained(run, "1")
    run("models", "register", "1.bundle", *REGISTER)

    assert "registered already" in run("models", "register", "1.bundle", *REGISTER).output


def test_a_request_is_asked_for_and_listed(run):
    assert json.loads(run("training", "list", "--json").output) == []
    assert run("training", "list").output.split() == ["REQUEST", "MODEL", "CAUSE", "STATE"]
    asked = run("training", "request", "bearing", "--pipeline", "machine/1", "--why", "new pumps").output.strip()

    assert f"{asked}" in run("training", "list").output
    assert "waiting" in run("training", "list").output
    (plain,) = json.loads(run("training", "list", "--json").output)
    assert (plain["request_id"], plain["state"]) == (asked, "waiting")
    assert "is approved" in run("training", "approve", asked).output
    assert "unknown request 'r9'" in run("training", "cancel", "r9").output
