"""A fleet on the running cluster, with data to learn from and hands to ask for training.

Most tests share its topics, which is what takes time to make and fill; each has names of its own on them.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka.admin import AdminClient
from patience import PATIENCE_S, eventually

from schemas import feeds
from schemas.catalogue import CATALOGUE
from schemas.cluster import Cluster
from schemas.operators import AuditEntry, OperatorRequest
from schemas.release import ModelRelease
from schemas.sample import Label, Sample, SampledBecause
from schemas.topics import create_missing
from schemas.training import TrainingCause, TrainingRequest
from schemas.wire import Contract
from trainer.data import Dataset
from trainer.publishing import Publisher
from trainer.worker import run_trainer
from trainer.worker.config import TrainerConfig

FAR_MS = 4_000_000_000_000
# The fifty minutes that machines were seen for end before this; what a test adds to them comes later.
SEEN_BEFORE_MS = 1_767_571_200_000 + 86_400_000
# What a trainer reads and writes; a whole fleet's topics take the broker longer to make.
TOPICS = (
    "audit.checkpoints",
    "audit.log",
    "dead-letters",
    "drift.alerts",
    "models.baselines",
    "models.grids",
    "models.releases",
    "operators.requests",
    "telemetry.labels",
    "telemetry.samples",
    "training.requests",
)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Fleet:
    """One test's share of the topics: requests and models that it names are told apart by its mark."""

    cluster: Cluster
    config: TrainerConfig
    folder: Path
    publisher: Publisher
    mark: str
    _notes: list[AuditEntry] = field(default_factory=list)
    _log: feeds.Feed[Any] | None = None

    def own(self, name: str) -> str:
        return f"{name}-{self.mark}"

    def send(self, topic: str, *records: Any) -> None:
        for start in range(0, len(records), 5_000):
            self.publisher.publish([(topic, record) for record in records[start : start + 5_000]])

    def ask(self, name: str, *, model: str = "bearing", **changes: Any) -> TrainingRequest:
        facts: dict[str, Any] = {
            "request_id": self.own(name),
            "model": self.own(model),
            "pipeline": "machine/1",
            "cause": TrainingCause.PERSON,
            "reason": "a test",
            "requested_ms": FAR_MS,
            "requested_by": "test",
            "data_from_ms": 0,
            "data_to_ms": SEEN_BEFORE_MS,
        }
        request = TrainingRequest(**{**facts, **changes})
        self.send("training.requests", request)
        return request

    def say(self, name: str, action: str) -> None:
        subject = f"training/{self.own(name)}"
        asked = OperatorRequest(
            request_id=str(uuid.uuid4()), subject=subject, action=action, who="ann", why="", at_ms=now_ms()
        )
        self.send("operators.requests", asked)

    def notes(self, name: str) -> list[AuditEntry]:
        """What the log says by now of a request, be it one of this test's or one that the desk named."""
        if self._log is None:
            self._log = feeds.follow(self.cluster, "audit.log", from_ms=0).open()
        read = True
        while read or not self._log.current:
            read = self._log.poll(0.05)
            self._notes += [event.value for event in read if isinstance(event, feeds.Changed)]
        subjects = (f"training/{self.own(name)}", f"training/{name}")
        return [entry for entry in self._notes if entry.subject in subjects]

    def wait_for_requests(self, by: str) -> list[TrainingRequest]:
        """What somebody has asked for of this test's models, as soon as there is anything."""

        def found() -> list[TrainingRequest]:
            with feeds.follow(self.cluster, "training.requests", from_ms=0, until_current=True) as feed:
                asked = [event.value for event in feed if isinstance(event, feeds.Changed)]
            return [one for one in asked if one.requested_by == by and one.model.endswith(f"-{self.mark}")]

        return eventually(found, or_say=f"{by} asked for nothing")

    def releases(self) -> dict[str, ModelRelease]:
        """The releases of this test's models, without its mark."""
        found = feeds.snapshot(self.cluster, "models.releases")
        own = {name: one for name, one in found.items() if one.model.endswith(f"-{self.mark}")}
        return {name.replace(f"-{self.mark}/", "/"): one for name, one in own.items()}

    def wait_for(self, name: str, *actions: str) -> AuditEntry:
        # A training computes all the while.
        found = eventually(
            lambda: [note for note in self.notes(name) if note.action in actions],
            2 * PATIENCE_S,
            lambda: f"{name} never {actions}: {[(note.action, note.why) for note in self.notes(name)]}",
        )
        return found[-1]

    @contextmanager
    def working(self, environ: dict[str, str] | None = None) -> Iterator[Callable[[], None]]:
        """A worker in a thread of its own; gives what stops it."""
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

        def end() -> None:
            stop.set()
            thread.join(PATIENCE_S)

        thread.start()
        try:
            yield end
        finally:
            end()
        assert not troubles
        assert not thread.is_alive()

    def close(self) -> None:
        if self._log is not None:
            self._log.close()
        self.publisher.close()


