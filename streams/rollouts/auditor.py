"""The auditor: follows the audit log and signs what it has seen, every so often."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition
from securesystemslib.signer import Signer

from schemas import feeds
from schemas.catalogue import topic_named
from schemas.cluster import Cluster
from schemas.errors import DriftlineError
from schemas.operators import AuditCheckpoint
from schemas.wire import Contract
from streams.rollouts.auditing import Entry, Finding, Running, verify
from trust import Keyring, TrustError, open_record, sign_record

__all__ = ["Auditor", "read_checkpoints", "read_entries", "verify_log"]

log = logging.getLogger(__name__)

LOG, CHECKPOINTS = "audit.log", "audit.checkpoints"
MOST_MARKS = 5_000


class Auditor:
    """Publishes signed checkpoints of every partition; one of them is enough."""

    def __init__(
        self,
        cluster: Cluster,
        signers: Sequence[Signer],
        keyring: Keyring,
        *,
        every_s: float = 60.0,
        cache_dir: Path | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._cluster, self._signers, self._keyring = cluster, signers, keyring
        self._every_s, self._now_ms = every_s, now_ms
        self._contract = Contract.connect(cluster, cache_dir=cache_dir)
        self._stopping = threading.Event()

    def run(self) -> None:
        """Follow the log until `stop` is called; what was seen last is signed before it ends."""
        self._contract.register(CHECKPOINTS)
        running = self._resume()
        producer = Producer({**self._cluster.client_settings(), "enable.idempotence": True})
        consumer = _reader(self._cluster, [(number, one.next_offset) for number, one in running.items()])
        due = time.monotonic() + self._every_s
        try:
            while not self._stopping.is_set():
                for entry in _entries(consumer.consume(1_000, 0.2)):
                    running[entry.partition].add(entry)
                full = any(len(one.marks) >= MOST_MARKS for one in running.values())
                if full or time.monotonic() >= due:
                    self._publish(running, producer)
                    due = time.monotonic() + self._every_s
            self._publish(running, producer)
        finally:
            consumer.close()

    def stop(self) -> None:
        self._stopping.set()

    def _resume(self) -> dict[int, Running]:
        running = {number: Running(number) for number in range(topic_named(LOG).partitions)}
        for checkpoint in read_checkpoints(self._cluster, self._keyring):
            one = running[checkpoint.partition]
            if checkpoint.next_offset > one.next_offset:
                one.digest, one.next_offset = checkpoint.digest, checkpoint.next_offset
        return running

    def _publish(self, running: dict[int, Running], producer: Producer) -> None:
        for one in running.values():
            if not one.marks:
                continue
            signed = sign_record(one.checkpoint(self._now_ms()), self._signers)
            key, value = self._contract.encode(CHECKPOINTS, signed)
            producer.produce(self._cluster.named(CHECKPOINTS), key=key, value=value)
            log.info("checkpoint: partition=%d next_offset=%d", signed.partition, signed.next_offset)
        if producer.flush(30):
            raise DriftlineError("checkpoints could not be delivered within 30 s")


def verify_log(cluster: Cluster, keyring: Keyring, *, now_ms: int) -> tuple[list[Finding], int]:
    """Prove the audit log of a cluster; return what is wrong, and how many entries are covered."""
    return verify(
        read_entries(cluster),
        read_checkpoints(cluster, keyring),
        begins=_begins(cluster),
        forgotten_before_ms=now_ms - (topic_named(LOG).retention_ms or now_ms),
    )


def read_checkpoints(cluster: Cluster, keyring: Keyring) -> list[AuditCheckpoint]:
    """Return all checkpoints, as signed; one whose signature does not hold is an error, and names itself."""
    signed = []
    with feeds.follow(cluster, CHECKPOINTS, from_ms=0, until_current=True) as feed:
        for event in feed:
            if not isinstance(event, feeds.Changed):
                continue
            try:
                signed.append(open_record(event.value, keyring))
            except TrustError as refused:
                raise DriftlineError(
                    f"checkpoint at {CHECKPOINTS} partition {event.partition} offset {event.offset}: {refused}"
                ) from refused
    return signed


def read_entries(cluster: Cluster) -> Iterator[Entry]:
    """Yield the log as it now stands, partition by partition."""
    for number in range(topic_named(LOG).partitions):
        consumer = _reader(cluster, [(number, OFFSET_BEGINNING)])
        try:
            place = TopicPartition(cluster.named(LOG), number)
            _, end = consumer.get_watermark_offsets(place, timeout=10)
            at = 0
            while at < end:
                read = consumer.consume(1_000, 1.0)
                yield from _entries(read)
                # A transaction's end takes an offset and is no record: ask where the reading is.
                position = consumer.position([place])[0].offset
                at = max(at, position)
        finally:
            consumer.close()


def _begins(cluster: Cluster) -> dict[int, int]:
    """Return the oldest offset that each partition still keeps."""
    consumer = _reader(cluster, [])
    try:
        places = [TopicPartition(cluster.named(LOG), number) for number in range(topic_named(LOG).partitions)]
        return {place.partition: consumer.get_watermark_offsets(place, timeout=10)[0] for place in places}
    finally:
        consumer.close()


def _reader(cluster: Cluster, places: Sequence[tuple[int, int]]) -> Consumer:
    consumer = Consumer(
        {
            **cluster.client_settings(),
            "group.id": cluster.named("auditor"),
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.assign([TopicPartition(cluster.named(LOG), number, offset) for number, offset in places])
    return consumer


def _entries(messages: Sequence[Message]) -> Iterator[Entry]:
    for message in messages:
        number, offset = message.partition(), message.offset()
        if message.error() is None and number is not None and offset is not None:
            yield Entry(number, offset, _raw(message.key()), _raw(message.value()))


def _raw(content: str | bytes | None) -> bytes:
    return content.encode() if isinstance(content, str) else content or b""
