"""Sketches: feature vectors are counted into windows of event time, and come out as `FeatureStats`."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.feature_stats import FeatureStats
from schemas.grid import Grid
from sensing.errors import GridError
from sensing.grids import Binner
from sensing.pipelines.base import Arrays
from sensing.pipelines.state import join, part
from sensing.tally import Ints, Tally
from sensing.windows import EventWindows

__all__ = ["Sketch", "SketchedWindow", "feature_stats", "merge", "tally_arrays", "tally_from", "tally_of"]

# Vectors that are counted together.
_AT_ONCE = 32
_TALLY_FIELDS = ("counts", "missing", "out_of_range", "mean", "m2", "min", "max")


class SketchedWindow(NamedTuple):
    """A window that is done, and what was counted in it."""

    start_ms: int
    end_ms: int
    tally: Tally


class Sketch:
    """Counts vectors into windows of event time; see `EventWindows` for what late samples and odd clocks do."""

    def __init__(self, grid: Grid, *, window_ms: int = 60_000, lateness_ms: int = 5_000) -> None:
        self._binner = Binner(grid)
        self._windows = EventWindows(window_ms, lateness_ms, lambda: _Pile(self._binner))

    def add(self, at_ms: Ints, matrix: NDArray[Any]) -> list[SketchedWindow]:
        """Count vectors, and return the windows that are done by that."""
        if not len(at_ms):
            return []
        for start, rows in self._windows.pieces(at_ms):
            self._windows.content(start).add(matrix[rows])
        return self._sketched(self._windows.advance(int(at_ms.max())))

    def flush(self) -> list[SketchedWindow]:
        """Close all windows, done or not."""
        return self._sketched(self._windows.flush())

    def freeze(self) -> Arrays:
        """Return the open windows, for a restart to go on with."""
        newest = self._windows.newest_ms
        opened = {f"w{start}": pile.freeze() for start, pile in self._windows.open.items()}
        return {"newest": np.array([] if newest is None else [newest], dtype=np.int64), **join(**opened)}

    def thaw(self, state: Arrays) -> None:
        self._windows.newest_ms = int(state["newest"][0]) if len(state["newest"]) else None
        for name in sorted({key.partition(".")[0] for key in state} - {"newest"}):
            pile = _Pile(self._binner)
            pile.thaw(part(state, name))
            self._windows.put(int(name[1:]), pile)

    def _sketched(self, done: list[tuple[int, "_Pile"]]) -> list[SketchedWindow]:
        return [SketchedWindow(start, start + self._windows.length_ms, pile.counted()) for start, pile in done]


class _Pile:
    """What one window holds: a tally, and vectors that are yet to be counted into it.

    Counting dozens at once takes hardly longer than counting one, so that single vectors wait for each other.
    """

    def __init__(self, binner: Binner) -> None:
        self._binner = binner
        self._tally = Tally.empty(len(binner.grid.features), binner.bins)
        self._waiting: list[NDArray[Any]] = []
        self._rows = 0

    def add(self, matrix: NDArray[Any]) -> None:
        self._waiting.append(matrix)
        self._rows += len(matrix)
        if self._rows >= _AT_ONCE:
            self._count()

    def counted(self) -> Tally:
        if self._rows:
            self._count()
        return self._tally

    def freeze(self) -> Arrays:
        waiting = {"waiting": np.concatenate(self._waiting)} if self._rows else {}
        return {**tally_arrays(self._tally), **waiting}

    def thaw(self, state: Arrays) -> None:
        tally = tally_from(state)
        if tally.counts.shape != self._tally.counts.shape:
            raise GridError(f"a kept window has counts of shape {tally.counts.shape}, which its grid has not")
        self._tally = tally
        if "waiting" in state:
            self.add(state["waiting"])

    def _count(self) -> None:
        matrix = self._waiting[0] if len(self._waiting) == 1 else np.concatenate(self._waiting)
        self._tally.add(self._binner.count(matrix))
        self._waiting, self._rows = [], 0


def feature_stats(
    window: SketchedWindow,
    *,
    device_id: str,
    model_id: str,
    pipeline: str,
    grid_id: str,
    boot_id: str,
    seq: int,
    windows: int = 1,
) -> FeatureStats:
    """Write a window, or the sum of several, down as the record that goes out."""
    tally = window.tally
    return FeatureStats(
        device_id=device_id,
        model_id=model_id,
        pipeline=pipeline,
        grid_id=grid_id,
        boot_id=boot_id,
        seq=seq,
        window_start_ms=window.start_ms,
        window_end_ms=window.end_ms,
        samples=tally.samples,
        counts=_uint32(tally.counts),
        missing=_uint32(tally.missing),
        out_of_range=_uint32(tally.out_of_range),
        mean=_float32(tally.mean),
        m2=_float32(tally.m2),
        min=_float32(tally.min),
        max=_float32(tally.max),
        windows=windows,
    )


def tally_of(stats: FeatureStats, grid: Grid) -> Tally:
    """Read a record's arrays back; refuses lengths that the grid does not have."""
    features = len(grid.features)
    wanted = {"counts": features * grid.bins}
    for name in _TALLY_FIELDS:
        found = len(getattr(stats, name))
        if found != 4 * wanted.get(name, features):
            raise GridError(
                f"{name} of {stats.device_id} {stats.boot_id}/{stats.seq} holds {found} bytes; "
                f"grid {grid.grid_id:.12} wants {4 * wanted.get(name, features)}"
            )
    return Tally(
        samples=stats.samples,
        counts=np.frombuffer(stats.counts, "<u4").astype(np.int64).reshape(features, grid.bins),
        missing=np.frombuffer(stats.missing, "<u4").astype(np.int64),
        out_of_range=np.frombuffer(stats.out_of_range, "<u4").astype(np.int64),
        mean=np.frombuffer(stats.mean, "<f4").astype(np.float64),
        m2=np.frombuffer(stats.m2, "<f4").astype(np.float64),
        min=np.frombuffer(stats.min, "<f4").astype(np.float64),
        max=np.frombuffer(stats.max, "<f4").astype(np.float64),
    )


def merge(tallies: Sequence[Tally]) -> Tally:
    """Add tallies of one grid up; counts exactly, moments to rounding."""
    if not tallies:
        raise ValueError("nothing to merge: at least one tally is wanted")
    total = Tally.empty(*tallies[0].counts.shape)
    for tally in tallies:
        total.add(tally)
    return total


def tally_arrays(tally: Tally) -> Arrays:
    """Return a tally as arrays, for a checkpoint."""
    return {"samples": np.array(tally.samples), **{name: getattr(tally, name).copy() for name in _TALLY_FIELDS}}


def tally_from(state: Arrays) -> Tally:
    """Return the tally that `tally_arrays` laid out."""
    return Tally(samples=int(state["samples"]), **{name: state[name].copy() for name in _TALLY_FIELDS})


def _uint32(counts: Ints) -> bytes:
    return np.minimum(counts, np.iinfo(np.uint32).max).astype("<u4").tobytes()


def _float32(moments: NDArray[np.float64]) -> bytes:
    with np.errstate(over="ignore"):
        return moments.astype("<f4").tobytes()
