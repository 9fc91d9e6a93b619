"""Pipelines that are declared in a document instead of a program: channels, and a formula for each feature.

    name = "press"
    version = 1
    every_ms = 1000

    [channels.force]
    unit = "kN"
    low = 0
    high = 900

    [features]
    force = "force"
    force_mean = "mean(force, 60)"
    force_spread = { formula = "std(force, 60)", low = 0 }

The document travels in the pipeline's grid, so whoever can read a bundle can compute what its model wants.
"""

import functools
import json
import math
import re
import tomllib
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from schemas.grid import FeatureKind
from schemas.section import Section
from sensing.errors import PipelineError
from sensing.pipelines.base import Arrays, Channel, Feature, Gap, Pipeline, Vectors
from sensing.pipelines.formulas import TIMES, Columns, Formula, Look, read_formula, times_of
from sensing.pipelines.rolling import Lags, RollingSums
from sensing.pipelines.state import join, part
from sensing.tally import Floats, Ints

__all__ = ["declared", "read_declaration"]

_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
_CHANNEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_FEATURE = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,99}")
_MOST_CHANNELS, _MOST_FEATURES = 64, 512
# What all windows and lags keep together: a device has little memory.
_MOST_KEPT = 1_000_000
_DAY_MS = 86_400_000
# Looks that are made of rolling sums; the others keep the values themselves.
_SUMMED = ("mean", "std")
_KINDS = {"numeric": FeatureKind.NUMERIC, "categorical": FeatureKind.CATEGORICAL}


def read_declaration(path: Path) -> Pipeline:
    """Read a pipeline from a TOML file."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise PipelineError(f"{path}: {error}") from None
    try:
        # In the order of the document, which is that of the features.
        return declared(json.dumps(document, ensure_ascii=False, allow_nan=False))
    except (TypeError, ValueError, RecursionError, PipelineError) as error:
        raise PipelineError(f"{path}: {error}") from None


@functools.lru_cache(maxsize=64)
def declared(declaration: str) -> Pipeline:
    """Return the pipeline that a document, JSON, declares; the same one for the same document."""
    try:
        given = json.loads(declaration)
    except (ValueError, RecursionError) as error:
        raise PipelineError(f"found no declaration of a pipeline ({error})") from None
    document = Section(given, wrong=_wrong)
    name, version = document.text("name", None, _NAME), document.whole("version", None, least=1, most=1_000_000)
    every_ms = document.whole("every_ms", None, least=1, most=366 * _DAY_MS)
    channels = _channels(document.section("channels"))
    formulas, features = _features(document.section("features"), channels)
    gap = _gap(document.section("gap"), every_ms)
    document.finish()
    looks = tuple(dict.fromkeys(look for formula in formulas for look in formula.looks))
    kept = sum(look.readings * (6 if look.how in _SUMMED else 1) for look in looks)
    if kept > _MOST_KEPT:
        raise PipelineError(f"found windows and lags that keep {kept} numbers, wanted at most {_MOST_KEPT}")
    return Pipeline(
        name=name,
        version=version,
        channels=channels,
        features=features,
        every_ms=every_ms,
        gap=gap,
        kernel=lambda: _DeclaredKernel(channels, formulas, looks),
        span=max([1, *(look.readings + (look.how not in _SUMMED) for look in looks)]),
        declaration=declaration,
    )


class _DeclaredKernel:
    def __init__(self, channels: Sequence[Channel], formulas: Sequence[Formula], looks: Sequence[Look]) -> None:
        self._channels = tuple(channel.name for channel in channels)
        self._formulas = formulas
        self._timed = any(not formula.names.isdisjoint(TIMES) for formula in formulas)
        summed = sorted((look for look in looks if look.how in _SUMMED), key=lambda look: look.readings)
        self._windows = {readings: tuple(group) for readings, group in groupby(summed, lambda look: look.readings)}
        self._sums = {readings: RollingSums(readings, 3 * len(group)) for readings, group in self._windows.items()}
        self._back = tuple(look for look in looks if look.how not in _SUMMED)
        self._deepest = max((look.readings for look in self._back), default=0)
        self._lags = Lags(self._deepest, len(self._back))
        # Squares are summed of differences from these, so that a deviation keeps its digits.
        self._typical = {readings: _typical(group, channels) for readings, group in self._windows.items()}

    def extend(self, at_ms: Ints, rows: Floats) -> Vectors:
        columns = dict(zip(self._channels, np.ascontiguousarray(rows.T), strict=True))
        if self._timed:
            columns |= times_of(at_ms)
        with np.errstate(all="ignore"):
            for readings, group in self._windows.items():
                self._sum(readings, group, columns)
            if self._back:
                self._look_back(columns)
            matrix = np.empty((len(rows), len(self._formulas)), np.float32)
            for place, formula in enumerate(self._formulas):
                matrix[:, place] = formula.evaluate(columns)
            return Vectors(at_ms, matrix)

    def freeze(self) -> Arrays:
        parts = {f"sums{readings}": sums.freeze() for readings, sums in self._sums.items()}
        return join(lags=self._lags.freeze(), **parts)

    def thaw(self, state: Arrays) -> None:
        self._lags.thaw(part(state, "lags"))
        for readings, sums in self._sums.items():
            sums.thaw(part(state, f"sums{readings}"))

    def _sum(self, readings: int, group: Sequence[Look], columns: dict[str, Floats]) -> None:
        values = _side_by_side(group, columns)
        there = np.isfinite(values)
        typical = self._typical[readings]
        offsets = np.where(there, values - typical, 0.0)
        sums = self._sums[readings].extend(np.concatenate((offsets, offsets * offsets, there), axis=1))
        width = len(group)
        total, squares, present = sums[:, :width], sums[:, width : 2 * width], sums[:, 2 * width :]
        shift = total / present
        spread = np.sqrt(np.maximum((squares - total * shift) / np.where(present > 1, present - 1, np.nan), 0.0))
        mean = typical + shift
        for place, look in enumerate(group):
            columns[look.key] = (mean if look.how == "mean" else spread)[:, place]

    def _look_back(self, columns: dict[str, Floats]) -> None:
        values = _side_by_side(self._back, columns)
        known = self._lags.extend(values)
        for place, look in enumerate(self._back):
            first = self._deepest - look.readings
            past = known[first : first + len(values), place]
            columns[look.key] = past if look.how == "lag" else values[:, place] - past


def _side_by_side(looks: Sequence[Look], columns: Columns) -> Floats:
    values = np.empty((len(next(iter(columns.values()))), len(looks)))
    for place, look in enumerate(looks):
        values[:, place] = look.value(columns)
    return values


def _typical(looks: Sequence[Look], channels: Sequence[Channel]) -> Floats:
    """Return what the values of looks are in the middle of the channels' bounds; 0 where there is no such middle."""
    middles = np.array([(channel.low + channel.high) / 2 for channel in channels])
    columns = {channel.name: middles[place : place + 1] for place, channel in enumerate(channels)}
    columns |= {name: np.zeros(1) for name in TIMES}
    with np.errstate(all="ignore"):
        values = np.concatenate([look.value(columns) for look in looks])
    return np.where(np.isfinite(values), values, 0.0)


