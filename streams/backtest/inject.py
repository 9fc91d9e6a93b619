"""Synthetic drift in real history: what if this had happened to that device, there and then?

An injected device is a twin of a real one, from some time before the fault on: its windows are the real ones, but for
one feature from the fault on. Readings are gone by then, so the fault is done to their histogram: values are taken to
lie evenly within their bin. A twin's state begins with it, as a device's does after a long silence.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.grid import FeatureKind
from streams.backtest.errors import BacktestError
from streams.backtest.logbook import DeviceNotes
from streams.drift.partition import Stretch
from streams.drift.references import ScoredAgainst

__all__ = ["KINDS", "Injection", "Injector", "plan_injections"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault done to a twin of a device."""

    twin: str
    device_id: str
    # The feature's place in its grid, modulo the number of features that can take the fault.
    feature: int
    kind: str
    strength: float
    from_ms: int
    to_ms: int
    # The twin's first window ends after this.
    born_ms: int


def plan_injections(
    devices: Mapping[str, DeviceNotes],
    kinds: Mapping[str, Sequence[float]],
    *,
    each: int,
    lasting_ms: int,
    warm_ms: int,
    rng: np.random.Generator,
) -> list[Injection]:
    """Choose devices and moments: `each` injections of every kind at every strength, at the same places for all."""
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise BacktestError(f"what-if: found {unknown[0]!r}, wanted one of {', '.join(KINDS)}")
    names = [name for name, one in sorted(devices.items()) if one.last_ms - one.first_ms > lasting_ms + warm_ms]
    if not names:
        hours = (lasting_ms + warm_ms) / 3_600_000
        raise BacktestError(f"what-if: found no device with {hours:g} h of history, wanted at least one")
    places = []
    for _ in range(each):
        device = names[int(rng.integers(len(names)))]
        notes = devices[device]
        begin_ms = int(rng.integers(notes.first_ms + warm_ms, notes.last_ms - lasting_ms + 1))
        places.append((device, begin_ms, int(rng.integers(1 << 30))))
    return [
        Injection(
            f"{device}~{kind}~{strength:g}~{number}", device, feature, kind, strength, begin_ms,
            begin_ms + lasting_ms, begin_ms - warm_ms,
        )
        for kind, strengths in kinds.items()
        for strength in strengths
        for number, (device, begin_ms, feature) in enumerate(places)
    ]  # fmt: skip


class Injector:
    """Makes the windows of twins out of the real ones that pass by."""

    def __init__(self, injections: Sequence[Injection]) -> None:
        self._of: dict[str, list[Injection]] = {}
        for one in injections:
            self._of.setdefault(one.device_id, []).append(one)

    def injected(self, real: Stretch) -> Iterator[Stretch]:
        """Yield the windows of twins of devices in a stretch."""
        windows = real.windows
        ids = np.array(windows.device_id, object)
        for device in sorted(set(windows.device_id) & self._of.keys()):
            mine = np.flatnonzero(ids == device)
            for injection in self._of[device]:
                ends = windows.end_ms[mine]
                alive = mine[(ends > injection.born_ms) & (windows.start_ms[mine] < injection.to_ms)]
                if len(alive):
                    yield _twin(real, alive, injection)


def _twin(real: Stretch, places: npt.NDArray[np.int64], injection: Injection) -> Stretch:
    windows, which = real.windows.take(places), real.which[places]
    arrays = {name: getattr(windows, name).copy() for name in ("counts", "missing", "mean", "m2")}
    struck = np.flatnonzero(windows.start_ms >= injection.from_ms)
    for group in np.unique(which[struck]).tolist():
        against, mine = real.groups[group].against, struck[which[struck] == group]
        feature = _feature(against, injection)
        progress = (windows.end_ms[mine] - injection.from_ms) / (injection.to_ms - injection.from_ms)
        KINDS[injection.kind](arrays, mine, feature, against, injection.strength, np.clip(progress, 0, 1))
    renamed = replace(windows, device_id=[injection.twin] * len(windows), **arrays)
    return Stretch(renamed, real.groups, which)


