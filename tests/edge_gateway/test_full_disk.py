"""A gateway on a disk that somebody else has filled: it goes on deciding, starts again, and loses its place nowhere."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge_gateway.events import Accepted, Order, Spoken
from edge_gateway.slots import Slots


def test_a_gateway_on_a_full_disk_decides_and_starts_again_and_obeys_when_there_is_room(tmp_path):
    script = Path(__file__).with_name("full_gateway.py")
    run = subprocess.run(
        ["unshare", "--mount", sys.executable, script, tmp_path], capture_output=True, text=True, check=False
    )
    if run.returncode == 77 or "unshare" in run.stderr:
        pytest.skip(f"no file system can be mounted here: {run.stderr.strip()}")

    assert run.returncode == 0, run.stderr
    empty, full, restarted, freed, accounted = map(json.loads, run.stdout.splitlines())
    assert empty["acks"][-1] == [1, "succeeded"]
    # Nothing is acked that is not on disk, and nothing of it stops the model.
    assert (full["serving"], full["decided"], full["acks"]) == ("demo/1", 30, empty["acks"])
    assert (restarted["serving"], restarted["decided"], restarted["acks"]) == ("demo/1", 30, empty["acks"])
    assert freed["serving"] == "demo/2"
    assert [phase for revision, phase in freed["acks"] if revision == 2] == [
        "received",
        "downloading",
        "installed",
        "trial",
        "succeeded",
    ]
    assert accounted["windows"] == list(range(len(accounted["windows"])))
    assert (full["dropped"], freed["dropped"], accounted["held"]) == (0, 0, 0)
    told = run.stderr
    assert f"no room for the spool: file={tmp_path}/small/data/spool.db" in told
    assert f"slots not saved: file={tmp_path}/small/data/slots.json error=No space left on device" in told
    assert told.count("make room") < 10, "said once, not at every turn"


def test_what_could_not_be_written_counts_at_once_and_is_written_later(tmp_path):
    room = []

    def write(path, content):
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        path.write_bytes(content)

    slots = Slots(tmp_path, write=write)
    order = Order(revision=1, rollout_id="r", model_id="m/1", sha256="0" * 64, size=1, url="file:///m")

    slots.apply(Accepted(order))
    assert (slots.saved, slots.save(), slots.installation.order) == (False, False, order)

    room.append(True)
    assert slots.save()
    assert Slots(tmp_path).installation == slots.installation
    slots.apply(Spoken(1))
    assert slots.saved


def test_a_keyring_that_found_no_room_is_asked_for_again_and_nobody_is_refused_meanwhile(tmp_path):
    script = Path(__file__).with_name("full_keyrings.py")
    run = subprocess.run(
        ["unshare", "--mount", sys.executable, script, tmp_path], capture_output=True, text=True, check=False
    )
    if run.returncode == 77 or "unshare" in run.stderr:
        pytest.skip(f"no file system can be mounted here: {run.stderr.strip()}")

    assert run.returncode == 0, run.stderr
    full, early, freed = map(json.loads, run.stdout.splitlines())
    # Who is signed by a key of that keyring still waits for it.
    assert (full["version"], full["deciding"]) == (1, True)
    assert full["left"] == []
    assert (early["version"], early["deciding"]) == (1, True)
    assert (freed["version"], freed["deciding"], freed["restarted"]) == (2, False, 2)
    assert run.stderr.count("keyring not kept: file=") == 1
    assert "No space left on device" in run.stderr
    assert "make room" in run.stderr