def _wrong(key: str, found: object, wanted: str) -> PipelineError:
    return PipelineError(f"{key}: found {'nothing' if found is None else repr(found)}, wanted {wanted}")


def _channels(section: Section) -> tuple[Channel, ...]:
    names = _names(section, _CHANNEL, _MOST_CHANNELS)
    if taken := [name for name in names if name in TIMES]:
        raise PipelineError(f"channels: found {taken[0]}, which is a time; wanted another name")
    return tuple(_channel(name, section.section(name)) for name in names)


def _channel(name: str, section: Section) -> Channel:
    unit, (low, high) = section.text("unit", ""), _bounds(section)
    section.finish()
    return Channel(name, unit, -math.inf if low is None else low, math.inf if high is None else high)


def _features(section: Section, channels: Sequence[Channel]) -> tuple[tuple[Formula, ...], tuple[Feature, ...]]:
    bounds = {channel.name: (channel.low, channel.high) for channel in channels}
    formulas, features = [], []
    for name in _names(section, _FEATURE, _MOST_FEATURES):
        entry = section.section(name, short="formula")
        text, (low, high) = entry.text("formula", None), _bounds(entry)
        kind = _KINDS[entry.choice("kind", "numeric", tuple(_KINDS))]
        entry.finish()
        try:
            formula = read_formula(text, bounds)
        except PipelineError as error:
            raise PipelineError(f"{entry.key}: {error}") from None
        if low is None and high is None and text.strip() in bounds:
            # What is a channel as it stands is bounded as the channel is.
            low, high = (None if math.isinf(bound) else bound for bound in bounds[text.strip()])
        formulas.append(formula)
        features.append(Feature(name=name, low=low, high=high, kind=kind))
    return tuple(formulas), tuple(features)


def _gap(section: Section, every_ms: int) -> Gap:
    longest_ms = 366 * _DAY_MS
    gap = Gap(
        max_ms=section.whole("max_ms", min(60 * every_ms, longest_ms), least=every_ms, most=longest_ms),
        fill=section.truth("fill", default=False),
    )
    section.finish()
    return gap


def _names(section: Section, form: re.Pattern[str], most: int) -> Sequence[str]:
    names = section.names()
    if not 1 <= len(names) <= most:
        raise _wrong(section.key, len(names), f"1 to {most} of them")
    for name in names:
        if not form.fullmatch(name):
            raise _wrong(section.key, name, f"names of the form {form.pattern}")
    return names


def _bounds(section: Section) -> tuple[float | None, float | None]:
    low, high = (
        None if section.raw(key, None) is None else section.number(key, 0, above=-1e300, at_most=1e300)
        for key in ("low", "high")
    )
    if low is not None and high is not None and low >= high:
        raise _wrong(section.path_of("low"), low, f"less than high, {high:g}")
    return low, high
