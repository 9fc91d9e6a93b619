"""Topics, records and workers for the tests of bulk topics; all of it over a real broker."""

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import faust
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewTopic
from patience import PATIENCE_S, eventually

from schemas.admin import Admin
from schemas.cluster import Cluster

ROOT = Path(__file__).parents[3]
WORKER = Path(__file__).with_name("logging_worker.py")


@dataclass(frozen=True)
class Broker:
    """One test's corner of the broker."""

    bootstrap: str
    prefix: str

    def topic(self, *, partitions: int = 4, **config: str) -> str:
        name = f"{self.prefix}{uuid.uuid4().hex[:6]}"
        new = NewTopic(name, partitions, 1, config={key.replace("_", "."): value for key, value in config.items()})
        Admin(Cluster(bootstrap=self.bootstrap), timeout_s=PATIENCE_S).create([new])
        return name

    def group(self) -> str:
        return f"{self.prefix}{uuid.uuid4().hex[:6]}"

    def produce(self, topic: str, values: Sequence[bytes | None], *, partition: int = -1, **settings: object) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 20, **settings})
        for number, value in enumerate(values):
            while True:
                try:
                    producer.produce(topic, key=str(number), value=value, partition=partition)
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(PATIENCE_S) == 0

    def committed(self, group: str, topic: str, partitions: int) -> list[int]:
        """What the group has committed of each partition; -1001 where it has committed nothing."""
        with contextlib.closing(self.offsets_of(group)) as consumer:
            places = [TopicPartition(topic, number) for number in range(partitions)]
            found = consumer.committed(places, timeout=PATIENCE_S)
        return [position.offset for position in found]

    def offsets_of(self, group: str) -> Consumer:
        return Consumer({"bootstrap.servers": self.bootstrap, "group.id": group})

    def ends(self, topic: str, partitions: int) -> list[int]:
        with contextlib.closing(self.offsets_of("nobody")) as consumer:
            marks = [consumer.get_watermark_offsets(TopicPartition(topic, number)) for number in range(partitions)]
        return [high for _, high in marks]


@pytest.fixture
def broker(bootstrap: str, prefix: str) -> Broker:
    return Broker(bootstrap, prefix)


@pytest.fixture
def make_broker(prefix: str) -> Callable[[str], Broker]:
    """A corner of another broker."""
    return lambda bootstrap: Broker(bootstrap, prefix)


@contextlib.asynccontextmanager
async def running(app: faust.App) -> AsyncIterator[faust.App]:
    await app.start()
    try:
        yield app
    finally:
        await app.stop()


@pytest.fixture(name="running")
def running_fixture() -> Callable[[faust.App], contextlib.AbstractAsyncContextManager[faust.App]]:
    return running


class WorkLog:
    """What workers have written down as done: for each partition the offsets, in the order in which they were done."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = defaultdict(int)
        self.done: dict[int, list[int]] = defaultdict(list)
        self._seen: dict[int, set[int]] = defaultdict(set)
        self._front: dict[int, int] = defaultdict(int)

    def refresh(self) -> None:
        for path in sorted(self._folder.glob("*.work")):
            with path.open("rb") as file:
                file.seek(self._read[path])
                whole, _, _torn = file.read().rpartition(b"\n")
            if whole:
                self._read[path] += len(whole) + 1
            for line in whole.splitlines():
                partition, *offsets = map(int, line.split())
                self.done[partition] += offsets
                self._seen[partition].update(offsets)

    def front(self, partition: int) -> int:
        """All offsets before this one are done."""
        while self._front[partition] in self._seen[partition]:
            self._front[partition] += 1
        return self._front[partition]

    def count(self) -> int:
        """How many different offsets are done."""
        return sum(map(len, self._seen.values()))

    def repeated(self) -> int:
        return sum(map(len, self.done.values())) - self.count()


@dataclass
class Workers:
    """Worker processes that read one topic and write down what they have done."""

    broker: Broker
    folder: Path
    topic: str
    group: str
    settings: Mapping[str, str]

    def __post_init__(self) -> None:
        self.log = WorkLog(self.folder)
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, instance: str = "", **settings: str) -> subprocess.Popen[bytes]:
        name = f"{len(self._running)}-{instance or 'dynamic'}"
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "WORKER_BOOTSTRAP": self.broker.bootstrap,
            "WORKER_TOPIC": self.topic,
            "WORKER_GROUP": self.group,
            "WORKER_INSTANCE": instance,
            "WORKER_LOG": str(self.folder / f"{name}.work"),
            **{f"WORKER_{key.upper()}": value for key, value in {**self.settings, **settings}.items()},
        }
        with (self.folder / f"{name}.err").open("wb") as errors:
            process = subprocess.Popen([sys.executable, str(WORKER)], env=environment, stdout=errors, stderr=errors)
        self._running.append(process)
        return process

    def wait_for(self, count: int) -> None:
        eventually(
            lambda: [self.log.refresh()] and self.log.count() >= count,
            or_say=lambda: f"{self.log.count()} of {count} done\n{self.words()[-4000:]}",
        )

    def wait_until_working(self, number: int) -> None:
        """Wait until the worker that was started as the `number`-th, from 0, has done something."""
        eventually(
            lambda: any(path.stat().st_size for path in self.folder.glob(f"{number}-*.work")),
            or_say=lambda: self.words()[-4000:],
        )

    def words(self) -> str:
        """What the workers said."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.err")))

    def end(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()


@pytest.fixture
def workers(broker: Broker, tmp_path: Path) -> Iterator[Callable[..., Workers]]:
    """Makes `Workers` for a topic; they are ended with the test."""
    made: list[Workers] = []

    def make(topic: str, *, on: Broker = broker, **settings: str) -> Workers:
        folder = tmp_path / f"workers-{len(made)}"
        folder.mkdir()
        made.append(Workers(on, folder, topic, on.group(), settings))
        return made[-1]

    yield make
    for each in made:
        each.end()
