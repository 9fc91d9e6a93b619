"""The healthy worlds: how the readings of each fleet look when nothing is wrong."""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import numpy as np

from sensing.simulator.noise import Autoregressive
from sensing.tally import Floats, Ints

__all__ = ["BLOCK", "WORLDS", "World"]

# Readings are made in blocks, so that the same ones come out however they are asked for.
BLOCK: Final = 1024

_DAY_MS = 86_400_000
_YEAR_MS = 365.2425 * _DAY_MS


class World(Protocol):
    """One sensor's healthy readings, block by block; `scales` is one standard deviation of each channel."""

    scales: Floats

    def block(self, rng: np.random.Generator, at_ms: Ints) -> Floats: ...


class MachineWorld:
    """A machine under a load that follows the day; its four channels follow the load, each with noise of its own."""

    scales = np.array([2.4, 0.34, 0.22, 1.25])

    def __init__(self, rng: np.random.Generator, _: int) -> None:
        self._offsets = rng.normal(0.0, 0.3, 4) * self.scales
        self._load = Autoregressive(0.98, 1)
        self._noise = Autoregressive(0.5, 4)

    def block(self, rng: np.random.Generator, at_ms: Ints) -> Floats:
        day = np.sin(2 * np.pi * (at_ms % _DAY_MS) / _DAY_MS - np.pi / 2)
        load = 0.6 * self._load.draw(rng, BLOCK)[:, 0] + 0.5 * day
        own = self._noise.draw(rng, BLOCK)
        typical = np.array([60.0, 2.5, 6.0, 12.0])
        follows = np.array([2.5, 0.30, 0.15, 1.4])
        alone = np.array([1.0, 0.20, 0.18, 0.5])
        readings: Floats = typical + self._offsets + follows * load[:, None] + alone * own
        return np.maximum(readings, 0.0)


class WeatherWorld:
    """One of ten places: seasons and hours by its latitude, fronts that pass in days, humidity against warmth."""

    scales = np.array([4.0, 12.0, 7.0, 2.2])
    # (latitude, yearly mean °C, half the yearly swing, half the daily swing)
    places = (
        (59.9, 6.0, 11.0, 3.0),
        (52.5, 10.0, 10.0, 4.0),
        (48.2, 11.0, 11.0, 4.5),
        (40.4, 15.0, 10.0, 6.0),
        (35.7, 16.0, 11.0, 4.0),
        (28.6, 25.0, 9.0, 6.0),
        (1.3, 27.5, 1.0, 3.0),
        (-23.5, 20.0, 4.0, 4.5),
        (-33.9, 18.0, 5.0, 4.0),
        (64.1, 5.0, 6.0, 2.0),
    )

    def __init__(self, _: np.random.Generator, stream: int) -> None:
        self._latitude, self._mean, self._year, self._day = self.places[stream % len(self.places)]
        self._fronts = Autoregressive(0.97, 4)
        self._noise = Autoregressive(0.5, 4)

    def block(self, rng: np.random.Generator, at_ms: Ints) -> Floats:
        fronts, own = self._fronts.draw(rng, BLOCK), self._noise.draw(rng, BLOCK)
        hour = np.cos(2 * np.pi * ((at_ms % _DAY_MS) / _DAY_MS - 15 / 24))
        warm = 0.06 if self._latitude < 0 else 0.56
        season = np.cos(2 * np.pi * ((at_ms % _YEAR_MS) / _YEAR_MS - warm))
        temperature = self._mean + self._year * season + self._day * hour + 2.8 * fronts[:, 0] + 0.5 * own[:, 0]
        humidity = 68 - 11 * hour - 4 * season + 9 * fronts[:, 1] + 3 * own[:, 1]
        pressure = 1014 - 1.5 * fronts[:, 0] + 7 * fronts[:, 2] + 0.4 * own[:, 2]
        wind = np.abs(3.6 + 0.6 * hour + 1.6 * fronts[:, 3] + 0.6 * own[:, 3])
        return np.column_stack((temperature, np.clip(humidity, 5.0, 100.0), pressure, wind))


class VibrationWorld:
    """A shaft at some 29.5 Hz with two harmonics, a gear mesh, and noise; 1 kHz."""

    scales = np.array([0.9])

    def __init__(self, rng: np.random.Generator, _: int) -> None:
        self._speed_hz = 29.5 + rng.normal(0.0, 0.15)
        self._phases = rng.uniform(0.0, 2 * np.pi, 4)
        self._load = Autoregressive(0.3, 1)
        self._noise = Autoregressive(0.2, 1)

    def block(self, rng: np.random.Generator, at_ms: Ints) -> Floats:
        seconds = (at_ms % _DAY_MS) / 1000
        # The load breathes slowly: one value for each block and a ramp within it would only smooth this.
        strength = 1 + 0.05 * float(self._load.draw(rng, 128)[-1, 0])
        orders, sizes = np.array([1.0, 2.0, 3.0, 7.0]), np.array([1.0, 0.35, 0.2, 0.3])
        angles = 2 * np.pi * self._speed_hz * orders * seconds[:, None] + self._phases
        signal = strength * (sizes * np.sin(angles)).sum(axis=1)
        readings: Floats = signal[:, None] + 0.25 * self._noise.draw(rng, BLOCK)
        return readings


WORLDS: Mapping[str, Callable[[np.random.Generator, int], World]] = {
    "machine": MachineWorld,
    "vibration": VibrationWorld,
    "weather": WeatherWorld,
}
