"""The ledger: all that a controller decides is written in Kafka transactions, and a former controller is fenced."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from operator import attrgetter
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from schemas.catalogue import Placement, topic_named
from schemas.cluster import Cluster
from schemas.drift_alert import DriftAlert
from schemas.errors import DriftlineError
from schemas.partition import partition_of
from schemas.rollouts import Command
from schemas.tracing import Context
from schemas.wire import Contract
from streams.rollouts.outbox import Write

__all__ = ["OUTPUTS", "FencedError", "Ledger", "LedgerError"]

Sign = Callable[[Sequence[Command]], Sequence[Command]]

_FENCED = {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
# What it writes; whoever makes a contract for it registers these beforehand.
OUTPUTS = (
    "rollouts.plans",
    "rollouts.status",
    "rollouts.devices",
    "rollouts.commands",
    "rollouts.leader",
    "fleet.devices",
    "drift.alerts",
    "audit.log",
    "dead-letters",
)


class LedgerError(DriftlineError):
    """A transaction came to nothing; nothing of it can be seen, and the controller has to restore what stands."""


class FencedError(LedgerError):
    """Another controller has taken over; this one may write nothing any more."""


@dataclass(slots=True)
class Ledger:
    """A transactional producer under the one id that all controllers of a prefix share."""

    cluster: Cluster
    contract: Contract
    sign: Sign
    # By which headers a record belongs to a trace.
    trace: Callable[[Write], Context] = lambda _write: ()
    timeout_s: float = 30.0
    _producer: Producer | None = None

    def open(self) -> None:
        """Fence whoever wrote before, and end what they left unfinished. Only then may anything be restored."""
        self._producer = Producer(
            {
                **self.cluster.producer_settings(),
                "transactional.id": self.cluster.named("rollouts-controller"),
                "transaction.timeout.ms": int(self.timeout_s * 1_000),
                "compression.type": "lz4",
                "linger.ms": 2,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        self._guarded(lambda producer: producer.init_transactions(self.timeout_s))

    def write(self, writes: Iterable[Write], digested: Mapping[tuple[str, int], int], inputs: Consumer) -> None:
        """Write records together with the offsets of what they follow from: all of it, or nothing."""
        writes = list(writes)
        commands = [write.record for write in writes if type(write.record) is Command]
        signed = iter(self.sign(commands) if commands else ())
        offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in digested.items()]
        self._guarded(lambda producer: self._transact(producer, writes, signed, offsets, inputs))

    def close(self) -> None:
        # Without a flush: what was not committed was not decided.
        self._producer = None

    def _transact(
        self,
        producer: Producer,
        writes: Sequence[Write],
        signed: Iterator[Command],
        offsets: list[TopicPartition],
        inputs: Consumer,
    ) -> None:
        producer.begin_transaction()
        # Topic by topic: what is encoded is on its way while the next one is.
        for topic, run in groupby(writes, key=attrgetter("topic")):
            for message in self._encoded(topic, list(run), signed):
                while True:
                    try:
                        producer.produce(**message)
                    except BufferError:
                        producer.poll(0.05)
                    else:
                        break
        if offsets:
            producer.send_offsets_to_transaction(offsets, inputs.consumer_group_metadata(), self.timeout_s)
        producer.commit_transaction(self.timeout_s)

    def _guarded(self, work: Callable[[Producer], None]) -> None:
        if self._producer is None:
            raise LedgerError("the ledger is closed")
        try:
            work(self._producer)
        except KafkaException as failed:
            error = failed.args[0]
            if error.code() in _FENCED:
                raise FencedError(f"another controller writes now: {error.str()}") from failed
            raise LedgerError(f"a transaction failed: {error.str()}") from failed

    def _encoded(self, name: str, writes: Sequence[Write], signed: Iterator[Command]) -> Iterator[dict[str, Any]]:
        topic, named = topic_named(name), self.cluster.named(name)
        records = [write.record for write in writes if write.record is not None]
        if topic.record is Command:
            records = list(islice(signed, len(records)))
        encoded = iter(self.contract.encode_all(name, records))
        for write in writes:
            key, value = (write.key.encode(), None) if write.record is None else next(encoded)
            message: dict[str, Any] = {"topic": named, "key": key, "value": value}
            if headers := self.trace(write):
                message["headers"] = list(headers)
            if topic.placement is Placement.SOURCE and isinstance(write.record, DriftAlert):
                # It has to stay where it was, whatever its key hashes to.
                message["partition"] = partition_of(write.record.subject, topic.partitions)
            yield message
