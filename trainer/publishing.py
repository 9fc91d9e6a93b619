"""Writing to topics so that what belongs together is seen together, or not at all."""

from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaException, Producer

from schemas.catalogue import topic_named
from schemas.cluster import Cluster
from schemas.tracing import Context
from schemas.wire import Contract
from trainer.errors import TrainerError

__all__ = ["FencedError", "Publisher", "PublishingError"]

_PATIENCE_S = 60.0


class PublishingError(TrainerError):
    """Kafka did not take something; nothing of its transaction is seen."""


class FencedError(PublishingError):
    """Somebody with the same name writes now."""


class Publisher:
    """A transactional writer under a name; who starts later under the same name shuts the earlier one out.

    >>> publisher = Publisher(cluster, contract, name="trainer").start()  # doctest: +SKIP
    >>> publisher.publish([("models.baselines", baseline), ("models.releases", release)])  # doctest: +SKIP
    """

    def __init__(self, cluster: Cluster, contract: Contract, *, name: str) -> None:
        self._cluster = cluster
        self._contract = contract
        self._name = name
        self._producer = Producer(
            {
                **cluster.producer_settings(),
                "transactional.id": cluster.named(name),
                "transaction.timeout.ms": 60_000,
                "compression.type": "lz4",
                "linger.ms": 2,
            }
        )

    def start(self) -> "Publisher":
        """Shut out who wrote under this name before; what they had not finished is never seen."""
        try:
            self._producer.init_transactions(_PATIENCE_S)
        except KafkaException as error:
            raise PublishingError(f"{self._name} cannot begin to write: {error}") from error
        return self

    def publish(self, records: Sequence[tuple[str, Any]], *, trace: Context = ()) -> None:
        """Write (topic, record) pairs as one, each with the headers of `trace`; return when Kafka has them all."""
        # Encoding first: a record that does not fit opens no transaction.
        encoded = [(topic, *self._contract.encode(topic, record)) for topic, record in records]
        try:
            self._producer.begin_transaction()
            for topic, key, value in encoded:
                self._producer.produce(
                    self._cluster.named(topic_named(topic).name), key=key, value=value, headers=list(trace)
                )
            self._producer.commit_transaction(_PATIENCE_S)
        except KafkaException as error:
            raise self._trouble(error) from error

    def close(self) -> None:
        """Let go of the brokers; a transaction that is open is never seen."""
        self._producer.close()

    def _trouble(self, error: KafkaException) -> PublishingError:
        cause = error.args[0]
        if cause.fatal():
            return FencedError(f"another {self._name} has taken over: {cause.str()}")
        if cause.txn_requires_abort():
            self._producer.abort_transaction(_PATIENCE_S)
        return PublishingError(f"{self._name} could not write: {cause.str()}; nothing of it is seen")
