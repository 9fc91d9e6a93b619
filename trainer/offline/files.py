"""The files of one kind: what their names say, and how they are written, merged and taken back.

A file holds the records of one day, from one stretch of one partition, and is named after that stretch's ends. A
name whose stretch lies within another's is of a file that was merged into the other: it counts for nothing.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet

from schemas.record import as_plain
from trainer.errors import DatasetError
from trainer.offline.kinds import Kind
from trust import write_whole

__all__ = ["DAY_MS", "Stored", "Stretch", "files_of", "merge_small", "read_whole", "remove_after", "write_batch"]

DAY_MS = 86_400_000
# So many files of one partition's day become one, ...
_MOST_FILES = 16
# ... unless they hold more than this already.
_LARGE_BYTES = 64 * 1024**2


class Stored(NamedTuple):
    """A record and its place on its topic; a topic that was made anew has another life, and the same offsets."""

    life: int
    partition: int
    offset: int
    record: Any


class Stretch(NamedTuple):
    """What a file's name says, both ends included."""

    life: int
    partition: int
    first: int
    last: int

    @property
    def name(self) -> str:
        return f"{self.life:03d}-{self.partition:04d}-{self.first:019d}-{self.last:019d}.parquet"

    @classmethod
    def named(cls, path: Path) -> Self | None:
        """Read a name; None for what is no file of ours, such as a part of one that was being written."""
        found = re.fullmatch(r"(\d{3})-(\d{4})-(\d{19})-(\d{19})\.parquet", path.name)
        return None if found is None else cls(*(int(number) for number in found.groups()))

    def holds(self, other: "Stretch") -> bool:
        return self[:2] == other[:2] and self.first <= other.first and other.last <= self.last


def write_batch(root: Path, kind: Kind, records: Sequence[Stored]) -> list[Path]:
    """Write one partition's records, each day's as a file of its own, all named after the whole batch."""
    stretch = Stretch(records[0].life, records[0].partition, records[0].offset, records[-1].offset)
    in_order = sorted(records, key=lambda stored: (_day(kind, stored), stored.offset))
    return [
        _write(root / f"day={day}" / stretch.name, _table(kind, mine))
        for day, mine in groupby(in_order, key=lambda stored: _day(kind, stored))
    ]


def files_of(folder: Path) -> list[Path]:
    """Return a day's files that count, by name."""
    named = {path: stretch for path in folder.glob("*.parquet") if (stretch := Stretch.named(path)) is not None}
    return sorted(path for path in named if not _merged(named, path))


def read_whole(path: Path, kind: Kind) -> pa.Table:
    try:
        return pyarrow.parquet.read_table(path, schema=kind.schema, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"the offline store holds a damaged file: {path}: {error}") from error


def remove_after(root: Path, life: int, next_offsets: dict[int, int]) -> int:
    """Remove files of a life that reach to where their partition is to be read on, or beyond; tell how many."""
    gone = 0
    for path in root.glob("day=*/*.parquet"):
        stretch = Stretch.named(path)
        if stretch and stretch.life == life and stretch.last >= next_offsets.get(stretch.partition, 0):
            path.unlink(missing_ok=True)
            gone += 1
    return gone


def merge_small(folder: Path, kind: Kind) -> list[Path]:
    """Make one file of many that follow each other in a day's folder; return what was made.

    The whole is there before its parts go, and holds them by its name: whoever reads meanwhile reads each row once.
    """
    made = [_merge(folder, kind, run) for run in _small_runs(folder) if len(run) >= _MOST_FILES]
    for path in folder.glob("*.parquet") if made else ():
        if Stretch.named(path) is not None and path not in files_of(folder):
            path.unlink(missing_ok=True)
    return made


def _small_runs(folder: Path) -> list[list[Path]]:
    """Return runs of small files of one partition, with no large one between them."""
    runs: dict[tuple[str, int], list[Path]] = {}
    large = 0
    for path in files_of(folder):
        if path.stat().st_size >= _LARGE_BYTES:
            large += 1
        else:
            runs.setdefault((path.name[:8], large), []).append(path)
    return list(runs.values())


def _merge(folder: Path, kind: Kind, run: Sequence[Path]) -> Path:
    ends = [stretch for path in run if (stretch := Stretch.named(path)) is not None]
    whole = ends[0]._replace(last=ends[-1].last)
    return _write(folder / whole.name, pa.concat_tables([read_whole(path, kind) for path in run]))


def _merged(named: dict[Path, Stretch], path: Path) -> bool:
    mine = named[path]
    return any(other.holds(mine) for held, other in named.items() if held != path)


def _day(kind: Kind, stored: Stored) -> int:
    at_ms: int = getattr(stored.record, kind.at)
    return at_ms // DAY_MS


def _table(kind: Kind, records: Iterable[Stored]) -> pa.Table:
    rows = [
        {
            **as_plain(stored.record),
            "kafka_life": stored.life,
            "kafka_partition": stored.partition,
            "kafka_offset": stored.offset,
        }
        for stored in records
    ]
    return pa.Table.from_pylist(rows, schema=kind.schema)


def _write(path: Path, table: pa.Table) -> Path:
    buffer = pa.BufferOutputStream()
    pyarrow.parquet.write_table(table, buffer, compression="zstd")
    try:
        write_whole(path, buffer.getvalue().to_pybytes())
    except OSError as error:
        raise DatasetError(
            f"{path} was not written, and nothing of it is left: {error.strerror}",
            hint="make room on the disk, and start the sink again: it goes on where its files end",
        ) from error
    return path
