"""What tests of workers ask for: a fleet's topics on the real cluster, a way to write them, and a way to read them."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import faust
import pytest
from confluent_kafka import Producer
from feed_reading import records_on
from patience import PATIENCE_S

from schemas.cluster import Cluster
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
        assert producer.flush(PATIENCE_S) == 0

    return publish


@pytest.fixture
def found_on(cluster: Cluster) -> Callable[..., list[Any]]:
    """Read a topic from its start until there is enough; gives the records."""
    return partial(records_on, cluster)


@pytest.fixture
def noting(monkeypatch: pytest.MonkeyPatch) -> Callable[[type, str], list[tuple[Any, ...]]]:
    """Note what a method is called with from now on, in whichever worker of this process, once it has done its work."""

    def noting(owner: type, name: str) -> list[tuple[Any, ...]]:
        calls, method = [], getattr(owner, name)

        def noted(self: Any, *args: Any) -> Any:
            done = method(self, *args)
            calls.append(args)
            return done

        monkeypatch.setattr(owner, name, noted)
        return calls

    return noting


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
