"""A fleet of one test's own on the running cluster, and hands to write to it."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from patience import PATIENCE_S, eventually

from schemas.admin import Admin
from schemas.catalogue import topic_named
from schemas.cluster import Cluster
from schemas.rollouts import Command
from schemas.topics import settings_on
from schemas.wire import Contract

COMMANDS = "rollouts.commands"


@dataclass
class Fleet:
    """Topics under a prefix, made as a test wants them, and records on them."""

    cluster: Cluster
    contract: Contract
    admin: AdminClient
    _producer: Producer = field(init=False)

    def __post_init__(self) -> None:
        self._producer = Producer({**self.cluster.producer_settings(), "linger.ms": 1})

    def make(self, name: str = COMMANDS, *, partitions: int = 2, **settings: Any) -> None:
        """Make a topic as the catalogue has it, but for `settings` (dots as underscores)."""
        config = settings_on(topic_named(name), brokers=1)
        config |= {key.replace("_", "."): str(value) for key, value in settings.items()}
        topic = NewTopic(self.cluster.named(name), partitions, 1, config=config)
        assert Admin(self.cluster, timeout_s=PATIENCE_S).create([topic]) == [topic.topic]

    def drop(self, name: str = COMMANDS) -> None:
        topic = self.cluster.named(name)
        self.admin.delete_topics([topic])[topic].result(PATIENCE_S)
        # The controller answers before the broker has put the log away.
        eventually(lambda: topic not in self.admin.list_topics(timeout=PATIENCE_S).topics)

    def put(self, *commands: Command, partition: int = -1) -> None:
        for command in commands:
            key, value = self.contract.encode(COMMANDS, command)
            self.put_raw(key, value, partition=partition)
        self.flush()

    def put_raw(
        self, key: bytes | str | None, value: bytes | None, *, name: str = COMMANDS, partition: int = -1
    ) -> None:
        while True:
            try:
                self._producer.produce(self.cluster.named(name), key=key, value=value, partition=partition)
                return
            except BufferError:
                self._producer.poll(0.1)

    def forget(self, *devices: str, partition: int = -1) -> None:
        for device in devices:
            self.put_raw(device, None, partition=partition)
        self.flush()

    def flush(self) -> None:
        assert self._producer.flush(PATIENCE_S) == 0

    def transaction(self, *commands: Command, commit: bool, partition: int = -1) -> None:
        producer = self.open_transaction(*commands, partition=partition)
        producer.commit_transaction(PATIENCE_S) if commit else producer.abort_transaction(PATIENCE_S)

    def open_transaction(self, *commands: Command, partition: int = -1) -> Producer:
        producer = Producer(
            {
                **self.cluster.producer_settings(),
                "transactional.id": f"t-{uuid.uuid4().hex}",
            }
        )
        producer.init_transactions(PATIENCE_S)
        producer.begin_transaction()
        for command in commands:
            key, value = self.contract.encode(COMMANDS, command)
            producer.produce(self.cluster.named(COMMANDS), key=key, value=value, partition=partition)
        assert producer.flush(PATIENCE_S) == 0
        return producer


@pytest.fixture
def cluster(bootstrap: str, registry_url: str, prefix: str) -> Cluster:
    """A cluster whose topics a test makes itself."""
    return Cluster(bootstrap=bootstrap, registry_url=registry_url, prefix=prefix)


@pytest.fixture
def fleet(cluster: Cluster) -> Fleet:
    return Fleet(cluster, Contract.connect(cluster), AdminClient(cluster.client_settings()))


@pytest.fixture
def command() -> Callable[..., Command]:
    def made(device_id: str, revision: int = 1) -> Command:
        return Command(
            device_id=device_id,
            revision=revision,
            rollout_id="r1",
            model_id="vibration/7",
            bundle_sha256="00" * 32,
            bundle_bytes=1,
            bundle_url="https://bundles.invalid/1",
            issued_ms=1_700_000_000_000,
            envelope="{}",
        )

    return made
