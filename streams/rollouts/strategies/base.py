"""What a strategy is: options that people set, and the stages that follow from them."""

from collections.abc import Mapping
from typing import Any, Protocol

__all__ = ["Shape", "Strategy"]

# What a strategy decides about one stage, by the names of `Stage`; the plan's limits fill the rest.
Shape = Mapping[str, Any]


class Strategy(Protocol):
    """A frozen dataclass of options."""

    def shapes(self) -> tuple[Shape, ...]:
        """Return the stages in order."""
