"""A request becomes one signed release, over a real Kafka; or a clear note why not."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from patience import eventually

from schemas import feeds
from schemas.release import ReleaseStage
from schemas.training import TrainingCause
from sensing import learn, make_grid, pipeline_of, run_batch
from sensing.pipelines.declared import declared
from trainer.data.dataset import Dataset, Part
from trainer.errors import TrainerError
from trainer.registry import open_store
from trainer.registry.store import bundle_name
from trainer.worker import TrainerConfig, run_trainer
from trust import KeyFileError, make_key, open_bundle

# Of all files the one that takes longest: it begins first.
pytestmark = pytest.mark.timeout(600)


def test_a_request_becomes_a_release_that_opens(with_data, keys):
    with_data.config = replace(with_data.config, algorithms={})
    with with_data.working():
        with_data.ask("r1")
        done = with_data.wait_for("r1", "finished", "failed")

    assert done.action == "finished", done.why
    release = with_data.releases()["bearing/1"]
    content = open_store(with_data.config.store).get(bundle_name(release.bundle_sha256))
    bundle = open_bundle(content, keys.keyring, sha256=release.bundle_sha256)
    assert (release.request_id, release.stage) == (with_data.own("r1"), ReleaseStage.CANDIDATE)
    assert release.bundle_url == f"http://127.0.0.1:9/bundles/{release.bundle_sha256}.bundle"
    # A pipeline has one grid, whoever was trained first.
    grids = feeds.snapshot(with_data.cluster, "models.grids", where=lambda grid: grid.pipeline == "machine/1")
    assert grids == {release.grid_id: bundle.grid}
    assert feeds.snapshot(with_data.cluster, "models.baselines")[release.baseline_id] == bundle.baseline
    assert bundle.manifest.algorithm == "isolation_forest"
    assert release.metrics["recall"] > 0.5
    first, *between, last = (note.action for note in with_data.notes("r1"))
    assert (first, set(between), last) == ("started", {"progressed"}, "finished")


def test_a_pipeline_that_is_only_declared_comes_with_its_grid(with_data, keys, sending):
    channels = {"force": {}, "oil": {}}
    document = {"name": "press", "version": 1, "every_ms": 1000, "channels": channels}
    press = learn(declared(json.dumps({**document, "features": {"force": "force", "felt": "force * oil"}})))
    rng, at_ms = np.random.default_rng(3), 1_767_571_200_000 + 1000 * np.arange(2000)
    vectors = run_batch(press, at_ms, rng.normal([400, 60], [10, 1], (2000, 2)))
    dataset = Dataset.of(press.id, [Part("press-7", at_ms, vectors.matrix, (rng.random(2000) < 0.1).astype(float))])
    with_data.send("models.grids", make_grid(press, vectors.matrix))
    sending(with_data.cluster, dataset, later_ms=1000)

    with with_data.working():
        with_data.ask("r1", pipeline="press/1")
        done = with_data.wait_for("r1", "finished", "failed")

    assert done.action == "finished", done.why
    release = with_data.releases()["bearing/1"]
    content = open_store(with_data.config.store).get(bundle_name(release.bundle_sha256))
    assert pipeline_of(open_bundle(content, keys.keyring).grid) is press


def test_a_request_is_trained_once_however_often_it_comes_and_whoever_restarts(with_data):
    with with_data.working():
        with_data.ask("r1")
        with_data.ask("r1")
        with_data.wait_for("r1", "finished")
    with with_data.working():
        with_data.ask("r1")
        # Whoever has come to this one has come past the repeat.
        with_data.ask("r2", pipeline="tea/1")
        with_data.wait_for("r2", "failed")

    assert set(with_data.releases()) == {"bearing/1"}
    assert [note.action for note in with_data.notes("r1")].count("started") == 1


def test_a_better_or_equal_release_goes_as_far_as_the_policy_lets_it(with_data):
    with_data.config = replace(with_data.config, promote_to="production")
    with with_data.working():
        with_data.ask("r1")
        with_data.wait_for("r1", "finished")
        with_data.ask("r2")
        done = with_data.wait_for("r2", "finished")

    releases = with_data.releases()
    assert releases["bearing/1"].stage is ReleaseStage.ARCHIVED
    assert releases["bearing/2"].stage is ReleaseStage.PRODUCTION
    assert releases["bearing/1"].grid_id == releases["bearing/2"].grid_id
    assert "f1" in done.evidence["compared"]


def test_what_cannot_be_trained_fails_at_once_and_in_words(fleet):
    with fleet.working():
        fleet.ask("r1", data_to_ms=1)
        fleet.ask("r2", pipeline="tea/1")
        empty, unknown = fleet.wait_for("r1", "failed"), fleet.wait_for("r2", "failed")

    assert "no vectors to learn from: nothing was seen in the stretch" in empty.why
    assert "unknown pipeline 'tea/1'" in unknown.why
    assert fleet.releases() == {}


def test_a_request_waits_for_its_approval_and_holds_up_nobody(with_data):
    with_data.config = replace(with_data.config, approve=("drift",))
    with with_data.working():
        with_data.ask("r1", cause=TrainingCause.DRIFT)
        with_data.ask("r2", pipeline="tea/1")
        with_data.wait_for("r2", "failed")
        assert with_data.notes("r1") == []
        with_data.say("r1", "approve")
        with_data.wait_for("r1", "finished")

    assert set(with_data.releases()) == {"bearing/1"}


def test_a_cancelled_training_stops(with_data):
    with_data.config = replace(with_data.config, algorithms=slow(with_data))
    with with_data.working():
        with_data.ask("r1")
        with_data.wait_for("r1", "started")
        with_data.say("r1", "cancel")
        with_data.wait_for("r1", "cancelled", "finished")

    assert [note.action for note in with_data.notes("r1")][-1] == "cancelled"
    assert with_data.releases() == {}


def test_a_training_that_takes_too_long_is_given_up(with_data):
    with_data.config = replace(with_data.config, timeout_s=0.2, max_attempts=2)
    with with_data.working():
        with_data.ask("r1")
        failed = with_data.wait_for("r1", "failed")

    assert failed.why == "given up after 2 attempts"
    tried = [note for note in with_data.notes("r1") if note.action == "attempt_failed"]
    assert [note.why for note in tried] == ["not done after 0.2 s"] * 2
    assert with_data.releases() == {}


def test_sensors_at_fault_are_not_learned_from(with_data, machines, sending):
    matrix = machines.matrix.copy()
    matrix[machines.device == 0, 1] = float("nan")
    later_ms = 10 * 86_400_000
    sending(with_data.cluster, replace(machines, matrix=matrix), later_ms=later_ms)
    with with_data.working():
        from_ms, to_ms = int(machines.at_ms.min()) + later_ms, int(machines.at_ms.max()) + later_ms + 1
        with_data.ask("r1", data_from_ms=from_ms, data_to_ms=to_ms, excluded_devices=("machine-2",))
        done = with_data.wait_for("r1", "finished", "failed")

    rest = int((machines.device != 2).sum())
    assert f"from {rest} vectors, {rest} of them labelled" in done.why
    assert "left out for dead or stuck sensors: machine-0" in done.why


@pytest.mark.parametrize("source", ["env:NOT_SET", "file:/nowhere.pem", "none"])
def test_a_wrong_key_stops_the_worker_at_its_start(fleet, source):
    with pytest.raises(KeyFileError):
        run_trainer(
            fleet.cluster,
            replace(fleet.config, key=source),
            threading.Event(),
            environ={},
            folder=fleet.folder,
            clock_ms=lambda: 0,
        )


def test_no_key_is_no_default_key():
    with pytest.raises(TrainerError, match=r"trainer.key is ''"):
        TrainerConfig(key="", store="x", public_url="y")


def test_the_key_may_be_a_secret_of_the_environment(with_data, tmp_path):
    make_key(tmp_path / "other.pem")
    with_data.config = replace(with_data.config, key="env:SIGNING_KEY")
    with with_data.working({"SIGNING_KEY": (tmp_path / "other.pem").read_text()}):
        with_data.ask("r1")
        done = with_data.wait_for("r1", "finished", "failed", "attempt_failed")

    assert done.action == "finished", done.why


def slow(fleet) -> dict[str, str]:
    """What takes long enough to be caught at work."""
    return {fleet.own("bearing"): "autoencoder"}


WORKER = """
import sys, threading, time
from pathlib import Path
from schemas.cluster import Cluster
from trainer.worker import TrainerConfig, run_trainer
bootstrap, registry, prefix, key, folder, model = sys.argv[1:]
run_trainer(
    Cluster(bootstrap=bootstrap, registry_url=registry, prefix=prefix),
    TrainerConfig(
        key=key, store=f"{folder}/store", public_url="http://127.0.0.1:9/", backoff_s=0,
        algorithms={model: "autoencoder"},
    ),
    threading.Event(), environ={}, folder=Path(folder) / "jobs", clock_ms=lambda: time.time_ns() // 1_000_000,
)
"""


def test_a_killed_worker_leaves_nothing_half_and_its_successor_takes_the_request_up_again(with_data):
    cluster = with_data.cluster
    command = [sys.executable, "-c", WORKER, cluster.bootstrap, cluster.registry_url, cluster.prefix]
    command += [with_data.config.key, str(with_data.folder), with_data.own("bearing")]
    with_data.ask("r1")

    worker = subprocess.Popen(command)
    try:
        with_data.wait_for("r1", "progressed")
        (child,) = children_of(worker.pid)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()

    assert with_data.releases() == {}
    eventually(lambda: not is_alive(child), or_say="it outlived its worker")
    assert len(list((with_data.folder / "jobs").iterdir())) == 1
    with with_data.working():
        with_data.wait_for("r1", "finished")

    assert set(with_data.releases()) == {"bearing/1"}
    assert [note.action for note in with_data.notes("r1")].count("started") == 2
    assert len(open_store(with_data.config.store).sizes("bundles")) == 1
    assert list((with_data.folder / "jobs").iterdir()) == []


def test_of_two_workers_one_trains_and_the_other_succeeds_it(with_data):
    with with_data.working() as stop_the_first:
        with_data.ask("r1")
        with_data.wait_for("r1", "started")
        with with_data.working():
            with_data.wait_for("r1", "finished")
            stop_the_first()
            with_data.ask("r2", pipeline="tea/1")
            with_data.wait_for("r2", "failed")

    assert [note.action for note in with_data.notes("r1")].count("started") == 1
    assert [note.action for note in with_data.notes("r2")] == ["failed"]
    assert set(with_data.releases()) == {"bearing/1"}


def children_of(parent: int) -> list[int]:
    listed = subprocess.run(["ps", "--ppid", str(parent), "-o", "pid="], capture_output=True, text=True, check=True)
    return [int(line) for line in listed.stdout.split()]


def is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True
