"""What a feed tells, in the order in which it happens."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

__all__ = ["Bad", "CaughtUp", "Changed", "Deleted", "Event", "Reason", "Restarted", "Skipped"]

T = TypeVar("T")


class Reason(StrEnum):
    """Why a feed could not go on from where it was."""

    # A topic of the same name was made again; the old one's records are gone.
    NEW_TOPIC = "new topic"
    # The reader was away for longer than the topic remembers what was forgotten.
    AWAY_TOO_LONG = "away too long"
    # The position is not on the topic: the log was cut, or partitions are read that were not read before.
    POSITION_GONE = "position gone"


@dataclass(frozen=True, slots=True)
class Changed(Generic[T]):
    """A key has a value: part of the state before the marker, news after it."""

    topic: str
    key: str
    value: T
    partition: int
    offset: int
    # Broker time of the append, on topics that stamp it.
    at_ms: int
    headers: tuple[tuple[str, bytes | None], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Deleted:
    """A key was forgotten; whoever never knew it may ignore this."""

    topic: str
    key: str
    partition: int
    offset: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Bad:
    """A record that could not be used; on a compacted topic the key's earlier value is stale."""

    topic: str
    key: str
    reason: str
    partition: int
    offset: int
    at_ms: int
    raw_key: bytes | None = field(repr=False)
    raw_value: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """The marker: all that was on the topic when the feed began has been told."""

    topic: str


@dataclass(frozen=True, slots=True)
class Restarted:
    """Everything told before is void; the topic's whole state follows, then the marker once more."""

    topic: str
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """Records of a plain log that were gone before they were read; at most as many as there are offsets between."""

    topic: str
    partition: int
    from_offset: int
    to_offset: int


Event = Changed[T] | Deleted | Bad | CaughtUp | Restarted | Skipped
