"""Runs of feature statistics into columns by compiled loops: what `sort_run` returns, in a third of the time.

The loops take the records of every healthy gateway. All others go the careful way, which knows the reasons and other
versions of the schema as well.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.catalogue import topic_named
from schemas.codec import MAX_BODY_BYTES, codec_of
from schemas.columns import GridShape, StatsColumns
from schemas.errors import RegistryAwayError, SchemaError
from schemas.feature_stats import FeatureStats
from schemas.shapes import bounds
from schemas.stats_run import SetAside, Sorted, StatsRun, sort_run
from schemas.wire import HEADER_BYTES, Contract, schema_id_in
from streams.drift.kernels import Columns, Found, Packed, find_fields, lay_in_columns
from streams.drift.kernels.reading import NUMBERS, SPANS
from streams.drift.windows import Ints

__all__ = ["sort_quickly"]

_BOUNDS = bounds(FeatureStats)
_LOW, _HIGH = (np.array([_BOUNDS[name][end] for name in NUMBERS], np.int64) for end in (0, 1))
_BOOT = SPANS.index("boot_id")
_SHARED = ("model_id", "pipeline", "grid_id")


def sort_quickly(
    contract: Contract,
    topic_name: str,
    keys: Sequence[bytes | None],
    values: Sequence[bytes],
    shape_of: Callable[[str], GridShape | None],
) -> Sorted:
    """Decode a run of records of a topic of FeatureStats whose key is the device; see `sort_run`."""
    headers = _headers(contract, topic_name, values)
    data, found = _packed(values), Found.of(len(values))
    find_fields(data, _packed([key or b"" for key in keys]), headers, MAX_BODY_BYTES, found)
    taken = found.taken & ((found.numbers >= _LOW) & (found.numbers <= _HIGH)).all(axis=1)
    result = Sorted()
    try:
        for grid_id, records in _by_grid(found, taken, values, data):
            shape = shape_of(grid_id)
            if shape is None:
                _read_texts(records, found, keys, values, data)
                result.unknown_grids[grid_id] = records.tolist()
            else:
                _lay_out(result, grid_id, shape, records, taken, data, found, keys, values)
    except UnicodeDecodeError:
        return sort_run(contract, topic_name, keys, values, shape_of)
    left = np.flatnonzero(~taken).tolist()
    if not left:
        return result
    careful = sort_run(contract, topic_name, [keys[i] for i in left], [values[i] for i in left], shape_of)
    if careful.runs or careful.unknown_grids:
        # Windows keep the order of their offsets, so all of them go one way.
        return sort_run(contract, topic_name, keys, values, shape_of)
    result.bad.extend(SetAside(left[one.position], one.why) for one in careful.bad)
    result.unread.extend(SetAside(left[one.position], one.why) for one in careful.unread)
    return result


def _headers(contract: Contract, topic_name: str, values: Sequence[bytes]) -> Ints:
    """Return, as numbers, the headers of what was written with today's schema."""
    topic, today = topic_named(topic_name), codec_of(FeatureStats).reader
    known = []
    for header in {value[:HEADER_BYTES] for value in values}:
        try:
            if contract.reader_of(topic, schema_id_in(header)) is today:
                known.append(int.from_bytes(header))
        except (SchemaError, RegistryAwayError):
            # The careful way runs into it again, and says so.
            continue
    return np.array(known, np.int64)


def _packed(strings: Sequence[bytes]) -> Packed:
    starts = np.zeros(len(strings) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, strings), np.int64, len(strings)), out=starts[1:])
    return Packed(np.frombuffer(b"".join(strings), np.uint8), starts)


def _by_grid(
    found: Found, taken: npt.NDArray[np.bool_], values: Sequence[bytes], data: Packed
) -> list[tuple[str, Ints]]:
    records = np.flatnonzero(taken)
    grids = _shared("grid_id", found, records, values, data)
    if len(set(grids)) <= 1:
        return [(grids[0], records)] if grids else []
    by_grid: dict[str, list[int]] = {}
    for grid_id, record in zip(grids, records.tolist(), strict=True):
        by_grid.setdefault(grid_id, []).append(record)
    return [(grid_id, np.array(mine, np.int64)) for grid_id, mine in by_grid.items()]


def _shared(name: str, found: Found, records: Ints, values: Sequence[bytes], data: Packed) -> list[str]:
    """Return one text of each record, decoded once for as many records in a row as have it."""
    fresh = found.fresh[:, _SHARED.index(name)]
    at = SPANS.index(name)
    texts = [_text(at, place, found, values, data) for place in np.flatnonzero(fresh).tolist()]
    if len(texts) == 1:
        return texts * len(records)
    return [texts[number] for number in (np.cumsum(fresh)[records] - 1).tolist()]


def _text(at: int, record: int, found: Found, values: Sequence[bytes], data: Packed) -> str:
    first, end = (found.spans[record, at] - data.starts[record]).tolist()
    return values[record][first:end].decode()


def _devices(records: Ints, keys: Sequence[bytes | None]) -> list[str]:
    return [(keys[record] or b"").decode() for record in records.tolist()]


def _read_texts(
    records: Ints, found: Found, keys: Sequence[bytes | None], values: Sequence[bytes], data: Packed
) -> None:
    """Find texts that are none, before anybody waits for the grid of their records."""
    for name in ("model_id", "pipeline"):
        _shared(name, found, records, values, data)
    _devices(records, keys)


def _lay_out(
    result: Sorted, grid_id: str, shape: GridShape, records: Ints, taken: npt.NDArray[np.bool_], data: Packed,
    found: Found, keys: Sequence[bytes | None], values: Sequence[bytes],
) -> None:  # fmt: skip
    """Make columns of the records of one grid; those that do not fit or make no sense are taken no longer."""
    columns, sound = Columns.of(len(records), *shape), np.zeros(len(records), np.bool_)
    lay_in_columns(data, found, records, columns, sound)
    arrays: list[npt.NDArray[Any]] = [columns.counts, *columns.naturals, *columns.singles]
    if not sound.all():
        taken[records[~sound]] = False
        records, arrays = records[sound], [array[sound] for array in arrays]
        if not len(records):
            return
    boots = (found.spans[records, _BOOT] - data.starts[records, np.newaxis]).tolist()
    listed = records.tolist()
    numbers: dict[str, Any] = {name: found.numbers[records, at] for at, name in enumerate(NUMBERS)}
    result.runs.append(
        StatsRun(
            grid_id=grid_id,
            positions=records,
            device_id=_devices(records, keys),
            model_id=_shared("model_id", found, records, values, data),
            pipeline=_shared("pipeline", found, records, values, data),
            boot_id=[values[record][first:end].decode() for record, (first, end) in zip(listed, boots, strict=True)],
            columns=StatsColumns(*arrays),
            **numbers,
        )
    )
