"""What tests of workers ask for: a fleet's topics on the real cluster, a way to write them, and a way to read them."""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import faust
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from schemas import feeds
from schemas.catalogue import CATALOGUE
from schemas.cluster import Cluster
from schemas.feeds import Changed
from schemas.topics import create_missing
from schemas.wire import Contract


@pytest.fixture
def cluster(bootstrap: str, registry_url: str, prefix: str) -> Iterator[Cluster]:
    """A fleet of the test's own, with all its topics; they go with it, for a broker has room for so many only."""
    cluster = Cluster(bootstrap=bootstrap, registry_url=registry_url, prefix=prefix)
    create_missing(cluster)
    yield cluster
    AdminClient(cluster.client_settings()).delete_topics([cluster.named(name) for name in CATALOGUE])


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
