"""What tests of workers ask for: a fleet's topics on the real cluster, a way to write them, and a way to read them."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import faust
import pytest
from confluent_kafka import Producer

from schemas import feeds
from schemas.cluster import Cluster
from schemas.feeds import Changed
from schemas.wire import Contract
from trust import Keyring, Kind, Signer, load_signer, make_key, pin


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    """The key of who may change policies."""
    make_key(tmp_path / "controller.pem")
    return load_signer(f"file:{tmp_path / 'controller.pem'}", environ={})


@pytest.fixture
def keyring(signer: Signer) -> Keyring:
    return Keyring(keys=(pin("controller", signer.public_key, Kind.POLICY),))


@pytest.fixture
def publish(cluster: Cluster) -> Callable[[str, Sequence[Any]], None]:
    """Write records to a topic; returns when the broker has them."""
    contract = Contract.connect(cluster)
    producer = Producer(cluster.producer_settings())

    def publish(topic: str, records: Sequence[Any]) -> None:
        for record in records:
            key, value = contract.encode(topic, record)
            producer.produce(cluster.named(topic), key=key, value=value)
        assert producer.flush(30) == 0

    return publish


@pytest.fixture
def found_on(cluster: Cluster) -> Callable[..., list[Any]]:
    """Read a topic from its start until there is enough; gives the records."""

    def found_on(topic: str, enough: Callable[[list[Any]], bool], *, within_s: float = 40.0) -> list[Any]:
        records: list[Any] = []
        deadline = time.monotonic() + within_s
        with feeds.follow(cluster, topic, from_ms=0) as feed:
            while not enough(records):
                assert time.monotonic() < deadline, f"{len(records)} records on {topic}: {records[-3:]}"
                records += [event.value for event in feed.poll(0.5) if isinstance(event, Changed)]
        return records

    return found_on


@pytest.fixture
def running() -> Callable[[faust.App], AbstractAsyncContextManager[faust.App]]:
    """A worker's app, from its start to its end."""

    @asynccontextmanager
    async def running(app: faust.App) -> AsyncIterator[faust.App]:
        await app.start()
        try:
            yield app
        finally:
            await app.stop()

    return running
