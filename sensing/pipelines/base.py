"""What a feature pipeline declares, and what runs it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.grid import FeatureKind
from sensing.tally import Floats, Ints

__all__ = ["Arrays", "Channel", "Feature", "Gap", "Kernel", "Pipeline", "Vectors"]

# Kept state: arrays by name, which storage writes without pickling.
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Channel:
    """One number of a reading, as the sensor gives it."""

    name: str
    unit: str
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One number of a vector; `low` and `high` bound what is physically possible."""

    name: str
    low: float | None = None
    high: float | None = None
    kind: FeatureKind = FeatureKind.NUMERIC


class Vectors(NamedTuple):
    """Feature vectors, row by row, each with the time of its newest reading."""

    at_ms: Ints
    matrix: NDArray[np.float32]


class Kernel(Protocol):
    """The arithmetic of one stream of readings that has no gaps.

    However the rows are cut into calls, the same vectors come out, bit by bit.
    """

    def extend(self, at_ms: Ints, rows: Floats) -> Vectors: ...

    def freeze(self) -> Arrays:
        """Return the state; what is read on changes nothing of it."""
        ...

    def thaw(self, state: Arrays) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """When readings no longer follow each other, and what is done about it."""

    # Longer than this, and the pipeline starts afresh.
    max_ms: int
    # Shorter ones are filled with missing readings, one for each step that was left out.
    fill: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """How readings become feature vectors; name and version say it all, for device, trainer and streams alike."""

    name: str
    version: int
    channels: tuple[Channel, ...]
    features: tuple[Feature, ...]
    every_ms: int
    gap: Gap
    kernel: Callable[[], Kernel]
    # Readings that one vector looks back on, the newest included.
    span: int
    # Readings from one vector to the next.
    hop: int = 1
    # The document that declares it, JSON; empty where a program does.
    declaration: str = ""

    @property
    def id(self) -> str:
        return f"{self.name}/{self.version}"

    @property
    def vector_ms(self) -> int:
        """How long it is from one vector to the next: of a block pipeline a hop, of a rolling one a reading."""
        return self.hop * self.every_ms

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    @property
    def channel_names(self) -> tuple[str, ...]:
        return tuple(channel.name for channel in self.channels)
