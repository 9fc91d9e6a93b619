"""All at once: one stage that takes everybody."""

from dataclasses import dataclass

from streams.rollouts.strategies.base import Shape

__all__ = ["AllAtOnce"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AllAtOnce:
    def shapes(self) -> tuple[Shape, ...]:
        return ({"name": "all", "share": 1.0},)
