"""One stream of readings on its way through a pipeline: order, gaps and jumps of the clock are settled here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sensing.errors import ReadingError
from sensing.pipelines.base import Arrays, Pipeline, Vectors
from sensing.pipelines.state import join, part
from sensing.tally import Floats, Ints

__all__ = ["Stream", "Troubles", "run_batch"]

# A reading this much older than the one before it, or as much as the pipeline's gap, is late; older still, and
# the clock was set back.
_LATE_MS = 300_000


@dataclass(slots=True)
class Troubles:
    """What was wrong with a stream so far, counted in readings."""

    late: int = 0
    not_finite: int = 0
    restarts: int = 0


class Stream:
    """The features of one sensor (or one place), fed reading by reading or in chunks, with the same result.

    Readings that are not newer than the one before them are left out and counted: a rolling window cannot take
    them back in. After a gap that the pipeline does not bridge, or a clock set back, it starts afresh.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.troubles = Troubles()
        self._kernel = pipeline.kernel()
        self._newest: int | None = None

    def extend(self, at_ms: ArrayLike, readings: ArrayLike) -> Vectors:
        """Take readings (rows, one column a channel) and return the vectors that they complete."""
        times, rows = self._checked(at_ms, readings)
        done = [self._run(times[start:stop], rows[start:stop], fresh) for start, stop, fresh in self._stretches(times)]
        if len(done) == 1:
            return done[0]
        empty = Vectors(times[:0], np.empty((0, len(self.pipeline.features)), dtype=np.float32))
        parts = done or [empty]
        return Vectors(np.concatenate([p.at_ms for p in parts]), np.vstack([p.matrix for p in parts]))

    def freeze(self) -> Arrays:
        """Return all that a restarted gateway needs to go on as if nothing had happened."""
        newest = np.array([] if self._newest is None else [self._newest], dtype=np.int64)
        return {"newest": newest, **join(kernel=self._kernel.freeze())}

    def thaw(self, state: Arrays) -> None:
        newest = state["newest"]
        self._newest = int(newest[0]) if len(newest) else None
        self._kernel.thaw(part(state, "kernel"))

    def _checked(self, at_ms: ArrayLike, readings: ArrayLike) -> tuple[Ints, Floats]:
        times = np.atleast_1d(np.asarray(at_ms, dtype=np.int64))
        try:
            rows = np.asarray(readings, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ReadingError(f"readings of {self.pipeline.id} are not numbers: {error}") from None
        channels = self.pipeline.channel_names
        if rows.size != len(times) * len(channels):
            raise ReadingError(
                f"{self.pipeline.id} wants {len(channels)} values a reading ({', '.join(channels)}); "
                f"got {rows.size} values for {len(times)} readings"
            )
        rows = rows.reshape(len(times), len(channels))
        infinite = np.isinf(rows)
        if infinite.any():
            self.troubles.not_finite += int(infinite.any(axis=1).sum())
            rows = np.where(infinite, np.nan, rows)
        return times, rows

    def _stretches(self, times: Ints) -> list[tuple[int, int, bool]]:
        """Cut a chunk into (start, stop, start afresh) so that each stretch is ascending without breaks."""
        if not len(times):
            return []
        if len(times) == 1 and self._newest is not None and 0 < int(times[0]) - self._newest <= self._longest_step:
            return [(0, 1, False)]
        newest = times[0] - self.pipeline.every_ms if self._newest is None else self._newest
        steps = np.diff(times, prepend=newest)
        if ((steps > 0) & (steps <= self._longest_step)).all():
            return [(0, len(times), False)]
        return self._broken_stretches(times)

    @property
    def _longest_step(self) -> int:
        return self.pipeline.every_ms if self.pipeline.gap.fill else self.pipeline.gap.max_ms

    def _broken_stretches(self, times: Ints) -> list[tuple[int, int, bool]]:
        stretches: list[tuple[int, int, bool]] = []
        newest = self._newest
        late_ms = max(_LATE_MS, self.pipeline.gap.max_ms)
        for index, at in enumerate(times.tolist()):
            if newest is not None and newest - late_ms <= at <= newest:
                self.troubles.late += 1
                continue
            fresh = newest is not None and (at < newest or at - newest > self.pipeline.gap.max_ms)
            self.troubles.restarts += fresh
            filling = self.pipeline.gap.fill and newest is not None and not fresh and at - newest > self._longest_step
            joined = stretches and stretches[-1][1] == index and not fresh and not filling
            if joined:
                stretches[-1] = (stretches[-1][0], index + 1, stretches[-1][2])
            else:
                stretches.append((index, index + 1, fresh))
            newest = at
        return stretches

    def _run(self, times: Ints, rows: Floats, fresh: bool) -> Vectors:
        if fresh:
            self._kernel = self.pipeline.kernel()
        elif self.pipeline.gap.fill and self._newest is not None:
            self._fill(int(times[0]) - self._newest)
        self._newest = int(times[-1])
        return self._kernel.extend(times, rows)

    def _fill(self, step_ms: int) -> None:
        # A reading may come somewhat early or late without anything having been left out.
        left_out = round(step_ms / self.pipeline.every_ms) - 1
        if left_out > 0 and self._newest is not None:
            times = self._newest + self.pipeline.every_ms * np.arange(1, left_out + 1)
            self._kernel.extend(times, np.full((left_out, len(self.pipeline.channels)), np.nan))


def run_batch(pipeline: Pipeline, at_ms: ArrayLike, readings: ArrayLike) -> Vectors:
    """Run all readings of one stream through a fresh pipeline, as a trainer does."""
    return Stream(pipeline).extend(at_ms, readings)
