"""Dead letters of the webhook worker: on their topic before the record's offset is committed."""

import threading
from collections.abc import Callable

from confluent_kafka import Message, Producer

from schemas.cluster import Cluster
from schemas.dead_letter import dead_letter
from schemas.errors import DriftlineError
from schemas.wire import Contract

__all__ = ["Letters", "UndeliveredLetterError"]

TOPIC = "dead-letters"
PATIENCE_S = 30.0


class UndeliveredLetterError(DriftlineError):
    """A dead letter did not reach its topic; the record is read again."""


class Letters:
    """Used by the threads of all subscriptions."""

    def __init__(self, cluster: Cluster, contract: Contract, *, now_ms: Callable[[], int]) -> None:
        self._cluster, self._contract, self._now_ms = cluster, contract, now_ms
        self._one_at_a_time = threading.Lock()
        self._producer = Producer({**cluster.producer_settings(), "enable.idempotence": True})

    def open(self) -> None:
        """Register the schema now, so that no letter has to wait for it."""
        self._contract.register(TOPIC)

    def write(self, topic: str, message: Message, reason: str) -> None:
        """Return when the letter is on its topic."""
        letter = dead_letter(
            source_topic=topic,
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            key=_bytes(message.key()),
            value=_bytes(message.value()),
            reason=reason,
            found_by="webhooks",
            at_ms=self._now_ms(),
        )
        with self._one_at_a_time:
            written_key, written = self._contract.encode(TOPIC, letter)
            self._producer.produce(self._cluster.named(TOPIC), key=written_key, value=written)
            if self._producer.flush(PATIENCE_S):
                raise UndeliveredLetterError(f"a dead letter of {topic} was not delivered within {PATIENCE_S:g} s")


def _bytes(content: str | bytes | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content