def _feature(against: ScoredAgainst, injection: Injection) -> int:
    numeric = [i for i, one in enumerate(against.grid.features) if one.kind is FeatureKind.NUMERIC and one.edges]
    if not numeric:
        raise BacktestError(f"what-if: grid {against.grid.grid_id:.12} has no numeric feature that could drift")
    return numeric[injection.feature % len(numeric)]


Arrays = dict[str, npt.NDArray[Any]]
Places = npt.NDArray[np.int64]


def _shift(arrays: Arrays, at: Places, feature: int, against: ScoredAgainst, by: float, _progress: Floats) -> None:
    _move(arrays, at, feature, against, 1.0, np.full(len(at), by))


def _trend(arrays: Arrays, at: Places, feature: int, against: ScoredAgainst, by: float, progress: Floats) -> None:
    _move(arrays, at, feature, against, 1.0, by * progress)


def _scale(arrays: Arrays, at: Places, feature: int, against: ScoredAgainst, by: float, _progress: Floats) -> None:
    _move(arrays, at, feature, against, by, np.zeros(len(at)))


def _dropout(arrays: Arrays, at: Places, feature: int, _against: ScoredAgainst, by: float, _progress: Floats) -> None:
    counts = arrays["counts"][at, feature].astype(np.int64)
    kept = _rounded(np.cumsum(counts, axis=1) * (1 - min(by, 1.0)))
    arrays["counts"][at, feature] = kept
    arrays["missing"][at, feature] += (counts.sum(axis=1) - kept.sum(axis=1)).astype(arrays["missing"].dtype)
    arrays["m2"][at, feature] *= np.float32(1 - min(by, 1.0))
    # Whoever has no value has no mean.
    arrays["mean"][at, feature] = np.where(kept.sum(axis=1) > 0, arrays["mean"][at, feature], np.nan)


Fault = Callable[[Arrays, Places, int, ScoredAgainst, float, Floats], None]
# Strengths: standard deviations of the reference; a factor on the spread; a share of values; standard deviations
# reached at the end.
KINDS: Mapping[str, Fault] = {"shift": _shift, "scale": _scale, "dropout": _dropout, "trend": _trend}


def _move(arrays: Arrays, at: Places, feature: int, against: ScoredAgainst, factor: float, shift: Floats) -> None:
    """Turn values x into centre + factor * (x - centre) + shift * sd, in units of the reference."""
    reference = against.reference
    usable = max(float(reference.usable[0, feature]), 2.0)
    centre = float(reference.mean[0, feature])
    sd = float(np.sqrt(reference.m2[0, feature] / (usable - 1))) or 1.0
    edges = np.array(against.grid.features[feature].edges, np.float64)
    bins = len(edges) + 1
    ends = np.concatenate([[min(edges[0], centre - 4 * sd) - sd], edges, [max(edges[-1], centre + 4 * sd) + sd]])
    counts = arrays["counts"][at, feature, :bins].astype(np.int64)
    below = np.concatenate([np.zeros((len(at), 1)), np.cumsum(counts, axis=1)], axis=1)
    moved = np.empty((len(at), bins))
    for i, by in enumerate(shift.tolist()):
        sources = centre + (edges - by * sd - centre) / factor
        moved[i, :-1] = np.interp(sources, ends, below[i])
    moved[:, -1] = below[:, -1]
    arrays["counts"][at, feature, :bins] = _rounded(moved)
    mean = arrays["mean"][at, feature].astype(np.float64)
    arrays["mean"][at, feature] = centre + factor * (mean - centre) + shift * sd
    arrays["m2"][at, feature] *= np.float32(factor * factor)


def _rounded(running: Floats) -> npt.NDArray[np.int64]:
    """Turn running sums into whole counts that add up to the rounded total."""
    whole = np.rint(running).astype(np.int64)
    return np.diff(whole, axis=1, prepend=0)
