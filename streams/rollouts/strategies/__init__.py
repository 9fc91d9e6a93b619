"""Strategies: in which stages a release goes out. A new one is a file here and a line below."""

from collections.abc import Mapping

from streams.rollouts.strategies.all_at_once import AllAtOnce
from streams.rollouts.strategies.base import Shape, Strategy
from streams.rollouts.strategies.blue_green import BlueGreen
from streams.rollouts.strategies.canary import Canary
from streams.rollouts.strategies.rings import Rings
from streams.rollouts.strategies.rolling import Rolling

__all__ = ["STRATEGIES", "Shape", "Strategy"]

STRATEGIES: Mapping[str, type[Strategy]] = {
    "canary": Canary,
    "rings": Rings,
    "rolling": Rolling,
    "blue-green": BlueGreen,
    "all-at-once": AllAtOnce,
}
