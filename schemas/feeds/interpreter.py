"""Kafka's messages as events: decoded, filtered and counted; what cannot be used becomes an event as well."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Message

from schemas.catalogue import Cleanup, Topic
from schemas.errors import BadRecordError
from schemas.feeds.events import Bad, Changed, Deleted
from schemas.wire import Contract

__all__ = ["Counts", "Interpreter"]


@dataclass(slots=True)
class Counts:
    """What a feed has met so far."""

    records: int = 0
    deletes: int = 0
    bad: int = 0
    filtered: int = 0
    restarts: int = 0
    # Offsets of plain logs that were gone before they were read.
    skipped: int = 0
    # Answers of brokers that were neither records nor the end of a log.
    troubles: int = 0
    waits_for_registry: int = 0


class Interpreter:
    """Reads one topic's messages for one reader."""

    def __init__(
        self,
        contract: Contract,
        topic: Topic,
        *,
        keys: Collection[str] | None,
        where: Callable[[Any], bool] | None,
        counts: Counts,
    ) -> None:
        self._decode = contract.decode
        self._topic = topic
        self._keys = None if keys is None else frozenset(key.encode() for key in keys)
        self._where = where
        self._counts = counts

    def event_of(self, message: Message) -> Changed[Any] | Deleted | Bad | None:
        """Return what a message tells, None where it was not asked for.

        `RegistryAwayError`: it cannot be told now; ask again with the same message.
        """
        key, value = message.key(), message.value()
        if self._keys is not None and key not in self._keys:
            self._counts.filtered += 1
            return None
        name, partition, offset = self._topic.name, message.partition() or 0, message.offset() or 0
        at_ms = message.timestamp()[1]
        try:
            text = _text(key)
            if value is None:
                return self._deleted(text, partition, offset, at_ms)
            record = self._decode(name, _as_bytes(key), _as_bytes(value) or b"")
        except BadRecordError as error:
            self._counts.bad += 1
            shown = (_as_bytes(key) or b"").decode(errors="replace")
            return Bad(name, shown, error.reason, partition, offset, at_ms, _as_bytes(key), _as_bytes(value))
        if self._where is not None and not self._where(record):
            self._counts.filtered += 1
            return None
        self._counts.records += 1
        return Changed(name, text, record, partition, offset, at_ms, _headers(message))

    def _deleted(self, key: str, partition: int, offset: int, at_ms: int) -> Deleted:
        if self._topic.cleanup is not Cleanup.COMPACT:
            raise BadRecordError("value", found="none", wanted="a record; this topic has no tombstones")
        self._counts.deletes += 1
        return Deleted(self._topic.name, key, partition, offset, at_ms)


def _text(key: str | bytes | None) -> str:
    if isinstance(key, str):
        return key
    try:
        return (key or b"\xff").decode()
    except UnicodeDecodeError:
        raise BadRecordError("key", found=repr(key), wanted="a text in UTF-8") from None


def _as_bytes(content: str | bytes | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content


def _headers(message: Message) -> tuple[tuple[str, bytes | None], ...]:
    found: Any = message.headers()
    return tuple(found) if found else ()
