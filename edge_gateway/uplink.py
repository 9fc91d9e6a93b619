"""The way up: what waits in the spool goes to Kafka, and is deleted there when Kafka has it.

It keeps four rules:

* a batch is settled, record by record, before the next one is taken, so order and bookkeeping stay simple;
* live records go first; what piled up in an outage follows at a bounded rate beside them;
* a failed batch is tried again after a pause that grows, with jitter, so that a fleet does not come back as one;
* a record that no broker will ever take is dropped, loudly, and does not stand in the way of others.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from edge_gateway.schema_ids import SchemaIds
from edge_gateway.spool import Spool, Spooled
from schemas.canonical import canonical_json
from schemas.catalogue import topic_named
from schemas.cluster import Cluster
from schemas.codec import codec_of
from schemas.errors import IncompatibleSchemaError, RegistryAwayError
from schemas.registry import Registry
from schemas.wire import body_header

__all__ = ["GATEWAY_TOPICS", "KafkaLink", "Uplink", "UplinkState"]

_log = logging.getLogger(__name__)

Settled = Callable[[KafkaError | None], None]

# What a gateway writes.
GATEWAY_TOPICS = (
    "telemetry.feature-stats",
    "telemetry.model-health",
    "telemetry.samples",
    "fleet.heartbeats",
    "rollouts.acks",
    "audit.log",
)

_FIRST_PAUSE_MS = 500
_LONGEST_PAUSE_MS = 60_000
# A batch that takes longer than this means an outage: what has piled up until it settles is backlog.
_OUTAGE_MS = 5_000
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
                **cluster.client_settings(),
                # The partitioner of Kafka's own clients; librdkafka's sends most keys elsewhere.
                "partitioner": "murmur2_random",
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

    def send(self, record: Spooled, definition: str, headers: Mapping[str, str], settled: Settled) -> None:
        """Hand a record over; `settled(error or None)` is called from `poll`. Raises `RegistryAwayError`."""
        value = body_header(self._ids.get(self._subject(record.topic), definition)) + record.body
        try:
            self._producer.produce(
                self.cluster.named(record.topic),
                key=record.key.encode(),
                value=value,
                headers=dict(headers),
                on_delivery=lambda error, _message: settled(error),
            )
        except BufferError:
            settled(KafkaError(KafkaError._QUEUE_FULL))
        except KafkaException as error:
            settled(error.args[0])

    def poll(self, timeout_s: float = 0.0) -> None:
        self._producer.poll(timeout_s)

    def close(self, timeout_s: float) -> None:
        self._ids.close()
        self._producer.flush(timeout_s)

    def _subject(self, topic: str) -> str:
        return f"{self.cluster.named(topic)}-value"


@dataclass(slots=True)
class UplinkState:
    """How the way up is doing."""

    sent: int = 0
    failures: int = 0
    last_error: str = ""
    # Since when nothing gets through; None while it does.
    away_since_ms: int | None = None


@dataclass(slots=True)
class _Batch:
    records: list[Spooled]
    begun_ms: int
    waiting: int
    delivered: list[Spooled] = field(default_factory=list)
    never: list[tuple[Spooled, str]] = field(default_factory=list)
    error: str = ""


class Uplink:
    """Empties one spool into a link; `pump` never blocks, so one thread may look after many."""

    def __init__(self, spool: Spool, link: KafkaLink, *, source: str, rng: Random) -> None:
        self.state = UplinkState()
        self._spool = spool
        self._link = link
        self._source = source
        self._rng = rng
        self._batch: _Batch | None = None
        self._backlog_up_to = spool.newest_id()
        self._backlog_tokens = 0.0
        self._tokens_at_ms: int | None = None
        self._pause_ms = 0
        self._not_before_ms = 0

    @property
    def idle(self) -> bool:
        return self._batch is None

    @property
    def empty(self) -> bool:
        return self._spool.depth().records == 0

    def pump(self, now_ms: int) -> None:
        """Settle what was delivered, and send more."""
        if self._batch is not None:
            if self._batch.waiting:
                return
            self._settle(self._batch, now_ms)
        if self._batch is None and now_ms >= self._not_before_ms and self._link.ready:
            records = self._next(now_ms)
            if records:
                self._send(records, now_ms)

    def hurry(self) -> None:
        """Try at once, whatever the pause, as after a network came up."""
        self._not_before_ms = 0

    def _next(self, now_ms: int) -> list[Spooled]:
        batch = self._spool.config.batch
        records = self._spool.live(self._backlog_up_to, batch)
        rate = self._spool.config.backlog_per_s
        passed_ms = 0 if self._tokens_at_ms is None else max(now_ms - self._tokens_at_ms, 0)
        self._tokens_at_ms = now_ms
        self._backlog_tokens = min(self._backlog_tokens + passed_ms * rate / 1000, max(rate / 2, 1.0))
        allowed = min(int(self._backlog_tokens), batch - len(records))
        if allowed > 0:
            backlog = self._spool.backlog(self._backlog_up_to, allowed)
            self._backlog_tokens -= len(backlog)
            records += backlog
        return records

    def _send(self, records: list[Spooled], now_ms: int) -> None:
        batch = self._batch = _Batch(records, now_ms, waiting=len(records))
        for place, record in enumerate(records):
            try:
                self._link.send(record, self._spool.schema(record.schema), self._headers(record), _noter(batch, record))
            except (RegistryAwayError, IncompatibleSchemaError) as error:
                batch.waiting -= len(records) - place
                batch.error = str(error)
                return

    def _headers(self, record: Spooled) -> dict[str, str]:
        # CloudEvents' Kafka binding; the id is the same when a record goes out again.
        return {
            "ce_specversion": "1.0",
            "ce_type": f"driftline.{topic_named(record.topic).record.__name__}",
            "ce_source": self._source,
            "ce_id": f"{self._spool.boot_id}/{record.id}",
            "content-type": "application/avro",
        }

    def _settle(self, batch: _Batch, now_ms: int) -> None:
        self._batch = None
        self._spool.delete(batch.delivered)
        self.state.sent += len(batch.delivered)
        for record, why in batch.never:
            self._spool.give_up([record], why)
        if batch.error:
            self._fail(batch.error, now_ms)
        if batch.delivered:
            self._recover(batch, now_ms)

    def _fail(self, error: str, now_ms: int) -> None:
        if self.state.away_since_ms is None:
            self.state.away_since_ms = now_ms
            _log.warning("buffering: what is made waits in the spool; why=%s", error)
        self.state.failures += 1
        self.state.last_error = error
        self._pause_ms = min(max(self._pause_ms * 2, _FIRST_PAUSE_MS), _LONGEST_PAUSE_MS)
        self._not_before_ms = now_ms + int(self._pause_ms * self._rng.uniform(0.5, 1.0))

    def _recover(self, batch: _Batch, now_ms: int) -> None:
        if not batch.error:
            self._pause_ms = 0
            self._not_before_ms = 0
        if self.state.away_since_ms is not None or now_ms - batch.begun_ms > _OUTAGE_MS:
            since_ms = batch.begun_ms if self.state.away_since_ms is None else self.state.away_since_ms
            depth = self._spool.depth()
            _log.info("syncing: records=%d after-s=%.1f", depth.records, (now_ms - since_ms) / 1000)
            # All that waits now is backlog; what comes from here on is live.
            self._backlog_up_to = self._spool.newest_id()
            self.state.away_since_ms = None


def _noter(batch: _Batch, record: Spooled) -> Settled:
    def settled(error: KafkaError | None) -> None:
        batch.waiting -= 1
        if error is None:
            batch.delivered.append(record)
        elif error.code() in _NEVER:
            batch.never.append((record, error.str()))
        else:
            batch.error = error.str()

    return settled
