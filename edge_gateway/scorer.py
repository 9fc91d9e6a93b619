"""One model at work: it decides about vectors, and its windows come out when they are done."""

import logging
import time
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_gateway.config import SamplingConfig, WindowConfig
from edge_gateway.errors import InferenceError
from edge_gateway.forecasts import Forecasts
from edge_gateway.health import HealthTally, HealthWindows
from edge_gateway.inference import Decisions, Model
from edge_gateway.quiet import QuietWindows, Summed
from edge_gateway.rules import Rules
from edge_gateway.sampling import Kept, Sampler
from schemas.grid import Grid
from schemas.manifest import Manifest
from sensing.pipelines import Pipeline
from sensing.pipelines.base import Arrays
from sensing.pipelines.state import join, part
from sensing.sketch import Sketch, SketchedWindow
from sensing.tally import Ints

__all__ = ["Closed", "Loaded", "Scored", "Scorer"]

_log = logging.getLogger(__name__)

# Share of a window's values outside of the declared range that is no accident any more.
_MOSTLY = 0.5


@dataclass(frozen=True, slots=True)
class Loaded:
    """A bundle, ready to serve; without `model` its rules decide."""

    slot: str
    manifest: Manifest
    grid: Grid
    pipeline: Pipeline
    model: Model | None

    @property
    def model_id(self) -> str:
        return self.manifest.model_id


class Closed(NamedTuple):
    """One window of one model."""

    start_ms: int
    end_ms: int
    # What goes out about features now; windows may be held back, and follow with a later one.
    stats: tuple[Summed, ...]
    health: HealthTally


@dataclass(slots=True)
class Scored:
    """What came of some vectors."""

    stream: str
    at_ms: Ints
    matrix: NDArray[np.float32]
    decisions: Decisions
    # Of one decision, its share of the batch.
    latency_ms: float = 0.0
    closed: list[Closed] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)


class Scorer:
    """A loaded bundle with its windows; one that only runs beside another does not count features."""

    def __init__(
        self,
        loaded: Loaded,
        windows: WindowConfig,
        sampling: SamplingConfig,
        rng: Random,
        *,
        beside: bool = False,
    ) -> None:
        length_ms, lateness_ms = int(windows.length_s * 1000), int(windows.lateness_s * 1000)
        self.loaded = loaded
        self.beside = beside
        self.failures_in_a_row = 0
        self._rules = Rules(loaded.manifest.rules, loaded.manifest.features)
        self._length_ms = length_ms
        self._sketch = None if beside else Sketch(loaded.grid, window_ms=length_ms, lateness_ms=lateness_ms)
        self._health = HealthWindows(length_ms, lateness_ms)
        self._quiet = QuietWindows(windows)
        # Features that were told of as out of range, and still are.
        self._strange: set[str] = set()
        self._forecasts = Forecasts(loaded.manifest, loaded.pipeline.vector_ms)
        self._sampler = Sampler(sampling, rng)

    def take(self, stream: str, at_ms: Ints, matrix: NDArray[np.float32]) -> Scored:
        """Decide about vectors of one stream, and count them."""
        begun = time.perf_counter()
        decisions = self._decide(stream, at_ms, matrix)
        latency_ms = (time.perf_counter() - begun) * 1000 / max(len(at_ms), 1)
        scored = Scored(stream, at_ms, matrix, decisions, latency_ms)
        if not len(at_ms):
            return scored
        for start, rows in self._health.pieces(at_ms):
            self._health.content(start).add(decisions.rows(rows), latency_ms)
        met = self._forecasts.take(stream, at_ms, matrix, decisions)
        if met is not None:
            for start, rows in self._health.pieces(met.at_ms):
                self._health.content(start).note_errors(met.error[rows])
        healths = self._health.advance(int(at_ms.max()))
        tallies = [] if self._sketch is None else self._sketch.add(at_ms, matrix)
        if not self.beside:
            scored.kept = self._sampler.add(stream, at_ms, matrix, decisions)
        self._close(scored, healths, {window.start_ms: window for window in tallies})
        return scored

    def flush(self) -> Scored:
        """Close all windows, done or not."""
        nothing = np.empty((0, len(self.loaded.manifest.features)), dtype=np.float32)
        scored = Scored("", np.empty(0, dtype=np.int64), nothing, Decisions.none(0))
        tallies = [] if self._sketch is None else self._sketch.flush()
        self._close(scored, self._health.flush(), {window.start_ms: window for window in tallies})
        held = self._quiet.flush()
        if held:
            end_ms = held[-1].window.end_ms
            scored.closed.append(Closed(end_ms - self._length_ms, end_ms, tuple(held), HealthTally()))
        return scored

    def freeze(self) -> Arrays:
        sketch = {} if self._sketch is None else self._sketch.freeze()
        return join(
            sketch=sketch,
            health=self._health.freeze(),
            quiet=self._quiet.freeze(),
            forecasts=self._forecasts.freeze(),
        )

    def thaw(self, state: Arrays) -> None:
        if self._sketch is not None:
            self._sketch.thaw(part(state, "sketch"))
        self._health.thaw(part(state, "health"))
        self._quiet.thaw(part(state, "quiet"))
        self._forecasts.thaw(part(state, "forecasts"))

    def _decide(self, stream: str, at_ms: Ints, matrix: NDArray[np.float32]) -> Decisions:
        if self.loaded.model is None:
            return self._rules.decide(stream, at_ms, matrix)
        try:
            decisions = self.loaded.model.decide(matrix)
        except InferenceError as error:
            if not self.failures_in_a_row:
                _log.error("inference failed: model=%s error=%s", self.loaded.model_id, error)
            decisions = Decisions.none(len(matrix))
        failed = decisions.failed
        self.failures_in_a_row = self.failures_in_a_row + len(failed) if failed.all() else 0
        return decisions

    def _close(
        self, scored: Scored, healths: list[tuple[int, HealthTally]], tallies: dict[int, SketchedWindow]
    ) -> None:
        by_start = dict(healths)
        for start in sorted(by_start.keys() | tallies.keys()):
            health = by_start.get(start, HealthTally())
            window = tallies.get(start)
            if window is not None:
                self._note_range(window)
            stats = () if window is None or not window.tally.samples else tuple(self._quiet.take(window))
            scored.closed.append(Closed(start, start + self._length_ms, stats, health))
        if scored.closed and not self.beside:
            scored.kept += self._sampler.close()

    def _note_range(self, window: SketchedWindow) -> None:
        """Say once when a feature leaves the range that its grid declares: no model can tell a wrong unit."""
        tally = window.tally
        shares = (tally.out_of_range / np.maximum(tally.usable, 1)).tolist()
        strange = {name for name, share in zip(self.loaded.manifest.features, shares, strict=True) if share > _MOSTLY}
        for name in sorted(strange - self._strange):
            _log.warning(
                "out of range: feature=%s share=%.2f window-end=%d; is the sensor whole, and its unit the right one?",
                name,
                shares[self.loaded.manifest.features.index(name)],
                window.end_ms,
            )
        self._strange = strange
