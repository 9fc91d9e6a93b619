"""The way to Kafka itself."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from edge_gateway.link import Failure, Origin, Settled, sending
from edge_gateway.schema_ids import SchemaIds
from edge_gateway.spool import Spooled
from schemas.canonical import canonical_json
from schemas.catalogue import topic_named
from schemas.cluster import Cluster
from schemas.codec import codec_of
from schemas.parcel import GATEWAY_TOPICS
from schemas.registry import Registry
from schemas.wire import body_header

__all__ = ["KafkaLink"]

_NEVER = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_MSG,
    KafkaError.INVALID_RECORD,
    KafkaError._INVALID_ARG,
}


class KafkaLink:
    """One Kafka producer with its schema ids; many gateways of one process may share it."""

    def __init__(self, cluster: Cluster, registry: Registry, settings: Mapping[str, Any] | None = None) -> None:
        self.cluster = cluster
        self._ids = SchemaIds(registry)
        for topic in GATEWAY_TOPICS:
            self._ids.want(self._subject(topic), canonical_json(codec_of(topic_named(topic).record).schema).decode())
        self._ids.start()
        self._producer = Producer(
            {
                **cluster.producer_settings(),
                "acks": "all",
                "enable.idempotence": True,
                "compression.type": "zstd",
                "linger.ms": 20,
                "delivery.timeout.ms": 30_000,
                "socket.keepalive.enable": True,
                "reconnect.backoff.max.ms": 10_000,
                "log_level": 2,
                **(settings or {}),
            }
        )

    @property
    def ready(self) -> bool:
        """The registry was asked; whether it answered is another matter."""
        return self._ids.asked.is_set()

    def send(self, record: Spooled, definition: str, origin: Origin, settled: Settled) -> None:
        value = body_header(self._ids.get(self._subject(record.topic), definition)) + record.body
        try:
            with sending(record) as trace:
                headers: list[tuple[str, str | bytes | None]] = [*_cloud_event(record, origin).items(), *trace]
            self._producer.produce(
                self.cluster.named(record.topic),
                key=record.key.encode(),
                value=value,
                headers=headers,
                on_delivery=lambda error, _message: settled(_failure(error)),
            )
        except BufferError:
            settled(Failure("the producer's queue is full"))
        except KafkaException as error:
            settled(_failure(error.args[0]))

    def poll(self, timeout_s: float = 0.0) -> None:
        self._producer.poll(timeout_s)

    def close(self, timeout_s: float) -> None:
        self._ids.close()
        self._producer.flush(timeout_s)

    def _subject(self, topic: str) -> str:
        return f"{self.cluster.named(topic)}-value"


def _failure(error: KafkaError | None) -> Failure | None:
    return None if error is None else Failure(error.str(), for_good=error.code() in _NEVER)


def _cloud_event(record: Spooled, origin: Origin) -> dict[str, str]:
    # CloudEvents' Kafka binding; the id is the same when a record goes out again.
    return {
        "ce_specversion": "1.0",
        "ce_type": f"driftline.{topic_named(record.topic).record.__name__}",
        "ce_source": origin.source,
        "ce_id": f"{origin.boot_id}/{record.id}",
        "content-type": "application/avro",
    }
