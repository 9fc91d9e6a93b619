"""Readings on their way into a pipeline, and what brings them."""

from typing import NamedTuple, Protocol

from sensing.tally import Floats, Ints

__all__ = ["Readings", "Source"]


class Readings(NamedTuple):
    """Readings of one stream (one sensor, one place), in the order in which they came; NaN is missing."""

    stream: str
    at_ms: Ints
    values: Floats


class Source(Protocol):
    """Brings readings; `poll` waits at most `timeout_s` for the first, and never raises for what a sensor sends."""

    # Names of a reading's values, in order.
    channels: tuple[str, ...]

    @property
    def refused(self) -> int:
        """Readings that could not be used, so far; each was logged with its reason, at a bounded rate."""
        ...

    @property
    def done(self) -> bool:
        """Nothing will come any more."""
        ...

    def poll(self, timeout_s: float) -> list[Readings]: ...

    def close(self) -> None: ...