@pytest.fixture(scope="session")
def shared_cluster(bootstrap, registry_url) -> Iterator[Cluster]:
    cluster = Cluster(bootstrap=bootstrap, registry_url=registry_url, prefix=f"t-{uuid.uuid4().hex[:8]}-")
    create_missing(cluster, catalogue=[CATALOGUE[name] for name in TOPICS])
    yield cluster
    admin = AdminClient(cluster.client_settings())
    for future in admin.delete_topics([cluster.named(name) for name in TOPICS]).values():
        future.result(PATIENCE_S)


@pytest.fixture(scope="session")
def shared_with_data(shared_cluster, machines) -> Cluster:
    """The topics, after gateways have sent what three machines saw, and somebody has labelled it."""
    send_dataset(shared_cluster, machines)
    return shared_cluster


@pytest.fixture
def fleet_on(keys, tmp_path) -> Iterator[Callable[[Cluster], Fleet]]:
    made = []

    def make(cluster: Cluster) -> Fleet:
        mark = uuid.uuid4().hex[:6]
        config = TrainerConfig(
            key=keys.source,
            store=str(tmp_path / "store"),
            public_url="http://127.0.0.1:9/",
            cool_down_s=0,
            backoff_s=0.1,
            # The quickest to learn; tests that mean another say so.
            algorithms={f"bearing-{mark}": "logistic"},
        )
        publisher = Publisher(cluster, Contract.connect(cluster), name=f"test-{mark}").start()
        made.append(Fleet(cluster, config, tmp_path, publisher, mark))
        return made[-1]

    yield make
    for fleet in made:
        fleet.close()


@pytest.fixture
def fleet(fleet_on, shared_cluster) -> Fleet:
    return fleet_on(shared_cluster)


@pytest.fixture
def with_data(fleet_on, shared_with_data) -> Fleet:
    return fleet_on(shared_with_data)


def send_dataset(cluster: Cluster, data: Dataset, *, later_ms: int = 0) -> None:
    """Have the data seen and labelled, so much later than they were."""
    rng = np.random.default_rng(later_ms)
    samples, labels = [], []
    for row in range(len(data)):
        at_ms = int(data.at_ms[row]) + later_ms
        about = {"device_id": data.devices[data.device[row]], "prediction_id": str(uuid.UUID(bytes=rng.bytes(16)))}
        sample = Sample(
            **about,
            model_id="bearing/0",
            pipeline=data.pipeline,
            at_ms=at_ms,
            features=data.matrix[row].tobytes(),
            score=0.5,
            anomaly=False,
            confidence=0.5,
            because=SampledBecause.UNIFORM,
        )
        samples.append(("telemetry.samples", sample))
        labels.append(("telemetry.labels", Label(**about, value=float(data.label[row]), at_ms=at_ms + 1, by="test")))
    publisher = Publisher(cluster, Contract.connect(cluster), name="gateways").start()
    publisher.publish(samples)
    publisher.publish(labels)
    publisher.close()


@pytest.fixture
def sending() -> Callable[..., None]:
    return send_dataset
