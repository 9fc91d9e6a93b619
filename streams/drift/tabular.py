"""Plain files of rows: columns of numbers or words, and perhaps a time."""

import contextlib
import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.errors import DriftlineError
from sensing import ReadingError, SensingError
from sensing.delimited import NOTHING, dialect_of, rows_in
from sensing.moments import moments_ms, time_columns
from sensing.parquet_file import open_parquet

__all__ = ["Rows", "TabularError", "as_numbers", "as_words", "known_among", "read_rows", "rows_of", "words_among"]

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
    of_time = [time] if time else time_columns(columns)
    at_ms = None
    if of_time:
        at_ms = _times([columns[name] for name in of_time], f"{where}: {' '.join(of_time)}", time_format)
    return Rows({name: _column(values) for name, values in columns.items() if name not in of_time}, at_ms)


def known_among(column: npt.NDArray[Any]) -> int:
    """Count what is not nothing."""
    return int((column != "").sum() if column.dtype == object else np.isfinite(column).sum())


def words_among(column: npt.NDArray[Any]) -> tuple[int, str]:
    """Count what is no number, and return the first of it."""
    if column.dtype != object:
        return 0, ""
    words = [str(text) for text in column if text and not _is_number(text)]
    return len(words), words[0] if words else ""


def as_numbers(column: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return a column as numbers; words are nothing."""
    return column if column.dtype != object else _finite(np.array([_number(text) for text in column], np.float64))


def as_words(column: npt.NDArray[Any]) -> npt.NDArray[np.object_]:
    """Return a column as words; numbers are written alike, however they were written."""
    texts = column.tolist()
    return np.array(
        [f"{number:.15g}" if (number := _number(text)) == number else text if text == text else "" for text in texts],
        object,
    )


def _parquet(path: Path) -> Mapping[str, Sequence[Any]]:
    try:
        table = open_parquet(path).read()
    except SensingError as error:
        raise TabularError(str(error), hint=error.hint) from None
    except (OSError, ValueError) as error:
        # What pyarrow raises of a file whose inside is damaged.
        raise TabularError(f"{path} is cut off or damaged: {error}") from None
    if len(set(table.column_names)) < len(table.column_names):
        raise TabularError(f"{path}: found columns {table.column_names}, wanted names that differ")
    return {name: table[name].to_numpy() for name in table.column_names}


def _csv(path: Path) -> Mapping[str, Sequence[Any]]:
    try:
        dialect = dialect_of(path)
        with path.open(encoding=dialect.encoding, newline="") as file:
            lines = [line for line in rows_in(file, dialect) if line]
    except SensingError as error:
        raise TabularError(str(error), hint=error.hint) from None
    except (OSError, UnicodeError, csv.Error) as error:
        raise TabularError(f"{path}: {error}") from None
    if lines and lines[-1][-1].endswith("\n"):
        # Without this the rest of the file would be one cell, and few rows compared.
        raise TabularError(f"{path}: row {len(lines)}: found a quote that nothing closes, wanted another one")
    # Spreadsheets leave empty lines at the end, and separators without a column at each line's.
    while lines and not any(lines[-1]):
        lines.pop()
    if len(lines) < 2:
        raise TabularError(f"{path}: found {len(lines)} lines, wanted a head and at least one row")
    head = [name.strip() for name in lines[0]]
    if any(head) and all(_is_number(name) for name in head if name):
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


def _is_number(text: str) -> bool:
    return not math.isnan(_number(text))


def _number(text: str | float) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _is_nothing(value: Any) -> bool:
    return value is None or str(value).strip().lower() in NOTHING


def _times(columns: Sequence[Sequence[Any]], where: str, written: str) -> npt.NDArray[np.int64]:
    try:
        # Rows that count from a start of their own can be compared as well.
        return moments_ms(*columns, written=written, small=1000)
    except ReadingError as error:
        raise TabularError(
            f"{where}: {error}", hint="say how times are written: --time-format '%d/%m/%Y %H:%M'"
        ) from None
