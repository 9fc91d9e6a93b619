"""`weather`: hourly temperature, humidity, pressure and wind of a place; 32 features.

Four raw values, their means over the last 3, 6, 12 and 24 hours, four lags, four of time (the place's own hour is
not known, so UTC), four interactions. Means use the hours that are there.
"""

import numpy as np

from sensing.pipelines.base import Arrays, Channel, Feature, Gap, Pipeline, Vectors
from sensing.pipelines.rolling import Lags, RollingSums
from sensing.pipelines.state import join, part
from sensing.tally import Floats, Ints

__all__ = ["WEATHER"]

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_YEAR_MS = 365.2425 * _DAY_MS
_WINDOWS_H = (3, 6, 12, 24)
# (channel, hours back)
_LAGS = ((0, 1), (0, 24), (1, 24), (2, 3))
_DEEPEST = 24

_CHANNELS = (
    Channel("temperature", "°C", -90.0, 60.0),
    Channel("humidity", "%", 0.0, 100.0),
    Channel("pressure", "hPa", 850.0, 1100.0),
    Channel("wind", "m/s", 0.0, 115.0),
)


class _WeatherKernel:
    def __init__(self) -> None:
        self._sums = {hours: RollingSums(hours, 2 * len(_CHANNELS)) for hours in _WINDOWS_H}
        self._lags = Lags(_DEEPEST, len(_CHANNELS))

    def extend(self, at_ms: Ints, rows: Floats) -> Vectors:
        there = np.isfinite(rows)
        known = np.concatenate((np.where(there, rows, 0.0), there), axis=1)
        means = _means(np.concatenate([sums.extend(known) for sums in self._sums.values()], axis=1))
        past = self._lags.extend(rows)
        lags = [past[_DEEPEST - back : len(past) - back, channel] for channel, back in _LAGS]
        columns = (*rows.T, *means, *lags, *_time(at_ms), *_interactions(rows))
        matrix = np.empty((len(rows), len(columns)), dtype=np.float32)
        for place, column in enumerate(columns):
            matrix[:, place] = column
        return Vectors(at_ms, matrix)

    def freeze(self) -> Arrays:
        return join(lags=self._lags.freeze(), **{f"sums{hours}": sums.freeze() for hours, sums in self._sums.items()})

    def thaw(self, state: Arrays) -> None:
        self._lags.thaw(part(state, "lags"))
        for hours, sums in self._sums.items():
            sums.thaw(part(state, f"sums{hours}"))


def _means(sums: Floats) -> Floats:
    """Return the means, column by column, of sums and numbers of values, window by window."""
    by_window = sums.T.reshape(len(_WINDOWS_H), 2, len(_CHANNELS), -1)
    with np.errstate(invalid="ignore"):
        means: Floats = by_window[:, 0] / by_window[:, 1]
    return means.reshape(-1, len(sums))


def _time(at_ms: Ints) -> tuple[Floats, ...]:
    day = 2 * np.pi * (at_ms % _DAY_MS) / _DAY_MS
    year = 2 * np.pi * (at_ms % _YEAR_MS) / _YEAR_MS
    return np.sin(day), np.cos(day), np.sin(year), np.cos(year)


def _interactions(rows: Floats) -> tuple[Floats, ...]:
    temperature, humidity, pressure, wind = rows.T
    # Magnus' formula over water; dry air has a dew point all the same, just a very low one.
    with np.errstate(divide="ignore", invalid="ignore"):
        vapour = np.log(np.clip(humidity, 1.0, 100.0) / 100) + 17.62 * temperature / (243.12 + temperature)
        dew_point = 243.12 * vapour / (17.62 - vapour)
    return dew_point, temperature * humidity, temperature * wind, humidity * pressure


WEATHER = Pipeline(
    name="weather",
    version=1,
    channels=_CHANNELS,
    features=(
        *(Feature(name=channel.name, low=channel.low, high=channel.high) for channel in _CHANNELS),
        *(
            Feature(name=f"{channel.name}_mean_{hours}h", low=channel.low, high=channel.high)
            for hours in _WINDOWS_H
            for channel in _CHANNELS
        ),
        *(
            Feature(
                name=f"{_CHANNELS[channel].name}_lag_{back}h", low=_CHANNELS[channel].low, high=_CHANNELS[channel].high
            )
            for channel, back in _LAGS
        ),
        *(Feature(name=name, low=-1.0, high=1.0) for name in ("hour_sin", "hour_cos", "year_sin", "year_cos")),
        Feature(name="dew_point", low=-150.0, high=60.0),
        Feature(name="temperature_x_humidity"),
        Feature(name="temperature_x_wind"),
        Feature(name="humidity_x_pressure", low=0.0),
    ),
    every_ms=_HOUR_MS,
    gap=Gap(max_ms=_DAY_MS, fill=True),
    kernel=_WeatherKernel,
    # A lag of a day reaches one reading farther than a mean over a day.
    span=_DEEPEST + 1,
)
