"""Bodies of feature statistics, thousands at a time: where their fields lie, and their arrays in columns.

The loops take nothing on trust and explain nothing: what they do not take is for the careful way to judge.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streams.drift.kernels.compiled import compiled
from streams.drift.windows import Ints, Naturals, Singles

__all__ = ["FIELDS", "NUMBERS", "SPANS", "Columns", "Found", "Packed", "find_fields", "lay_in_columns"]

# In the order in which they are written; 0 is a number, 1 a stretch of bytes.
FIELDS = {
    "device_id": 1, "model_id": 1, "pipeline": 1, "grid_id": 1, "boot_id": 1, "seq": 0, "window_start_ms": 0,
    "window_end_ms": 0, "samples": 0, "counts": 1, "missing": 1, "out_of_range": 1, "mean": 1, "m2": 1, "min": 1,
    "max": 1, "windows": 0, "arrival_hour_ms": 0,
}  # fmt: skip
NUMBERS = tuple(name for name, kind in FIELDS.items() if not kind)
SPANS = tuple(name for name, kind in FIELDS.items() if kind)

_KINDS = tuple(FIELDS.values())
_DEVICE, _BOOT, _FIRST_ARRAY = (SPANS.index(name) for name in ("device_id", "boot_id", "counts"))
# Texts that many records in a row have in common.
_SHARED, _SHARED_END = SPANS.index("model_id"), SPANS.index("grid_id") + 1
_START, _END, _SAMPLES = (NUMBERS.index(name) for name in ("window_start_ms", "window_end_ms", "samples"))
_HEADER_BYTES, _UUID_BYTES = 5, 36
_WORD = 4

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


class Packed(NamedTuple):
    """Byte strings one behind the other; string i lies from `starts[i]` up to `starts[i + 1]`."""

    data: Bytes
    starts: Ints


class Found(NamedTuple):
    """What was found of each record."""

    # Its body reads to its very end, in the shortest form, its key is its device, and its boot a UUID.
    taken: Flags
    # Records × NUMBERS.
    numbers: Ints
    # Records × SPANS × (first byte, the byte behind the last).
    spans: Ints
    # Records × (model, pipeline, grid): it is not that of the record taken before.
    fresh: Flags

    @staticmethod
    def of(records: int) -> "Found":
        """Return room for so many records."""
        return Found(
            np.zeros(records, np.bool_), np.zeros((records, len(NUMBERS)), np.int64),
            np.zeros((records, len(SPANS), 2), np.int64), np.zeros((records, _SHARED_END - _SHARED), np.bool_),
        )  # fmt: skip


class Columns(NamedTuple):
    """Arrays of windows, as numbers and as the bytes that they are."""

    # Windows × features × bins, and windows × bytes.
    counts: Naturals
    count_bytes: Bytes
    # The other six: array × windows × features, and array × windows × bytes.
    naturals: Naturals
    singles: Singles
    other_bytes: Bytes

    @staticmethod
    def of(windows: int, features: int, bins: int) -> "Columns":
        """Return room for so many windows."""
        counts, others = np.empty((windows, features, bins), "<u4"), np.empty((6, windows, features), "<u4")
        return Columns(
            counts, counts.view(np.uint8).reshape(windows, -1), others[:2], others[2:].view("<f4"),
            others.view(np.uint8).reshape(6, windows, -1),
        )  # fmt: skip


@compiled
def find_fields(values: Packed, keys: Packed, headers: Ints, most: int, found: Found) -> None:
    """Find the fields of values that begin with one of the headers and whose body is at most so long."""
    before = -1
    for i in range(len(found.taken)):
        start, end = values.starts[i], values.starts[i + 1]
        if end - start < _HEADER_BYTES or end - start - _HEADER_BYTES > most:
            continue
        if not _is_known(values.data, start, headers):
            continue
        if not _walk(values.data, start + _HEADER_BYTES, end, found.numbers[i], found.spans[i]):
            continue
        spans = found.spans[i]
        first, last = keys.starts[i], keys.starts[i + 1]
        if not _equal(values.data, spans[_DEVICE, 0], spans[_DEVICE, 1], keys.data, first, last):
            continue
        if not _is_uuid(values.data, spans[_BOOT, 0], spans[_BOOT, 1]):
            continue
        found.taken[i] = True
        for s in range(_SHARED, _SHARED_END):
            earlier = found.spans[max(before, 0)]
            found.fresh[i, s - _SHARED] = before < 0 or not _equal(
                values.data, spans[s, 0], spans[s, 1], values.data, earlier[s, 0], earlier[s, 1]
            )
        before = i


@compiled
def lay_in_columns(values: Packed, found: Found, records: Ints, into: Columns, sound: Flags) -> None:
    """Lay the arrays of some records into columns; says which fit there and make sense, as `schemas.figures` has it."""
    _, features, bins = into.counts.shape
    for i in range(len(records)):
        spans, numbers = found.spans[records[i]], found.numbers[records[i]]
        sound[i] = False
        if not _have_sizes(spans, features, bins):
            continue
        _copy(values.data, spans[_FIRST_ARRAY, 0], into.count_bytes[i])
        for a in range(6):
            _copy(values.data, spans[_FIRST_ARRAY + 1 + a, 0], into.other_bytes[a, i])
        good = numbers[_END] >= numbers[_START]
        for f in range(features):
            counted = np.int64(0)
            for b in range(bins):
                counted += np.int64(into.counts[i, f, b])
            usable = numbers[_SAMPLES] - np.int64(into.naturals[0, i, f])
            good &= counted <= usable and np.int64(into.naturals[1, i, f]) <= usable
            mean, m2 = into.singles[0, i, f], into.singles[1, i, f]
            low, high = into.singles[2, i, f], into.singles[3, i, f]
            finite = np.isfinite(mean) and np.isfinite(m2) and np.isfinite(low) and np.isfinite(high)
            good &= counted == 0 or (finite and m2 >= 0 and high >= low)
        sound[i] = good


@compiled
def _is_known(data: Bytes, start: int, headers: Ints) -> bool:
    header = np.int64(0)
    for at in range(start, start + _HEADER_BYTES):
        header = header * 256 + np.int64(data[at])
    for known in headers:  # noqa: SIM110  (no generators in compiled loops)
        if header == known:
            return True
    return False


@compiled
def _walk(data: Bytes, at: int, end: int, numbers: Ints, spans: Ints) -> bool:
    """Walk over a body, field by field; says whether it ends where it should."""
    number = span = 0
    for kind in _KINDS:
        value, at = _long(data, at, end)
        if at < 0:
            return False
        if kind == 0:
            numbers[number] = value
            number += 1
            continue
        if value < 0 or value > end - at:
            return False
        spans[span, 0], spans[span, 1] = at, at + value
        span += 1
        at += value
    return at == end


@compiled
def _long(data: Bytes, at: int, end: int) -> Any:
    """Read a number in Avro's zigzag form; returns it and where the next field begins, or -1 for what is not so."""
    raw = np.uint64(0)
    for place in range(10):
        if at >= end:
            return np.int64(0), -1
        byte = data[at]
        at += 1
        if place == 9 and byte > 1:
            return np.int64(0), -1
        raw |= np.uint64(byte & 0x7F) << np.uint64(7 * place)
        if byte < 0x80:
            if byte == 0 and place > 0:
                return np.int64(0), -1
            return np.int64(raw >> np.uint64(1)) ^ -np.int64(raw & np.uint64(1)), at
    return np.int64(0), -1


@compiled
def _equal(one: Bytes, first: int, end: int, other: Bytes, other_first: int, other_end: int) -> bool:
    if end - first != other_end - other_first:
        return False
    for at in range(end - first):  # noqa: SIM110  (likewise)
        if one[first + at] != other[other_first + at]:
            return False
    return True


@compiled
def _is_uuid(data: Bytes, first: int, end: int) -> bool:
    if end - first != _UUID_BYTES:
        return False
    for place in range(_UUID_BYTES):
        byte = data[first + place]
        if place == 8 or place == 13 or place == 18 or place == 23:
            if byte != 45:
                return False
        elif not (48 <= byte <= 57 or 65 <= byte <= 70 or 97 <= byte <= 102):
            return False
    return True


@compiled
def _have_sizes(spans: Ints, features: int, bins: int) -> bool:
    for s in range(_FIRST_ARRAY, spans.shape[0]):
        wanted = features * bins * _WORD if s == _FIRST_ARRAY else features * _WORD
        if spans[s, 1] - spans[s, 0] != wanted:
            return False
    return True


@compiled
def _copy(data: Bytes, first: int, into: Bytes) -> None:
    for at in range(len(into)):
        into[at] = data[first + at]
