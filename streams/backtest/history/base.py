"""What all histories have in common: topics, cut into shares that can be read side by side."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from schemas.catalogue import topic_named
from schemas.columns import GridShape
from schemas.errors import BadRecordError
from schemas.stats_run import Sorted
from streams.backtest.history.block import Block
from streams.backtest.history.entry import Entry, made
from streams.backtest.span import Span, told_moment

__all__ = ["Extent", "History", "Share", "StatsBatch", "records_of", "state_of"]

ShapeOf = Callable[[str], GridShape | None]


@dataclass(frozen=True, slots=True)
class Extent:
    """What there is of a topic; the last moment is that of the last record known without reading all of it."""

    records: int
    first_ms: int
    last_ms: int

    def __str__(self) -> str:
        if not self.records:
            return "nothing"
        return f"about {self.records:,} records, {told_moment(self.first_ms)} to {told_moment(self.last_ms)}"


@dataclass(frozen=True, slots=True)
class Share:
    """One partition's part of a topic within a span."""

    topic: str
    partition: int
    span: Span
    # An upper bound: what blocks or offsets hold.
    records: int
    # On a cluster: offsets, the second exclusive. In files: the blocks.
    start: int = 0
    end: int = 0
    blocks: tuple[Block, ...] = ()
    # Only what lies behind this offset.
    after: int = -1


@dataclass(frozen=True, slots=True)
class StatsBatch:
    """A run of feature statistics in columns; positions in `sorted` are places in the other two."""

    offsets: npt.NDArray[np.int64]
    at_ms: npt.NDArray[np.int64]
    sorted: Sorted = field(default_factory=Sorted)


class History(Protocol):
    """A past that can be read again. May be sent to another process."""

    # What could not be read so far, in words; each is said once.
    troubles: list[str]

    @property
    def name(self) -> str:
        """Return what to call it."""

    def topics(self) -> list[str]:
        """Return the topics of which there is something."""

    def extent(self, topic: str) -> Extent:
        """Say what there is of a topic."""

    def shares(self, topic: str, span: Span) -> list[Share]:
        """Cut a topic's records within a span into shares, one for each partition that has any."""

    def entries(self, share: Share) -> Iterator[list[Entry]]:
        """Read a share in the order of its offsets."""

    def stats(self, share: Share, shape_of: ShapeOf) -> Iterator[StatsBatch]:
        """Read a share of the feature statistics, in columns."""

    def told(self, topic: str) -> Iterator[Entry]:
        """Read all that there is of a topic, partition by partition; nothing of a topic that is not there."""


def records_of(history: History, topic_name: str) -> Iterator[tuple[Entry, Any]]:
    """Read a topic's records with their entries; None for tombstones. Bad ones are left out and noted."""
    topic = topic_named(topic_name)
    for entry in history.told(topic_name):
        try:
            record = made(topic, entry)
        except BadRecordError as why:
            history.troubles.append(f"{topic_name}: partition {entry.partition}, offset {entry.offset}: {why}")
        else:
            yield entry, record


def state_of(history: History, topic_name: str) -> Mapping[str, Any]:
    """Return the newest record of each key, without those that were deleted."""
    newest: dict[str, Any] = {}
    for entry, record in records_of(history, topic_name):
        key = entry.key.decode("utf-8", "replace")
        newest.pop(key, None)
        if record is not None:
            newest[key] = record
    return newest
