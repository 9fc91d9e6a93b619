"""A simulated sensor: a healthy world, scripted faults on top, and the truth about them on a side channel."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensing.errors import SensingError
from sensing.pipelines import PIPELINES, Pipeline, Vectors
from sensing.simulator.faults import CHANGES, Fault, FaultKind, Moment, bit_of
from sensing.simulator.worlds import BLOCK, WORLDS
from sensing.tally import Floats, Ints

__all__ = ["Simulated", "SimulatedReadings", "label_vectors"]

# Any Monday will do; what counts is that all devices share it.
_EPOCH_MS = 1_767_571_200_000


class SimulatedReadings(NamedTuple):
    """Readings in the order in which they were sent, and which faults touched each (see `kinds_in`)."""

    at_ms: Ints
    values: Floats
    labels: NDArray[np.uint16]

    def rows(self, chosen: slice | NDArray[np.bool_]) -> "SimulatedReadings":
        return SimulatedReadings(self.at_ms[chosen], self.values[chosen], self.labels[chosen])


@dataclass
class Simulated:
    """One sensor of a fleet; the same seed, device and faults always give the same readings.

    >>> first, again = Simulated("machine", device=3), Simulated("machine", device=3)
    >>> bool((first.take(100).values == again.take(100).values).all())
    True
    """

    fleet: str
    device: int = 0
    stream: int = 0
    seed: int = 0
    faults: Sequence[Fault] = ()
    start_ms: int = _EPOCH_MS
    _block: int = field(default=0, init=False, repr=False)
    # What is left of the newest block, and all of it before any fault.
    _ready: SimulatedReadings | None = field(default=None, init=False, repr=False)
    _healthy: tuple[Ints, Floats] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.fleet not in WORLDS:
            raise SensingError(f"unknown fleet {self.fleet!r}; known: {', '.join(WORLDS)}")
        channels = self.pipeline.channel_names
        for fault in self.faults:
            if not 0 <= fault.channel < len(channels):
                raise SensingError(f"{self.fleet} has channels 0 to {len(channels) - 1}, a fault names {fault.channel}")
        self._world = WORLDS[self.fleet](np.random.default_rng([self.seed, self.device, self.stream]), self.stream)
        self._held = dict.fromkeys(range(len(self.faults)), 0.0)

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline that the fleet's readings are for."""
        return PIPELINES[f"{self.fleet}/1"]

    def suffer(self, fault: Fault) -> None:
        """Add trouble to a sensor that runs; readings that were taken stay as they were."""
        self._held[len(self.faults)] = 0.0
        self.faults = (*self.faults, fault)
        if self._ready is not None and self._healthy is not None:
            self._ready = self._struck(*self._healthy).rows(slice(-len(self._ready.at_ms), None))

    @property
    def step(self) -> int:
        """The next reading, counted as faults count."""
        return self._block * BLOCK - (0 if self._ready is None else len(self._ready.at_ms))

    @property
    def next_ms(self) -> int:
        """When the next reading is taken."""
        return self.start_ms + self.step * self.pipeline.every_ms

    def take(self, count: int) -> SimulatedReadings:
        """Return what the sensor sends over its next `count` steps; dropouts make that fewer readings."""
        parts: list[SimulatedReadings] = []
        while count > 0:
            block = self._next_block() if self._ready is None else self._ready
            parts.append(block.rows(slice(count)))
            self._ready = block.rows(slice(count, None)) if len(block.at_ms) > count else None
            count -= len(parts[-1].at_ms)
        if not parts:
            return SimulatedReadings(
                np.empty(0, dtype=np.int64),
                np.empty((0, len(self.pipeline.channels))),
                np.empty(0, dtype=np.uint16),
            )
        whole = SimulatedReadings(
            np.concatenate([part.at_ms for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.labels for part in parts]),
        )
        return whole.rows(whole.labels & bit_of(FaultKind.DROPOUT) == 0)

    def _next_block(self) -> SimulatedReadings:
        at_ms = self.start_ms + (self._block * BLOCK + np.arange(BLOCK)) * self.pipeline.every_ms
        rng = np.random.default_rng([self.seed, self.device, self.stream, self._block + 1])
        self._healthy = at_ms, self._world.block(rng, at_ms)
        self._block += 1
        return self._struck(*self._healthy)

    def _struck(self, at_ms: Ints, healthy: Floats) -> SimulatedReadings:
        """The newest block, with all trouble in it."""
        index = (self._block - 1) * BLOCK + np.arange(BLOCK)
        values = healthy.copy()
        labels = np.zeros(BLOCK, dtype=np.uint16)
        for number, fault in enumerate(self.faults):
            # A generator of the fault's own: leaving one fault out changes nothing about the others.
            trouble = np.random.default_rng([self.seed, self.device, self.stream, self._block, number, 1])
            at_ms = self._strike(number, fault, trouble, index, at_ms, values, labels)
        return SimulatedReadings(at_ms, values, labels)

    def _strike(
        self,
        number: int,
        fault: Fault,
        rng: np.random.Generator,
        index: Ints,
        at_ms: Ints,
        values: Floats,
        labels: NDArray[np.uint16],
    ) -> Ints:
        rows = np.flatnonzero((index >= fault.first) & (index < fault.last))
        if len(rows) and fault.kind is FaultKind.CLOCK_SKEW:
            labels[rows] |= bit_of(fault.kind)
            at_ms = at_ms.copy()
            at_ms[rows] += int(fault.size)
        elif len(rows) and fault.kind is FaultKind.DROPOUT:
            labels[rows[rng.random(len(rows)) < fault.share]] |= bit_of(fault.kind)
        elif len(rows):
            column = values[:, fault.channel]
            if index[rows[0]] == fault.first:
                self._held[number] = float(column[max(rows[0] - 1, 0)])
            moment = Moment(
                column[rows], index[rows], float(self._world.scales[fault.channel]), rng, self._held[number]
            )
            column[rows], hit = CHANGES[fault.kind](fault, moment)
            labels[rows[hit]] |= bit_of(fault.kind)
        return at_ms


def label_vectors(pipeline: Pipeline, readings: SimulatedReadings, vectors: Vectors) -> NDArray[np.uint16]:
    """Say which faults touched the newest readings of each vector: one reading, or the pipeline's whole span.

    Where vectors are made of a block of readings at once (vibration), all of them count; where they roll, the newest.
    """
    newest = np.searchsorted(readings.at_ms, vectors.at_ms, side="right") - 1
    back = pipeline.span if pipeline.hop > 1 else 1
    labels = readings.labels[newest].copy()
    for step in range(1, back):
        labels |= readings.labels[np.maximum(newest - step, 0)]
    return labels
