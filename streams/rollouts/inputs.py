"""What a controller reads, and from where it goes on."""

from collections.abc import Mapping

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.catalogue import topic_named
from schemas.cluster import Cluster

__all__ = ["LOGS", "STATE", "TELEMETRY", "Inputs"]

# Read once each, from where the last transaction left off.
LOGS = ("operators.requests", "models.releases", "rollouts.acks", "fleet.heartbeats")
# Read anew by each controller: it keeps what they add up to only in memory.
STATE = ("drift.alerts",)
# Read anew from the time at which the oldest watched stage began.
TELEMETRY = ("telemetry.model-health", "drift.scores")


class Inputs:
    """All partitions of all inputs, in one consumer that belongs to no group's assignment."""

    def __init__(self, cluster: Cluster, *, timeout_s: float = 10.0) -> None:
        self._cluster = cluster
        self._timeout_s = timeout_s
        self._names = {cluster.named(name): name for name in (*LOGS, *STATE, *TELEMETRY)}
        self.consumer = Consumer(
            {
                **cluster.client_settings(),
                "group.id": cluster.named("rollouts-inputs"),
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 50,
                "fetch.message.max.bytes": 4 * 1024**2,
            }
        )

    def committed(self) -> dict[tuple[str, int], int]:
        """Return the next offset of each log partition, by its topic's name without the prefix; unread ones lack."""
        asked = [self._at(name, number) for name in LOGS for number in range(topic_named(name).partitions)]
        found = self.consumer.committed(asked, timeout=self._timeout_s)
        return {(self._names[at.topic], at.partition): at.offset for at in found if at.offset >= 0}

    def begin(self, committed: Mapping[tuple[str, int], int], *, telemetry_from_ms: int | None) -> None:
        """Go on behind `committed`; telemetry from a time on, or from now."""
        assigned = [
            self._at(name, number, committed.get((name, number), OFFSET_BEGINNING))
            for name in LOGS
            for number in range(topic_named(name).partitions)
        ]
        assigned += [
            self._at(name, number, OFFSET_BEGINNING) for name in STATE for number in range(topic_named(name).partitions)
        ]
        telemetry = [
            self._at(name, number, OFFSET_END if telemetry_from_ms is None else telemetry_from_ms)
            for name in TELEMETRY
            for number in range(topic_named(name).partitions)
        ]
        if telemetry_from_ms is not None:
            telemetry = self.consumer.offsets_for_times(telemetry, timeout=self._timeout_s)
        self.consumer.assign([*assigned, *telemetry])

    def read(self, most: int, timeout_s: float) -> list[tuple[str, Message]]:
        """Return messages with their topics' names without the prefix."""
        read = []
        for message in self.consumer.consume(most, timeout_s):
            error = message.error()
            if error is None:
                read.append((self._names[str(message.topic())], message))
            elif error.fatal() or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise KafkaException(error)
        return read

    def close(self) -> None:
        self.consumer.close()

    def _at(self, name: str, number: int, offset: int = OFFSET_END) -> TopicPartition:
        return TopicPartition(self._cluster.named(name), number, offset)
