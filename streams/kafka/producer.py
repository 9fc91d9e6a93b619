"""Writing a batch of records and waiting until Kafka has every one of them."""

import asyncio
from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from prometheus_client import Counter

from streams.kafka.errors import DeliveryError

__all__ = ["BatchProducer", "Outgoing"]

DELIVERED = Counter("driftline_worker_delivered_records", "Records that Kafka has, dead letters among them.", ["topic"])


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record on its way; without a `partition` its key chooses one."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int = -1


class BatchProducer:
    """A librdkafka producer for agents that ack a run only after its results are safe.

    >>> producer = BatchProducer("127.0.0.1:9092")  # doctest: +SKIP
    >>> await producer.deliver([Outgoing("drift.scores", b"pump-7", score)])  # doctest: +SKIP
    """

    def __init__(
        self, bootstrap: str, *, give_up_after_s: float = 120.0, settings: Mapping[str, Any] | None = None
    ) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                # The partitioner of the Java clients and of aiokafka; librdkafka's own sends most keys elsewhere.
                "partitioner": "murmur2_random",
                "acks": "all",
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 5,
                "delivery.timeout.ms": int(give_up_after_s * 1000),
                **(settings or {}),
            }
        )

    async def deliver(self, records: Iterable[Outgoing]) -> None:
        """Return when Kafka has all of `records`; raise `DeliveryError` if it will not have some.

        Records of one key arrive in the order given. The event loop stays free meanwhile.
        """
        batch = list(records)
        if batch:
            await asyncio.to_thread(self._deliver, batch)

    async def close(self) -> None:
        """Wait for what is still on its way."""
        await asyncio.to_thread(self._producer.flush)

    def _deliver(self, batch: Sequence[Outgoing]) -> None:
        # Callbacks run in whichever thread polls, perhaps that of another batch; appending is safe in all of them.
        outcomes: list[tuple[Outgoing, KafkaError | None]] = []
        for record in batch:
            try:
                self._produce(record, outcomes)
            except KafkaException as error:
                outcomes.append((record, error.args[0]))
        while len(outcomes) < len(batch):
            # All is there, so nothing is gained by waiting for more to send with it.
            self._producer.flush(0.01)
        failed = [(record, error) for record, error in outcomes if error is not None]
        for topic, count in Tally(record.topic for record, error in outcomes if error is None).items():
            DELIVERED.labels(topic).inc(count)
        if failed:
            raise DeliveryError(failed=failed, sent=len(batch))

    def _produce(self, record: Outgoing, outcomes: list[tuple[Outgoing, KafkaError | None]]) -> None:
        def note(error: KafkaError | None, _message: Message) -> None:
            outcomes.append((record, error))

        while True:
            try:
                self._producer.produce(
                    record.topic,
                    key=record.key,
                    value=record.value,
                    headers=list(record.headers),
                    partition=record.partition,
                    on_delivery=note,
                )
            except BufferError:
                # librdkafka's queue is full; room comes with deliveries.
                self._producer.poll(0.05)
            else:
                return
