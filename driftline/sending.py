"""Putting a few records on their topics, and knowing that they are there."""

from collections.abc import Iterable
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from schemas.cluster import Cluster
from schemas.errors import DriftlineError
from schemas.wire import Contract

__all__ = ["send"]

_PATIENCE_S = 10.0


def send(cluster: Cluster, records: Iterable[tuple[str, Any]]) -> None:
    """Write records, each with the name of its topic; return when the brokers have them all."""
    contract = Contract.connect(cluster)
    producer = Producer({**cluster.producer_settings(), "enable.idempotence": True})
    refused: list[str] = []

    def note(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            refused.append(str(error.str()))

    for topic, record in records:
        key, value = contract.encode(topic, record)
        producer.produce(cluster.named(topic), key=key, value=value, on_delivery=note)
    if producer.flush(_PATIENCE_S):
        raise DriftlineError(f"Kafka at {cluster.bootstrap} did not take it within {_PATIENCE_S:g} s")
    if refused:
        raise DriftlineError(f"Kafka at {cluster.bootstrap} refused it: {refused[0]}")
