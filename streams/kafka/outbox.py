"""Records on their way: encoded as the contract says, and delivered before anybody goes on."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from schemas.cluster import Cluster
from schemas.wire import Contract
from streams.kafka.producer import BatchProducer, Outgoing

__all__ = ["Outbox"]


class Outbox:
    """Where a worker puts its records; `topics` are those that it reads or writes, by their names without prefix."""

    def __init__(self, cluster: Cluster, topics: Sequence[str], *, cache_dir: Path | None = None) -> None:
        self._cluster, self._topics, self._cache_dir = cluster, topics, cache_dir
        self._producer = BatchProducer(cluster.bootstrap, settings=dict(cluster.security))
        self._connecting = asyncio.Lock()
        self._contract: Contract | None = None

    async def connect(self) -> Contract:
        """Have the registry know all topics' schemas; once, however often it is asked for."""
        async with self._connecting:
            if self._contract is None:
                self._contract = await asyncio.to_thread(self._registered)
        return self._contract

    @property
    def contract(self) -> Contract:
        """What `connect` has found."""
        assert self._contract is not None  # noqa: S101  (`connect` comes first)
        return self._contract

    def packed(
        self, topic: str, record: Any, *, partition: int = -1, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Outgoing:
        """Return a record, ready to be delivered; without a `partition` its key chooses one."""
        key, value = self.contract.encode(topic, record)
        return Outgoing(self._cluster.named(topic), key, value, headers=headers, partition=partition)

    def framed(self, topic: str, bodies: Iterable[tuple[str, bytes]]) -> Iterator[Outgoing]:
        """Yield records whose bodies are written already, with today's schema, each with its key."""
        name, header = self._cluster.named(topic), self.contract.header_of(topic)
        for key, body in bodies:
            yield Outgoing(name, key.encode(), header + body)

    async def deliver(self, packed: Iterable[Outgoing]) -> None:
        """Return when Kafka has all of it."""
        await self._producer.deliver(packed)

    async def send(self, topic: str, records: Sequence[Any], *, partition: int = -1) -> None:
        """Pack records of one topic, and return when Kafka has them."""
        if records:
            packed = await asyncio.to_thread(
                lambda: [self.packed(topic, record, partition=partition) for record in records]
            )
            await self.deliver(packed)

    def _registered(self) -> Contract:
        contract = Contract.connect(self._cluster, cache_dir=self._cache_dir)
        contract.register_all(self._topics)
        return contract
