"""Rings: named groups, one after the other, by expression or by share (lab, canary, full)."""

from dataclasses import dataclass
from typing import Annotated

from streams.rollouts.documents import AtLeast, PlanError
from streams.rollouts.strategies.base import Shape

__all__ = ["Ring", "Rings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    name: str
    where: str = ""
    percent: Annotated[float, AtLeast(0, 100)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rings:
    rings: tuple[Ring, ...] = (
        Ring(name="lab", where="ring:lab"),
        Ring(name="canary", where="ring:canary"),
        Ring(name="full", percent=100),
    )

    def __post_init__(self) -> None:
        if not self.rings:
            raise PlanError("strategy.rings", [], "at least one ring")
        for place, ring in enumerate(self.rings):
            if bool(ring.where) == (ring.percent is not None):
                raise PlanError(f"strategy.rings[{place}]", ring.name, "either `where` or `percent`")

    def shapes(self) -> tuple[Shape, ...]:
        return tuple(
            {"name": ring.name, "where": ring.where}
            if ring.percent is None
            else {"name": ring.name, "share": ring.percent / 100}
            for ring in self.rings
        )
