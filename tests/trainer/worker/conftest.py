"""A fleet of one test's own on the running cluster, with data to learn from and hands to ask for training."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas import feeds
from schemas.cluster import Cluster
from schemas.operators import AuditEntry, OperatorRequest
from schemas.release import ModelRelease
from schemas.sample import Label, Sample, SampledBecause
from schemas.training import TrainingCause, TrainingRequest
from schemas.wire import Contract
from trainer.data import Dataset
from trainer.publishing import Publisher
from trainer.worker import run_trainer
from trainer.worker.config import TrainerConfig

FAR_MS = 4_000_000_000_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Fleet:
    cluster: Cluster
    config: TrainerConfig
    folder: Path
    publisher: Publisher

    def send(self, topic: str, *records: Any) -> None:
        for start in range(0, len(records), 5_000):
            self.publisher.publish([(topic, record) for record in records[start : start + 5_000]])

    def ask(self, name: str, **changes: Any) -> TrainingRequest:
        facts: dict[str, Any] = {
            "request_id": name,
            "model": "bearing",
            "pipeline": "machine/1",
            "cause": TrainingCause.PERSON,
            "reason": "a test",
            "requested_ms": FAR_MS,
            "requested_by": "test",
            "data_from_ms": 0,
            "data_to_ms": FAR_MS,
        }
        request = TrainingRequest(**{**facts, **changes})
        self.send("training.requests", request)
        return request

    def say(self, name: str, action: str) -> None:
        asked = OperatorRequest(
            request_id=str(uuid.uuid4()), subject=f"training/{name}", action=action, who="ann", why="", at_ms=now_ms()
        )
        self.send("operators.requests", asked)

    def notes(self, name: str) -> list[AuditEntry]:
        with feeds.follow(self.cluster, "audit.log", from_ms=0, until_current=True) as feed:
            entries = [event.value for event in feed if isinstance(event, feeds.Changed)]
        return [entry for entry in entries if entry.subject == f"training/{name}"]

    def requests(self) -> list[TrainingRequest]:
        with feeds.follow(self.cluster, "training.requests", from_ms=0, until_current=True) as feed:
            return [event.value for event in feed if isinstance(event, feeds.Changed)]

    def wait_for_request(self, by: str, timeout_s: float = 90) -> TrainingRequest:
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            found = [request for request in self.requests() if request.requested_by == by]
            if found:
                return found[0]
            time.sleep(0.3)
        raise AssertionError(f"{by} asked for nothing")

    def releases(self) -> dict[str, ModelRelease]:
        return feeds.snapshot(self.cluster, "models.releases")

    def wait_for(self, name: str, *actions: str, timeout_s: float = 90) -> AuditEntry:
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            found = [note for note in self.notes(name) if note.action in actions]
            if found:
                return found[-1]
            time.sleep(0.3)
        raise AssertionError(f"{name} never {actions}: {[(note.action, note.why) for note in self.notes(name)]}")

    @contextmanager
    def working(self, environ: dict[str, str] | None = None) -> Iterator[None]:
        """A worker in a thread of its own."""
        stop, troubles = threading.Event(), []

        def work() -> None:
            try:
                run_trainer(
                    self.cluster,
                    self.config,
                    stop,
                    environ=environ or {},
                    folder=self.folder / "jobs",
                    clock_ms=now_ms,
                )
            except BaseException as error:
                troubles.append(error)
                raise

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(60)
        assert not troubles
        assert not thread.is_alive()


@pytest.fixture
def fleet(cluster, keys, tmp_path) -> Iterator[Fleet]:
    config = TrainerConfig(
        key=keys.source, store=str(tmp_path / "store"), public_url="http://127.0.0.1:9/", cool_down_s=0, backoff_s=0.1
    )
    publisher = Publisher(cluster, Contract.connect(cluster), name="test").start()
    yield Fleet(cluster, config, tmp_path, publisher)
    publisher.close()


@pytest.fixture
def with_data(fleet: Fleet, machines: Dataset) -> Fleet:
    """The fleet, after its gateways have sent what three machines saw, and somebody has labelled it."""
    send_dataset(fleet, machines)
    return fleet


def send_dataset(fleet: Fleet, data: Dataset) -> None:
    rng = np.random.default_rng(0)
    samples, labels = [], []
    for row in range(len(data)):
        prediction = str(uuid.UUID(bytes=rng.bytes(16)))
        device = data.devices[data.device[row]]
        samples.append(
            Sample(
                device_id=device,
                prediction_id=prediction,
                model_id="bearing/0",
                pipeline=data.pipeline,
                at_ms=int(data.at_ms[row]),
                features=data.matrix[row].tobytes(),
                score=0.5,
                anomaly=False,
                confidence=0.5,
                because=SampledBecause.UNIFORM,
            )
        )
        labels.append(
            Label(
                device_id=device,
                prediction_id=prediction,
                value=float(data.label[row]),
                at_ms=int(data.at_ms[row]) + 1,
                by="test",
            )
        )
    fleet.send("telemetry.samples", *samples)
    fleet.send("telemetry.labels", *labels)


@pytest.fixture
def sending() -> Callable[[Fleet, Dataset], None]:
    return send_dataset
