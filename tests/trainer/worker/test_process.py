"""The process that trains: started ahead, gone with its worker, and its end told whatever it was."""

import os
import uuid
from dataclasses import replace

import pytest
from patience import PATIENCE_S, eventually

from schemas.cluster import Cluster
from schemas.sample import Label, Sample, SampledBecause
from schemas.training import TrainingCause, TrainingRequest
from trainer.offline import OfflineStore
from trainer.offline.files import Stored
from trainer.offline.kinds import LABELS, SAMPLES
from trainer.worker.job import BUNDLE, JobOrder, Outcome
from trainer.worker.process import Job, Spare
from trust import revoke, write_keyring


@pytest.fixture
def order(machines, keys, tmp_path) -> JobOrder:
    """An order whose data lie offline, so that no broker is needed."""
    samples, labels = [], []
    for row in range(len(machines)):
        name, device = str(uuid.UUID(int=row)), machines.devices[machines.device[row]]
        facts = {"device_id": device, "prediction_id": name, "at_ms": int(machines.at_ms[row])}
        sample = Sample(
            **facts,
            model_id="bearing/0",
            pipeline=machines.pipeline,
            features=machines.matrix[row].tobytes(),
            score=0.5,
            anomaly=False,
            confidence=0.5,
            because=SampledBecause.UNIFORM,
        )
        samples.append(Stored(0, 0, row, sample))
        labels.append(Stored(0, 0, row, Label(**facts, value=float(machines.label[row]), by="test")))
    store = OfflineStore(tmp_path / "offline")
    store.add(SAMPLES, samples)
    store.add(LABELS, labels)
    request = TrainingRequest(
        request_id="r1",
        model="bearing",
        pipeline="machine/1",
        cause=TrainingCause.PERSON,
        reason="a test",
        requested_ms=int(machines.at_ms.max()) + 1,
        requested_by="test",
        data_from_ms=0,
        data_to_ms=int(machines.at_ms.max()) + 1,
    )
    (tmp_path / "job").mkdir()
    return JobOrder(
        request=request,
        version="1",
        algorithm="isolation_forest",
        key=keys.source,
        cluster=Cluster(bootstrap="127.0.0.1:9", registry_url="http://127.0.0.1:9"),
        folder=tmp_path / "job",
        offline=tmp_path / "offline",
    )


def outcome_of(job: Job) -> Outcome:
    return eventually(job.outcome, 2 * PATIENCE_S, "the job never ended")


def test_a_process_that_waited_trains_from_the_offline_store(order, trained):
    job = Job(order, Spare(os.environ), started_ms=0, attempt=1)

    outcome = outcome_of(job)

    assert (outcome.failed, outcome.refused) == ("", "")
    assert outcome.rows == outcome.labels == 9_000
    assert (order.folder / BUNDLE).stat().st_size > 10_000


def test_a_champion_whose_key_was_revoked_hinders_no_successor(order, trained, keys, tmp_path):
    (tmp_path / "champion.bundle").write_bytes(trained.content)
    write_keyring(tmp_path / "keyring.json", revoke(keys.keyring, keys.signer.public_key.keyid, why="leaked"))
    told = replace(order, champion=tmp_path / "champion.bundle", keyring=tmp_path / "keyring.json")

    outcome = outcome_of(Job(told, Spare(os.environ), started_ms=0, attempt=1))

    assert (outcome.failed, outcome.refused, outcome.not_worse) == ("", "", None)
    assert outcome.compared.startswith("the bundle in production cannot be compared with:")
    assert "leaked" in outcome.compared


def test_a_process_that_waits_ends_with_its_worker():
    spare = Spare(os.environ)

    # As the kernel does for a worker that was killed.
    spare.process.stdin.close()

    assert spare.process.wait(PATIENCE_S) == 0
    spare.close()


def test_a_process_that_died_while_it_waited_is_told_as_a_failure(order):
    spare = Spare(os.environ)
    spare.process.kill()
    spare.process.wait()

    outcome = outcome_of(Job(order, spare, started_ms=0, attempt=1))

    assert outcome.failed == "the training process was killed by signal 9"


def test_the_last_words_of_a_crash_are_told(order):
    spare = Spare({**os.environ, "PYTHONHASHSEED": "x"})

    outcome = outcome_of(Job(order, spare, started_ms=0, attempt=1))

    assert outcome.failed.startswith("the training process ended with code 1: Python runtime state")


def test_a_full_disk_in_mid_training_is_a_failed_attempt_that_names_the_file(order, no_room):
    outcome = outcome_of(Job(order, Spare(os.environ), started_ms=0, attempt=1))

    assert "File too large" in outcome.failed
    assert str(order.folder / BUNDLE) in outcome.failed
    assert not outcome.refused
    assert [path.name for path in order.folder.iterdir()] == ["outcome.json"]
