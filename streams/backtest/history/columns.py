"""Feature statistics from Parquet's columns to the engine's, without Python for each record."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.columns import StatsColumns, layout
from schemas.errors import BadRecordError
from schemas.feature_stats import FeatureStats
from schemas.stats_run import SetAside, Sorted, StatsRun, holding, only
from streams.backtest.history.base import ShapeOf, StatsBatch

__all__ = ["STATS_COLUMNS", "stats_of"]

_TEXTS = ("device_id", "model_id", "pipeline", "boot_id")
_NUMBERS = ("seq", "window_start_ms", "window_end_ms", "samples", "windows", "arrival_hour_ms")
_ARRAYS = ("counts", "missing", "out_of_range", "mean", "m2", "min", "max")
STATS_COLUMNS = ("kafka_offset", "kafka_time_ms", "grid_id", *_TEXTS, *_NUMBERS, *_ARRAYS)
_DEFAULTS = {"windows": 1, "arrival_hour_ms": 0}


def stats_of(table: pa.Table, shape_of: ShapeOf) -> StatsBatch:
    """Lay out a table's windows, a run for each grid; those that make no sense are set aside."""
    table = table.combine_chunks()
    batch = StatsBatch(_numbers(table, "kafka_offset"), _numbers(table, "kafka_time_ms"))
    positions = np.arange(table.num_rows)
    for grid_id in pc.unique(table["grid_id"]).to_pylist():
        shape = None if grid_id is None else shape_of(grid_id)
        mine = positions if table["grid_id"].null_count == 0 and _alike(table) else _where(table, grid_id)
        if shape is None:
            batch.sorted.unknown_grids[str(grid_id)] = mine.tolist()
            continue
        _lay_out(batch.sorted, grid_id, table if len(mine) == len(positions) else table.take(mine), mine, shape)
    return batch


def _lay_out(result: Sorted, grid_id: str, table: pa.Table, positions: npt.NDArray[np.int64], shape: Any) -> None:
    fits = np.ones(table.num_rows, np.bool_)
    packed = layout(FeatureStats, shape)
    for array in packed:
        fits &= _lengths(table[array.name]) == array.size
    if not fits.all():
        _refuse(result, positions[~fits], f"arrays of {shape.features} x {shape.bins}")
        table, positions = table.filter(pa.array(fits)), positions[fits]
    if not table.num_rows:
        return
    plain: dict[str, Any] = {name: table[name].to_pylist() for name in _TEXTS}
    plain |= {name: _numbers(table, name) for name in _NUMBERS}
    arrays: dict[str, Any] = {
        array.name: np.frombuffer(_bytes(table[array.name]), array.dtype).reshape(-1, *array.shape) for array in packed
    }
    run = StatsRun(grid_id=grid_id, positions=positions, columns=StatsColumns(**arrays), **plain)
    good = holding(run)
    if not good.all():
        _refuse(result, positions[~good], "figures that agree with each other")
        run = only(run, good)
    if len(run.positions):
        result.runs.append(run)


def _refuse(result: Sorted, positions: npt.NDArray[np.int64], wanted: str) -> None:
    why = BadRecordError("FeatureStats", found="others", wanted=wanted)
    result.bad.extend(SetAside(position, why) for position in positions.tolist())


def _alike(table: pa.Table) -> bool:
    return bool(pc.count_distinct(table["grid_id"]).as_py() == 1)


def _where(table: pa.Table, grid_id: str | None) -> npt.NDArray[np.int64]:
    same = pc.is_null(table["grid_id"]) if grid_id is None else pc.equal(table["grid_id"], grid_id)
    return np.flatnonzero(same.to_numpy(zero_copy_only=False))


def _numbers(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    if name not in table.schema.names:
        return np.full(table.num_rows, _DEFAULTS[name], np.int64)
    return np.asarray(table[name].to_numpy(), np.int64)


def _lengths(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    # A null has no length, so it fits nowhere.
    return np.asarray(pc.fill_null(pc.binary_length(column), -1).to_numpy(), np.int64)


def _bytes(column: pa.ChunkedArray) -> memoryview:
    """Return the bytes of a column without nulls, one value after the other."""
    (chunk,) = column.chunks if column.num_chunks == 1 else (pa.concat_arrays(column.chunks),)
    _, offsets, data = chunk.buffers()
    ends = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
    return memoryview(data)[int(ends[0]) : int(ends[-1])]
