"""Canary: a growing share of the cohort, each stage watched before the next."""

from dataclasses import dataclass
from typing import Annotated

from streams.rollouts.documents import AtLeast, PlanError
from streams.rollouts.strategies.base import Shape

__all__ = ["Canary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    percent: tuple[Annotated[float, AtLeast(0, 100)], ...] = (1.0, 5.0, 25.0, 50.0, 100.0)

    def __post_init__(self) -> None:
        if not self.percent or list(self.percent) != sorted(set(self.percent)) or not self.percent[-1]:
            raise PlanError(
                "strategy.percent", list(self.percent), "percentages that rise above 0, such as [1, 5, 25, 50, 100]"
            )

    def shapes(self) -> tuple[Shape, ...]:
        return tuple({"name": f"{percent:g}%", "share": percent / 100} for percent in self.percent)
