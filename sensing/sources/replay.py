"""Replay of recorded readings from CSV or Parquet files, in real or stretched time."""

import csv
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from sensing.delimited import dialect_of, rows_in
from sensing.errors import ReadingError, SensingError
from sensing.moments import TIMES
from sensing.parquet_file import open_parquet
from sensing.sources.base import Readings
from sensing.sources.columns import TableForm, known_names, whole_row
from sensing.sources.parsing import Parsed, Refusals, gather, parse_reading

__all__ = ["ReplaySource"]

_log = logging.getLogger(__name__)

_BATCH = 1024
_PLAIN = TableForm()


class ReplaySource:
    """Plays a file back; `speed` 1 is real time, 60 a minute a second, 0 as fast as readings are taken.

    A row that cannot be used is refused and counted; the next one goes on. A file that is no table stops at once.
    """

    def __init__(
        self,
        path: Path,
        channels: Sequence[str],
        *,
        form: TableForm = _PLAIN,
        speed: float = 1.0,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.channels = tuple(channels)
        self.done = False
        self._path = path
        self._form = form
        self._played = 0
        self._speed = speed
        self._clock_s = clock_s
        self._refusals = Refusals(str(path))
        self._rows = _rows(path, self.channels)
        self._next: Parsed | None = None
        # (clock, event time) of the first reading.
        self._begun: tuple[float, int] | None = None

    @property
    def refused(self) -> int:
        return self._refusals.count

    def poll(self, timeout_s: float) -> list[Readings]:
        deadline_s = self._clock_s() + timeout_s
        taken: list[Parsed] = []
        while len(taken) < _BATCH and (reading := self._peek()) is not None:
            wait_s = self._due_in_s(reading[1])
            if wait_s > 0:
                left_s = deadline_s - self._clock_s()
                if taken or left_s <= 0:
                    break
                time.sleep(min(wait_s, left_s))
                continue
            taken.append(reading)
            self._next = None
        return gather(taken)

    def close(self) -> None:
        self._rows = iter(())
        self.done = True

    def _peek(self) -> Parsed | None:
        while self._next is None:
            try:
                row = next(self._rows, None)
                if row is None:
                    self._end()
                    return None
                name, at_ms, values = parse_reading(row, self.channels, time_format=self._form.time_format)
            except ReadingError as error:
                self._refusals.add(error)
                continue
            self._played += 1
            self._next = name, at_ms, tuple(math.nan if each in self._form.missing else each for each in values)
        return self._next

    def _end(self) -> None:
        if not self.done:
            _log.info("file ended: file=%s rows=%d refused=%d", self._path, self._played, self.refused)
        if not self.done and self.refused and not self._played:
            _log.error(
                "no row of %s could be used, see the reason above; "
                "gateway.source.time_format says how times are written, such as '%%d/%%m/%%Y %%H:%%M:%%S'",
                self._path,
            )
        self.done = True

    def _due_in_s(self, at_ms: int) -> float:
        if self._speed <= 0:
            return 0.0
        if self._begun is None:
            self._begun = (self._clock_s(), at_ms)
        clock_s, first_ms = self._begun
        return clock_s + (at_ms - first_ms) / 1000 / self._speed - self._clock_s()


def _rows(path: Path, channels: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    if path.suffix.lower() == ".parquet":
        return _parquet_rows(path, channels)
    return _csv_rows(path, channels)


def _csv_rows(path: Path, channels: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    try:
        dialect = dialect_of(path)
        # What cannot be decoded is no number either, and is refused where it stands.
        file = path.open(newline="", encoding=dialect.encoding, errors="replace")
    except OSError as error:
        raise SensingError(f"{path}: {error.strerror or error}") from error
    rows = rows_in(file, dialect)
    try:
        found = [name.strip() for name in next(rows, [])]
    except csv.Error as error:
        raise SensingError(f"{path} is no CSV: {error}") from error
    names = _checked(path, found, channels)
    return _Patiently(file, names, rows)


class _Patiently(Iterator[Mapping[str, Any]]):
    """The rows of a file; one that breaks the form is a `ReadingError`, and the next one comes after it."""

    def __init__(self, file: TextIO, names: Sequence[str], rows: Iterator[list[str]]) -> None:
        self._file = file
        self._names = names
        self._rows = rows

    def __next__(self) -> Mapping[str, Any]:
        try:
            while not (cells := next(self._rows)):
                pass
        except StopIteration:
            self._file.close()
            raise
        except csv.Error as error:
            raise ReadingError(f"a broken line: {error}") from None
        return whole_row(self._names, cells)


def _parquet_rows(path: Path, channels: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    file = open_parquet(path)
    names = _checked(path, file.schema_arrow.names, channels)
    batches = (batch.rename_columns(names) for batch in file.iter_batches(_BATCH))
    return (row for batch in batches for row in batch.to_pylist())


def _checked(path: Path, found: Sequence[str], channels: Sequence[str]) -> list[str]:
    """Return the columns as we name them; `SensingError`: there are some missing."""
    names = known_names(found, (*channels, *TIMES))
    missing = [channel for channel in channels if channel not in names]
    if missing:
        raise SensingError(
            f"{path} has columns {', '.join(found) or '(none)'}; missing: {', '.join(missing)}",
            hint="the first line names the columns: like the pipeline's channels, and the time at_ms or timestamp",
        )
    return names
