"""Runs of feature statistics, thousands of records at a time, into columns: next to no Python for each record.

A bad record is set aside with its reason; it never takes its neighbours along.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import compress
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.catalogue import topic_named
from schemas.codec import BodyReader, codec_of
from schemas.columns import GridShape, StatsColumns, columns, layout
from schemas.errors import BadRecordError, RegistryAwayError, SchemaError
from schemas.feature_stats import FeatureStats
from schemas.figures import Figures, sound
from schemas.shapes import bounds, is_uuid
from schemas.wire import HEADER_BYTES, Contract, key_of_plain, schema_id_in

__all__ = ["SetAside", "Sorted", "StatsRun", "holding", "only", "sort_plain", "sort_run"]


@dataclass(frozen=True, slots=True)
class StatsRun:
    """Windows on one grid: entry i of everything here is the record that stood at `positions[i]` of the run."""

    grid_id: str
    positions: NDArray[np.int64]
    device_id: list[str]
    model_id: list[str]
    pipeline: list[str]
    boot_id: list[str]
    seq: NDArray[np.int64]
    window_start_ms: NDArray[np.int64]
    window_end_ms: NDArray[np.int64]
    samples: NDArray[np.int64]
    windows: NDArray[np.int64]
    arrival_hour_ms: NDArray[np.int64]
    columns: StatsColumns


@dataclass(frozen=True, slots=True)
class SetAside:
    """A record that is in no run, by its position, and why."""

    position: int
    why: SchemaError | RegistryAwayError


@dataclass(frozen=True, slots=True)
class Sorted:
    """What became of a run's records: each is in `runs` or set aside, once."""

    runs: list[StatsRun] = field(default_factory=list)
    # Of no use, now or later: dead letters.
    bad: list[SetAside] = field(default_factory=list)
    # Cannot be read now: their schema is unknown while the registry is away.
    unread: list[SetAside] = field(default_factory=list)
    # Positions of records whose grid is not known here yet, by grid_id.
    unknown_grids: dict[str, list[int]] = field(default_factory=dict)


def sort_run(
    contract: Contract,
    topic_name: str,
    keys: Sequence[bytes | None],
    values: Sequence[bytes],
    shape_of: Callable[[str], GridShape | None],
) -> Sorted:
    """Decode a run of records of a topic of FeatureStats; `shape_of` knows the shapes of grids by their ids."""
    topic = topic_named(topic_name)
    judge = partial(_judge, contract, topic_name, keys, values)
    result = Sorted()
    by_grid: dict[str, list[_Row]] = {}
    readers: dict[bytes, BodyReader] = {}
    for position, (key, value) in enumerate(zip(keys, values, strict=True)):
        header = value[:HEADER_BYTES]
        try:
            if header not in readers:
                readers[header] = contract.reader_of(topic, schema_id_in(header))
            plain = readers[header].read(value, start=HEADER_BYTES)
        except SchemaError:
            judge(result, position)
            continue
        except RegistryAwayError as why:
            result.unread.append(SetAside(position, why))
            continue
        if key == key_of_plain(topic, plain):
            by_grid.setdefault(plain["grid_id"], []).append((position, _ALL(plain)))
        else:
            judge(result, position)
    _gather_all(result, by_grid, shape_of, judge)
    return result


def sort_plain(plains: Sequence[Mapping[str, Any]], shape_of: Callable[[str], GridShape | None]) -> Sorted:
    """Sort records that were decoded before: what an Avro reader returns for each of a run's."""
    result = Sorted()
    by_grid: dict[str, list[_Row]] = {}
    for position, plain in enumerate(plains):
        by_grid.setdefault(plain["grid_id"], []).append((position, _ALL(plain)))
    _gather_all(result, by_grid, shape_of, partial(_judge_plain, plains))
    return result


# Position, then the values of the fields in the order of _NAMES.
_Row = tuple[int, tuple[Any, ...]]

_TEXTS = ("device_id", "model_id", "pipeline", "boot_id")
_NUMBERS = ("seq", "window_start_ms", "window_end_ms", "samples", "windows", "arrival_hour_ms")
_ARRAYS = tuple(packed.name for packed in layout(FeatureStats, GridShape(1, 1)))
_NAMES = (*_TEXTS, *_NUMBERS, *_ARRAYS)
_ALL = itemgetter(*_NAMES)
_SIZED = slice(len(_TEXTS) + len(_NUMBERS), None)
_BOUNDS = bounds(FeatureStats)


