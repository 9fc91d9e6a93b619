"""Power may fail between any two steps of an update: exactly one whole model serves, and the acks are right."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

FINAL = {"succeeded", "failed", "fell_back", "refused", "superseded"}


@pytest.fixture
def folder(tmp_path):
    """In memory where that can be had: what is cut is the process, and a disk would only make it slow."""
    memory = Path("/dev/shm")  # noqa: S108
    if not memory.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as made:
        yield Path(made)


def cuts(folder, scenario):
    script = Path(__file__).with_name("power_cuts.py")
    run = subprocess.run(
        [sys.executable, script, folder, scenario], capture_output=True, text=True, timeout=170, check=False
    )
    assert run.returncode == 0, run.stderr
    found = [json.loads(line) for line in run.stdout.splitlines()]
    assert not [each for each in found if "error" in each], run.stderr
    # The last run was not cut at all: every step has had its turn.
    assert [each["happened"] for each in found] == [True] * (len(found) - 1) + [False]
    return found


def check_acks(found, revision, last):
    phases = [phase for of, phase in found["acks"] if of == revision]
    assert phases[-1] == last, found
    ended = next(place for place, phase in enumerate(phases) if phase in FINAL)
    # After a final word only the same word again; before it, phases may repeat but never go back.
    assert set(phases[ended:]) == {last}, found
    assert found["seqs"] == sorted(set(found["seqs"])), found
    assert found["windows"] == list(range(len(found["windows"]))), found


def test_an_update_survives_every_cut(folder):
    found = cuts(folder, "update")

    assert len(found) > 30
    for each in found:
        assert each["serving_at_once"] in {"demo/1", "demo/2"}, each
        assert each["serving"] == "demo/2", each
        assert sorted(each["states"].values()) == ["stable", "stable"], each
        check_acks(each, 2, "succeeded")


def test_a_fall_back_survives_every_cut(folder):
    for each in cuts(folder, "fall back"):
        assert each["serving_at_once"] in {"demo/1", "demo/3"}, each
        assert each["serving"] == "demo/1", each
        assert sorted(each["states"].values()) == ["bad", "stable"], each
        check_acks(each, 2, "fell_back")


@pytest.mark.nightly
def test_a_superseded_update_survives_every_cut(folder):
    for each in cuts(folder, "superseded"):
        assert each["serving_at_once"] in {"demo/1", "demo/2", "demo/4"}, each
        assert each["serving"] == "demo/4", each
        check_acks(each, 3, "succeeded")


@pytest.mark.nightly
def test_the_instant_way_back_survives_every_cut(folder):
    for each in cuts(folder, "back"):
        assert each["serving_at_once"] in {"demo/0", "demo/1"}, each
        assert each["serving"] == "demo/0", each
        check_acks(each, 2, "succeeded")


@pytest.mark.nightly
def test_an_installation_for_later_survives_every_cut(folder):
    found = cuts(folder, "later")

    assert len(found) > 15
    for each in found:
        assert each["serving_at_once"] == each["serving"] == "demo/1", each
        assert sorted(each["states"].values()) == ["installed", "stable"], each
        phases = [phase for of, phase in each["acks"] if of == 2]
        assert phases[-1] == "installed", each
        assert not {"trial", *FINAL} & set(phases), each
        assert each["seqs"] == sorted(set(each["seqs"])), each


@pytest.mark.nightly
def test_the_switch_to_what_was_installed_survives_every_cut(folder):
    found = cuts(folder, "switch")

    for each in found:
        assert each["serving_at_once"] in {"demo/1", "demo/2"}, each
        assert each["serving"] == "demo/2", each
        assert sorted(each["states"].values()) == ["stable", "stable"], each
        check_acks(each, 3, "succeeded")
        # Nothing is fetched again: it lies there.
        assert "downloading" not in [phase for of, phase in each["acks"] if of == 3], each
