"""Plain files of rows: columns of numbers or words, and perhaps a time."""

import contextlib
import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.errors import DriftlineError
from sensing import SensingError
from sensing.delimited import NOTHING, TIMES, dialect_of, rows_in
from sensing.parquet_file import open_parquet

__all__ = ["Rows", "TabularError", "read_rows", "rows_of"]

# A column is numbers when all but so many of its values are.
_MOST_WORDS = 0.01


class TabularError(DriftlineError):
    """A file, or columns, that cannot be compared."""


@dataclass(frozen=True)
class Rows:
    """Columns of equal length: numbers as float64 with NaN for nothing, words as objects with "" for nothing."""

    columns: Mapping[str, npt.NDArray[Any]]
    # Milliseconds since 1970; None where the rows have no time.
    at_ms: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def since(self, from_ms: int) -> "Rows":
        """Return the rows from a time on."""
        if self.at_ms is None:
            return self
        kept = self.at_ms >= from_ms
        return Rows({name: column[kept] for name, column in self.columns.items()}, self.at_ms[kept])


def read_rows(path: Path, *, time: str = "", time_format: str = "") -> Rows:
    """Read a Parquet file, or a CSV file with a head line, whatever separates its columns.

    `time` names the column of times, otherwise a usual name is looked for; `time_format` is as for `strptime`.
    """
    columns = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    return rows_of(columns, time=time, time_format=time_format, where=str(path))


def rows_of(
    columns: Mapping[str, Sequence[Any]], *, time: str = "", time_format: str = "", where: str = "columns"
) -> Rows:
    """Make rows of columns, such as those of a data frame."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise TabularError(f"{where}: found columns of different lengths, {lengths}")
    if time and time not in columns:
        raise TabularError(f"{where}: no column {time!r}; there are {', '.join(columns)}")
    of_time = [time] if time else _time_columns(columns)
    at_ms = None
    if of_time:
        parts = [columns[name] for name in of_time]
        moments = parts[0] if len(parts) == 1 else [" ".join(map(str, part)) for part in zip(*parts, strict=True)]
        at_ms = _times(moments, f"{where}: {' '.join(of_time)}", time_format)
    return Rows({name: _column(values) for name, values in columns.items() if name not in of_time}, at_ms)


def _time_columns(columns: Iterable[str]) -> list[str]:
    """Return what is called like a time; a date and a time are one together."""
    named = {name.lower(): name for name in reversed(list(columns)) if name.lower() in TIMES}
    if {"date", "time"} <= named.keys():
        return [named["date"], named["time"]]
    return [named[name] for name in TIMES if name in named][:1]


def _parquet(path: Path) -> Mapping[str, Sequence[Any]]:
    try:
        table = open_parquet(path).read()
    except SensingError as error:
        raise TabularError(str(error), hint=error.hint) from None
    return {name: table[name].to_numpy() for name in table.column_names}


def _csv(path: Path) -> Mapping[str, Sequence[Any]]:
    try:
        dialect = dialect_of(path)
        with path.open(encoding=dialect.encoding, newline="") as file:
            lines = [line for line in rows_in(file, dialect) if line]
    except (OSError, UnicodeError, csv.Error) as error:
        raise TabularError(f"{path}: {error}") from None
    # Spreadsheets leave empty lines at the end, and separators without a column at each line's.
    while lines and not any(lines[-1]):
        lines.pop()
    if len(lines) < 2:
        raise TabularError(f"{path}: found {len(lines)} lines, wanted a head and at least one row")
    head = [name.strip() for name in lines[0]]
    if any(head) and not any(_number(name) != _number(name) for name in head if name):
        head = [f"column_{place}" if name else "" for place, name in enumerate(head, start=1)]
        lines.insert(0, head)
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(head):
            raise TabularError(f"{path}: line {number} has {len(line)} values, the head has {len(head)}")
    columns = [
        (name, values) for name, values in zip(head, zip(*lines[1:], strict=True), strict=True) if name or any(values)
    ]
    names = [name for name, _ in columns]
    if len(set(names)) < len(names) or "" in names:
        raise TabularError(f"{path}: found columns {names}, wanted names that differ")
    return dict(columns)


def _column(values: Sequence[Any]) -> npt.NDArray[Any]:
    given = np.asarray(values)
    if given.dtype.kind in "iuf":
        return _finite(given.astype(np.float64))
    if given.dtype.kind == "U":
        # Nearly always so, and quickest.
        with contextlib.suppress(ValueError):
            return _finite(given.astype(np.float64))
    texts = ["" if _is_nothing(value) else str(value).strip() for value in values]
    numbers = np.array([_number(text) for text in texts], np.float64)
    words = sum(1 for text, number in zip(texts, numbers, strict=True) if number != number and text)
    known = sum(1 for text in texts if text)
    return _finite(numbers) if words <= _MOST_WORDS * known else np.array(texts, object)


def _finite(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _is_nothing(value: Any) -> bool:
    return value is None or str(value).strip().lower() in NOTHING


def _times(values: Sequence[Any], where: str, written: str) -> npt.NDArray[np.int64]:
    given = np.asarray(values)
    if given.dtype.kind == "M" and not np.isnat(given).any():
        return given.astype("datetime64[ms]").astype(np.int64)
    texts = [str(value).strip() for value in values]
    try:
        numbers = np.array([float(text) for text in texts])
    except ValueError:
        return np.array([_moment(text, where, written) for text in texts], np.int64)
    if not np.isfinite(numbers).all():
        raise TabularError(f"{where}: found rows without a time, wanted one in each")
    # Seconds since 1970 have ten digits in our age, milliseconds thirteen.
    return (numbers if np.abs(numbers).max() >= 1e11 else numbers * 1000).astype(np.int64)


def _moment(text: str, where: str, written: str) -> int:
    try:
        # Without a zone, UTC, whichever way it was read.
        moment = datetime.strptime(text, written) if written else datetime.fromisoformat(text)  # noqa: DTZ007
    except ValueError:
        wanted = f"one written {written}" if written else "an ISO time, or seconds or ms since 1970"
        raise TabularError(
            f"{where}: found {text!r}, wanted {wanted}",
            hint="say how times are written: --time-format '%d/%m/%Y %H:%M'",
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
