"""Rolling: the whole cohort in batches, each begun when the last one is settled and a delay has passed."""

from dataclasses import dataclass
from typing import Annotated

from streams.rollouts.documents import AtLeast
from streams.rollouts.strategies.base import Shape

__all__ = ["Rolling"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    batch: Annotated[int, AtLeast(1)] = 5
    delay_s: Annotated[float, AtLeast(0)] = 60.0

    def shapes(self) -> tuple[Shape, ...]:
        return ({"name": "rolling", "share": 1.0, "batch": self.batch, "batch_delay_s": self.delay_s},)
