"""Records to Kafka from asyncio: one producer, one thread that polls it, and an answer for every record."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from schemas.cluster import Cluster
from streams.kafka.producer import Outgoing

__all__ = ["Delivery"]

_POLL_S = 0.1


class Delivery:
    """Hands records to Kafka; what Kafka does not take in time comes back, and stays with its sender."""

    def __init__(self, cluster: Cluster, settings: Mapping[str, Any] | None = None) -> None:
        self._producer = Producer(
            {
                **cluster.producer_settings(),
                "acks": "all",
                "enable.idempotence": True,
                "compression.type": "zstd",
                "linger.ms": 20,
                # Shorter than a gateway waits for its receipt.
                "delivery.timeout.ms": 15_000,
                "queue.buffering.max.kbytes": 64 * 1024,
                "log_level": 2,
                **(settings or {}),
            }
        )
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="delivery", daemon=True)
        self._thread.start()

    async def send(self, records: Sequence[Outgoing]) -> list[str]:
        """Return for each record why Kafka does not have it; empty: it has, on all replicas that must."""
        if not records:
            return []
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        answers: list[str | None] = [None] * len(records)
        left = [len(records)]

        def settle(place: int, error: KafkaError | None) -> None:
            answers[place] = "" if error is None else error.str()
            left[0] -= 1
            if not left[0] and not done.done():
                done.set_result(None)

        for place, record in enumerate(records):
            self._produce(loop, place, record, settle)
        await done
        return [answer or "" for answer in answers]

    def close(self, timeout_s: float = 5.0) -> None:
        self._stopped.set()
        self._thread.join()
        self._producer.flush(timeout_s)

    def _produce(self, loop: asyncio.AbstractEventLoop, place: int, record: Outgoing, settle: Any) -> None:
        try:
            self._producer.produce(
                record.topic,
                key=record.key,
                value=record.value,
                headers=list(record.headers),
                on_delivery=lambda error, _message: _on(loop, settle, place, error),
            )
        except BufferError:
            settle(place, KafkaError(KafkaError._QUEUE_FULL))
        except KafkaException as error:
            settle(place, error.args[0])

    def _poll(self) -> None:
        while not self._stopped.is_set():
            self._producer.poll(_POLL_S)


def _on(loop: asyncio.AbstractEventLoop, settle: Any, place: int, error: KafkaError | None) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(settle, place, error)
