"""The part of a feed that talks to Kafka: a consumer without a group, and questions about the topic."""

import logging
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import OffsetSpec

from schemas.admin import Admin, FoundTopic
from schemas.catalogue import Topic
from schemas.cluster import Cluster
from schemas.feeds.errors import PositionError, TopicMissingError
from schemas.feeds.progress import Progress
from schemas.feeds.start import Facts
from schemas.topics import WrongCleanupError

__all__ = ["Checked", "Fetched", "Source"]

log = logging.getLogger(__name__)

_FIRST: Any = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_END: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]

_CONSUMER: Mapping[str, Any] = {
    # Needed by the library; nothing is ever committed or balanced in it.
    "group.id": "driftline-feeds",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "isolation.level": "read_committed",
    "enable.partition.eof": True,
    # A place that is gone is ours to judge.
    "auto.offset.reset": "error",
    "check.crcs": True,
    # What a reader may hold in memory that nobody has asked for yet, and how soon it asks for more.
    "queued.max.messages.kbytes": 16_384,
    "fetch.max.bytes": 8 * 1024**2,
    "fetch.queue.backoff.ms": 20,
    # Back within two seconds of a broker's return.
    "reconnect.backoff.max.ms": 2_000,
    # A broker that has just started may deny a topic that it is about to know; the default is five minutes.
    "topic.metadata.refresh.interval.ms": 10_000,
    "log_level": 2,
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one fetch gave; `drained_ms` is a moment before which nothing of it had yet arrived unread."""

    messages: list[Message]
    drained_ms: int


@dataclass(frozen=True, slots=True)
class Checked:
    """The topic as it was at `asked_ms`; without an id it was not there."""

    topic_id: str | None
    ends: Mapping[int, int]
    asked_ms: int


class Source:
    """One topic on one cluster. Not safe for use by several threads at once."""

    def __init__(
        self, cluster: Cluster, topic: Topic, *, partitions: Collection[int] | None, clock_ms: Callable[[], int]
    ) -> None:
        self.name = cluster.named(topic.name)
        self._cluster = cluster
        self._topic = topic
        self._wanted = None if partitions is None else frozenset(partitions)
        self._clock_ms = clock_ms
        self._admin = Admin(cluster, timeout_s=_ATTEMPT_S)
        self._consumer = Consumer({**_CONSUMER, **cluster.client_settings(), "error_cb": _note})
        self._drained_ms = 0
        self._check: _Check | None = None

    def facts(self) -> Facts:
        """Ask for all that a beginning needs; `BrokerAwayError` after a few seconds without an answer."""
        asked_ms = self._clock_ms()
        found = self._admin.topics([self.name]).get(self.name)
        if found is None:
            raise TopicMissingError(self.name, self._cluster.bootstrap)
        self._check_cleanup(found)
        partitions = self._partitions(found)
        life = found.settings.get("delete.retention.ms") or self._topic.settings().get("delete.retention.ms", "0")
        return Facts(
            topic=self._topic.name,
            topic_id=found.topic_id,
            low=self._offsets(dict.fromkeys(partitions, _FIRST)),
            high=self._offsets(dict.fromkeys(partitions, _END)),
            tombstone_life_ms=int(life),
            asked_ms=asked_ms,
        )

    def offsets_at(self, facts: Facts, from_ms: int) -> dict[int, int]:
        """Return each partition's first offset that the broker stamped at `from_ms` or later."""
        found = self._offsets(dict.fromkeys(facts.high, OffsetSpec.for_timestamp(from_ms)))
        # Nothing that young: begin at the end.
        return {partition: facts.high[partition] if at < 0 else at for partition, at in found.items()}

    def read_from(self, progress: Mapping[int, Progress]) -> None:
        self._consumer.assign([TopicPartition(self.name, number, at.next_offset) for number, at in progress.items()])
        self._drained_ms = self._clock_ms()
        self._check = None

    def fetch(self, *, at_most: int, timeout_s: float) -> Fetched:
        """Return what has arrived, waiting up to `timeout_s` for the first record."""
        first = self._consumer.poll(timeout_s)
        messages = [] if first is None else [first, *self._consumer.consume(at_most - 1, 0)]
        drained_ms = self._drained_ms
        if len(messages) < at_most:
            self._drained_ms = self._clock_ms()
        return Fetched(messages, drained_ms)

    def ask(self) -> None:
        """Ask, without waiting, whether the topic is still the same and where it ends; `answer` has it later."""
        if self._check is None:
            self._check = _Check(
                self._clock_ms(),
                self._admin.ask_for_topics([self.name])[self.name],
                self._ask_for_ends(),
            )

    def answer(self) -> Checked | None:
        """Return the answer to `ask` once it has come whole."""
        check = self._check
        if check is None or not check.done:
            return None
        self._check = None
        try:
            topic_id = str(check.topic.result().topic_id)
            return Checked(topic_id, {p: future.result().offset for p, future in check.ends.items()}, check.asked_ms)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return Checked(None, {}, check.asked_ms)
            log.debug("topic not checked: topic=%s reason=%s", self.name, error)
            return None

    def close(self) -> None:
        self._consumer.close()

    def _check_cleanup(self, found: FoundTopic) -> None:
        policy = found.settings.get("cleanup.policy")
        # A plain log that is compacted, or the other way round, would be misread without any sign of it.
        if policy is not None and policy != self._topic.cleanup.value:
            raise WrongCleanupError(topic=self.name, found=policy, wanted=self._topic.cleanup.value)

    def _partitions(self, found: FoundTopic) -> list[int]:
        there = range(found.partitions)
        if self._wanted is None:
            return list(there)
        absent = sorted(self._wanted - set(there))
        if absent:
            raise PositionError(f"partition {absent[0]} of {self.name}", f"one of 0 to {found.partitions - 1}")
        return sorted(self._wanted)

    def _offsets(self, wanted: Mapping[int, OffsetSpec]) -> dict[int, int]:
        at = {TopicPartition(self.name, partition): spec for partition, spec in wanted.items()}
        return self._admin.offsets(at, isolation_level=IsolationLevel.READ_COMMITTED)

    def _ask_for_ends(self) -> "dict[int, Future[Any]]":
        at = {TopicPartition(self.name, partition.partition): _END for partition in self._consumer.assignment()}
        asked = self._admin.ask_for_offsets(at, isolation_level=IsolationLevel.READ_COMMITTED) if at else {}
        return {partition.partition: future for partition, future in asked.items()}


# One question to a broker; short, so that a reader who is told to stop does so.
_ATTEMPT_S = 3.0


@dataclass(frozen=True, slots=True)
class _Check:
    asked_ms: int
    topic: "Future[Any]"
    ends: "Mapping[int, Future[Any]]"

    @property
    def done(self) -> bool:
        return self.topic.done() and all(future.done() for future in self.ends.values())


def _note(error: KafkaError) -> None:
    log.debug("kafka: %s", error.str())
