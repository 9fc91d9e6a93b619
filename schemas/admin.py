"""What a cluster has of our topics, asked for within a bounded time."""

import logging
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from schemas.cluster import Cluster
from schemas.errors import DriftlineError

__all__ = ["Admin", "BrokerAwayError", "BrokerNotReadyError", "BrokerRefusedError", "FoundTopic"]

log = logging.getLogger(__name__)

_AWAY = {
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.BROKER_NOT_AVAILABLE,
}
_NOT_READY = {
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.NOT_CONTROLLER,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
}


class BrokerAwayError(DriftlineError):
    """No broker answered in time; what was asked may be asked again."""

    def __init__(self, *, bootstrap: str, waited_s: float, reason: str) -> None:
        super().__init__(
            f"no Kafka broker answered at {bootstrap} within {waited_s:g} s ({reason})",
            hint="`driftline status` shows the local stack; --bootstrap or DRIFTLINE_BOOTSTRAP names another cluster",
        )
        self.bootstrap = bootstrap


class BrokerNotReadyError(BrokerAwayError):
    """A broker answered that it cannot say yet, as just after a topic was made or a leader was lost."""

    def __init__(self, *, asked: str, reason: str) -> None:
        DriftlineError.__init__(
            self, f"{asked}: the broker is not ready: {reason}", hint="it usually is, a second later"
        )


class BrokerRefusedError(DriftlineError):
    """A broker answered, and said no."""

    def __init__(self, *, asked: str, reason: str) -> None:
        super().__init__(f"{asked}: the broker refused: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTopic:
    """A topic as a cluster has it."""

    name: str
    # Given anew when a topic of the same name is made again.
    topic_id: str
    partitions: int
    replication: int
    # As Kafka names them, defaults included; empty where we may not ask for them.
    settings: Mapping[str, str] = field(default_factory=dict)


class Admin:
    """One connection for questions about topics; every call ends within `timeout_s`."""

    def __init__(self, cluster: Cluster, *, timeout_s: float = 10.0) -> None:
        self._bootstrap = cluster.bootstrap
        self._timeout_s = timeout_s
        self._last_error = ""
        # Quiet: what its log would repeat ten times a second is told once, in the error.
        settings: dict[str, Any] = {**cluster.client_settings(), "error_cb": self._note_error, "log_level": 2}
        self._client = AdminClient(settings)

    def brokers(self) -> int:
        """Return how many brokers the cluster has now."""
        future = self._client.describe_cluster(request_timeout=self._timeout_s)
        return len(self._answer(future, "describing the cluster").nodes)

    def topics(self, names: Iterable[str]) -> dict[str, FoundTopic]:
        """Return those of the topics that exist."""
        names = list(names)
        described = self.ask_for_topics(names)
        resources = {name: ConfigResource(ResourceType.TOPIC, name) for name in names}
        settings = self._client.describe_configs(list(resources.values()), request_timeout=self._timeout_s)
        found = {}
        for name in names:
            description = self._unless_unknown(described[name], f"describing topic {name}")
            if description is not None:
                found[name] = _found(name, description, self._settings_of(settings[resources[name]], name))
        return found

    def ask_for_topics(self, names: Iterable[str]) -> Mapping[str, "Future[Any]"]:
        """Ask, without waiting, for the descriptions of topics."""
        answers: Mapping[str, Future[Any]] = self._client.describe_topics(
            TopicCollection(list(names)), request_timeout=self._timeout_s
        )
        return answers

    def offsets(self, wanted: Mapping[Any, Any], **how: Any) -> dict[int, int]:
        """Return, by partition, the offsets that are asked for as `list_offsets` takes them."""
        found = {}
        for at, future in self.ask_for_offsets(wanted, **how).items():
            asked = f"asking for offsets of topic {at.topic}"
            try:
                found[at.partition] = int(self._answer(future, asked).offset)
            except _TopicUnknownError as unknown:
                raise BrokerNotReadyError(asked=asked, reason="the partition is not known yet") from unknown
        return found

    def ask_for_offsets(self, wanted: Mapping[Any, Any], **how: Any) -> Mapping[Any, "Future[Any]"]:
        """Ask, without waiting, for offsets."""
        answers: Mapping[Any, Future[Any]] = self._client.list_offsets(
            dict(wanted), request_timeout=self._timeout_s, **how
        )
        return answers

    def create(self, topics: Iterable[NewTopic]) -> list[str]:
        """Make the topics in one request and wait until brokers know them; return the names of the new ones."""
        wanted = list(topics)
        if not wanted:
            return []
        answers = self._client.create_topics(wanted, request_timeout=self._timeout_s)
        made = []
        for name, future in answers.items():
            try:
                self._answer(future, f"creating topic {name}")
            except _TopicExistsError:
                continue
            made.append(name)
        self._wait_until_known([topic.topic for topic in wanted])
        return made

    def _wait_until_known(self, names: list[str]) -> None:
        # The controller answers first; brokers learn of it a moment later.
        deadline_s = time.monotonic() + self._timeout_s
        while True:
            answers = self.ask_for_topics(names) if names else {}
            unknown = [name for name, future in answers.items() if self._unless_unknown(future, name) is None]
            if not unknown:
                return
            if time.monotonic() > deadline_s:
                raise BrokerNotReadyError(asked=f"making topic {unknown[0]}", reason="brokers do not know it yet")
            time.sleep(0.05)

    def _settings_of(self, future: "Future[Any]", name: str) -> dict[str, str]:
        try:
            entries = self._unless_unknown(future, f"reading the settings of topic {name}") or {}
        except BrokerRefusedError as refused:
            # A device may read its topic and yet not ask how it is kept.
            log.warning("topic settings unknown: topic=%s reason=%s", name, refused)
            return {}
        return {key: entry.value for key, entry in entries.items() if entry.value is not None}

    def _unless_unknown(self, future: "Future[Any]", asked: str) -> Any:
        try:
            return self._answer(future, asked)
        except _TopicUnknownError:
            return None

    def _answer(self, future: "Future[Any]", asked: str) -> Any:
        try:
            return future.result(timeout=self._timeout_s + 5)
        except KafkaException as error:
            raise self._understood(error.args[0], asked) from None
        except TimeoutError:
            raise self._away("no answer") from None

    def _understood(self, error: KafkaError, asked: str) -> DriftlineError:
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return _TopicUnknownError(asked=asked, reason=error.str())
        if error.code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return _TopicExistsError(asked=asked, reason=error.str())
        if error.code() in _NOT_READY:
            return BrokerNotReadyError(asked=asked, reason=error.str())
        if error.code() in _AWAY:
            return self._away(error.str())
        return BrokerRefusedError(asked=asked, reason=error.str())

    def _away(self, reason: str) -> BrokerAwayError:
        self._client.poll(0)
        return BrokerAwayError(bootstrap=self._bootstrap, waited_s=self._timeout_s, reason=self._last_error or reason)

    def _note_error(self, error: KafkaError) -> None:
        # Says why, where the answer itself only says that time ran out.
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._last_error = error.str().partition(" (after")[0]


class _TopicUnknownError(BrokerRefusedError):
    pass


class _TopicExistsError(BrokerRefusedError):
    pass


def _found(name: str, description: Any, settings: Mapping[str, str]) -> FoundTopic:
    return FoundTopic(
        name=name,
        topic_id=str(description.topic_id),
        partitions=len(description.partitions),
        replication=min((len(partition.replicas) for partition in description.partitions), default=0),
        settings=settings,
    )
