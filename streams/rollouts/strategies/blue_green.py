"""Blue-green: install into the other slot everywhere, then switch all at once; the old slot stays warm."""

from dataclasses import dataclass

from streams.rollouts.strategies.base import Shape

__all__ = ["BlueGreen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlueGreen:
    # Whether a person says when to switch.
    approval: bool = False

    def shapes(self) -> tuple[Shape, ...]:
        return (
            # An installed model that does not serve has nothing to bake.
            {"name": "install", "share": 1.0, "action": "install", "bake_s": 0.0, "approval": self.approval},
            {"name": "switch", "share": 1.0, "action": "switch"},
        )
