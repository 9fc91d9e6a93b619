"""Plain files of rows: columns of numbers or words, and perhaps a time."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.errors import DriftlineError

__all__ = ["Rows", "TabularError", "read_csv", "rows_of"]

# Columns of these names are the time of a row, unless another is named.
TIMES = ("timestamp", "time", "datetime", "date", "at_ms", "ts")
_NOTHING = {"", "na", "nan", "null", "none", "n/a", "-"}
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


def read_csv(path: Path, *, time: str = "") -> Rows:
    """Read a CSV file with a head line; `time` names the column of times, otherwise a usual name is looked for."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TabularError(f"{path}: {error}") from None
    lines = [line for line in lines if line]
    if len(lines) < 2:
        raise TabularError(f"{path}: found {len(lines)} lines, wanted a head and at least one row")
    head = [name.strip() for name in lines[0]]
    if len(set(head)) < len(head) or "" in head:
        raise TabularError(f"{path}: found columns {head}, wanted names that differ")
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(head):
            raise TabularError(f"{path}: line {number} has {len(line)} values, the head has {len(head)}")
    values = list(zip(*lines[1:], strict=True))
    return rows_of(dict(zip(head, values, strict=True)), time=time, where=str(path))


def rows_of(columns: Mapping[str, Sequence[Any]], *, time: str = "", where: str = "columns") -> Rows:
    """Make rows of columns, such as those of a data frame."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise TabularError(f"{where}: found columns of different lengths, {lengths}")
    if time and time not in columns:
        raise TabularError(f"{where}: no column {time!r}; there are {', '.join(columns)}")
    of_time = time or next((name for name in columns if name.lower() in TIMES), "")
    at_ms = _times(columns[of_time], f"{where}: {of_time}") if of_time else None
    return Rows({name: _column(values) for name, values in columns.items() if name != of_time}, at_ms)


def _column(values: Sequence[Any]) -> npt.NDArray[Any]:
    texts = ["" if _is_nothing(value) else str(value).strip() for value in values]
    numbers = np.full(len(texts), np.nan)
    words = 0
    for place, text in enumerate(texts):
        try:
            numbers[place] = float(text) if text else np.nan
        except ValueError:
            words += 1
    known = sum(1 for text in texts if text)
    if words <= _MOST_WORDS * known:
        numbers[~np.isfinite(numbers)] = np.nan
        return numbers
    return np.array(texts, object)


def _is_nothing(value: Any) -> bool:
    return value is None or str(value).strip().lower() in _NOTHING


def _times(values: Sequence[Any], where: str) -> npt.NDArray[np.int64]:
    texts = [str(value).strip() for value in values]
    try:
        numbers = np.array([float(text) for text in texts])
    except ValueError:
        return np.array([_moment(text, where) for text in texts], np.int64)
    if not np.isfinite(numbers).all():
        raise TabularError(f"{where}: found rows without a time, wanted one in each")
    # Seconds since 1970 have ten digits in our age, milliseconds thirteen.
    return (numbers if np.abs(numbers).max() >= 1e11 else numbers * 1000).astype(np.int64)


def _moment(text: str, where: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise TabularError(f"{where}: found {text!r}, wanted an ISO time, or seconds or ms since 1970") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
