"""Where readings come from."""

from sensing.sources.base import Readings, Source
from sensing.sources.simulated import SimulatedSource

__all__ = ["Readings", "SimulatedSource", "Source"]