def _gather_all(
    result: Sorted,
    by_grid: Mapping[str, list[_Row]],
    shape_of: Callable[[str], GridShape | None],
    judge: Callable[..., None],
) -> None:
    for grid_id, rows in by_grid.items():
        shape = shape_of(grid_id)
        if shape is None:
            result.unknown_grids[grid_id] = [position for position, _ in rows]
        else:
            _gather(result, grid_id, shape, rows, partial(judge, shape=shape))


def _gather(
    result: Sorted, grid_id: str, shape: GridShape, rows: list[_Row], judge: Callable[[Sorted, int], None]
) -> None:
    """Lay the rows of one grid into columns, without those that do not fit or make no sense."""
    packed = layout(FeatureStats, shape)
    sizes = [array.size for array in packed]
    fitting = []
    for row in rows:
        if [*map(len, row[1][_SIZED])] == sizes:
            fitting.append(row)
        else:
            judge(result, row[0])
    if not fitting:
        return
    positions, values = zip(*fitting, strict=True)
    by_name = dict(zip(_NAMES, zip(*values, strict=True), strict=True))
    plain: dict[str, Any] = {name: list(by_name[name]) for name in _TEXTS}
    plain |= {name: np.array(by_name[name], np.int64) for name in _NUMBERS}
    arrays: dict[str, Any] = {
        array.name: np.frombuffer(b"".join(by_name[array.name]), array.dtype).reshape(-1, *array.shape)
        for array in packed
    }
    run = StatsRun(grid_id=grid_id, positions=np.array(positions, np.int64), columns=StatsColumns(**arrays), **plain)
    good = holding(run)
    for position in run.positions[~good].tolist():
        judge(result, position)
    if good.any():
        result.runs.append(run if good.all() else only(run, good))


def holding(run: StatsRun) -> NDArray[np.bool_]:
    """Say which windows hold to what their fields declare, and make sense."""
    good = sound(Figures.of_run(run.samples, run.window_start_ms, run.window_end_ms, run.columns))
    for name in _NUMBERS:
        low, high = _BOUNDS[name]
        good &= (getattr(run, name) >= low) & (getattr(run, name) <= high)
    strange = {boot_id for boot_id in set(run.boot_id) if not is_uuid(boot_id)}
    if strange:
        good &= np.array([boot_id not in strange for boot_id in run.boot_id])
    return good


def only(run: StatsRun, good: NDArray[np.bool_]) -> StatsRun:
    """Return some of the windows, in their order."""
    taken: dict[str, Any] = {name: list(compress(getattr(run, name), good)) for name in _TEXTS}
    taken |= {name: getattr(run, name)[good] for name in ("positions", *_NUMBERS)}
    arrays = {name: getattr(run.columns, name)[good] for name in _ARRAYS}
    return replace(run, columns=StatsColumns(**arrays), **taken)


def _judge(
    contract: Contract,
    topic_name: str,
    keys: Sequence[bytes | None],
    values: Sequence[bytes],
    result: Sorted,
    position: int,
    *,
    shape: GridShape | None = None,
) -> None:
    """Set aside what the quick way did not take, with the reason that the careful way gives."""
    try:
        record = contract.decode(topic_name, keys[position], values[position])
        if shape is not None:
            columns(record, shape)
    except BadRecordError as why:
        result.bad.append(SetAside(position, why))
    except RegistryAwayError as why:
        result.unread.append(SetAside(position, why))
    else:
        # The registry was rebuilt meanwhile, which only the careful way asks about.
        changed = RegistryAwayError("the schema id stands for another schema since a moment ago; read the record again")
        result.unread.append(SetAside(position, changed))


def _judge_plain(plains: Sequence[Mapping[str, Any]], result: Sorted, position: int, *, shape: GridShape) -> None:
    """Set aside a decoded record, with the reason that the careful way gives."""
    try:
        columns(codec_of(FeatureStats).made(dict(plains[position])), shape)
    except BadRecordError as why:
        result.bad.append(SetAside(position, why))
