"""Partitions abreast: windows of several partitions, put together in the order of their arrival.

The engine takes in one window of each device at a time, and the more devices there are, the less each costs. What a
device gets does not depend on who is judged beside it.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from streams.backtest.history import StatsBatch
from streams.drift.telling import GRACE_MS
from streams.drift.windows import Windows

__all__ = ["Piece", "abreast", "by_tick", "joined"]


@dataclass(frozen=True, slots=True)
class Piece:
    """The records of one batch that arrived up to some moment: places in the batch, the second exclusive."""

    partition: int
    batch: StatsBatch
    first: int
    end: int
    # Rises along each partition, whatever its clock did.
    arrival_ms: npt.NDArray[np.int64]


def abreast(readers: Sequence[tuple[int, Iterator[StatsBatch]]]) -> Iterator[list[Piece]]:
    """Yield what all partitions have up to the moment to which each of them is known."""
    held: dict[int, _Reader] = {}
    for place, (partition, batches) in enumerate(readers):
        reader = _Reader(partition, batches)
        if reader.refill():
            held[place] = reader
    while held:
        until_ms = min(reader.last_ms for reader in held.values())
        yield [piece for reader in held.values() if (piece := reader.up_to(until_ms)) is not None]
        held = {place: reader for place, reader in held.items() if not reader.is_done or reader.refill()}


def by_tick(pieces: Sequence[Piece], panes_ms: Collection[int]) -> Iterator[Sequence[Piece]]:
    """Cut pieces where a tick goes by at which cohorts with panes of such a length are told of."""
    if not panes_ms:
        yield pieces
        return
    arrivals_ms = np.concatenate([piece.arrival_ms[piece.first : piece.end] for piece in pieces])
    cuts = {
        tick * pane_ms + GRACE_MS
        for pane_ms in panes_ms
        for tick in np.unique((arrivals_ms - GRACE_MS) // pane_ms).tolist()
    }
    ends = [*sorted(cuts)[1:], np.iinfo(np.int64).max]
    left = list(pieces)
    for until_ms in ends:
        halves = [_halves(piece, until_ms) for piece in left]
        some = [before for before, _ in halves if before is not None]
        left = [behind for _, behind in halves if behind is not None]
        if some:
            yield some


def _halves(piece: Piece, until_ms: int) -> tuple[Piece | None, Piece | None]:
    """Return what arrived before a time, and the rest."""
    cut = int(np.searchsorted(piece.arrival_ms[: piece.end], until_ms, side="left"))
    before = replace(piece, end=cut) if cut > piece.first else None
    behind = replace(piece, first=max(cut, piece.first)) if cut < piece.end else None
    return before, behind


def joined(parts: Sequence[Windows], arrivals_ms: Sequence[npt.NDArray[np.int64]]) -> Windows:
    """Put windows together in the order of their arrival; those of one part stay in their order."""
    if len(parts) == 1:
        return parts[0]
    order = np.argsort(np.concatenate(arrivals_ms), kind="stable")
    columns: dict[str, Any] = {}
    for one in fields(Windows):
        values = [getattr(part, one.name) for part in parts]
        if isinstance(values[0], list):
            flat = [value for column in values for value in column]
            columns[one.name] = [flat[place] for place in order.tolist()]
        else:
            columns[one.name] = np.concatenate(values)[order]
    return Windows(**columns)


class _Reader:
    def __init__(self, partition: int, batches: Iterator[StatsBatch]) -> None:
        self._partition, self._batches = partition, batches
        self._batch, self._at = StatsBatch(np.empty(0, np.int64), np.empty(0, np.int64)), 0
        self._arrival_ms = self._batch.at_ms
        self._latest_ms = 0

    def refill(self) -> bool:
        """Take the next batch; False where there is none."""
        for batch in self._batches:
            if len(batch.offsets):
                self._batch, self._at = batch, 0
                self._arrival_ms = np.maximum(np.maximum.accumulate(batch.at_ms), self._latest_ms)
                self._latest_ms = int(self._arrival_ms[-1])
                return True
        return False

    @property
    def is_done(self) -> bool:
        return self._at >= len(self._batch.offsets)

    @property
    def last_ms(self) -> int:
        return self._latest_ms

    def up_to(self, until_ms: int) -> Piece | None:
        first, end = self._at, int(np.searchsorted(self._arrival_ms, until_ms, side="right"))
        if end <= first:
            return None
        self._at = end
        return Piece(self._partition, self._batch, first, end, self._arrival_ms)
