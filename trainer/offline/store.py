"""The offline store: vectors, labels and statistics as partitioned Parquet, beyond the time that Kafka keeps them.

Any tool that knows Parquet and `day=` folders reads it: each record is there once.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from schemas.record import from_plain
from schemas.sample import Label, Sample
from trainer.data.assembly import Assembled, assemble
from trainer.offline.files import DAY_MS, Stored, files_of, read_whole, write_batch
from trainer.offline.kinds import LABELS, SAMPLES, Kind

__all__ = ["OfflineStore", "is_store"]

T = TypeVar("T", Sample, Label)


def is_store(folder: Path) -> bool:
    return (folder / SAMPLES.folder).is_dir()


@dataclass(frozen=True, slots=True)
class OfflineStore:
    """A folder with `samples/day=…/`, `labels/day=…/` and `stats/day=…/`: days of event time, counted from 1970."""

    folder: Path

    def add(self, kind: Kind, records: Sequence[Stored]) -> list[Path]:
        """Write records of one topic partition, in the order of their offsets; return the files."""
        return write_batch(self.folder / kind.folder, kind, records)

    def assemble(
        self, pipeline: str, *, from_ms: int, to_ms: int, as_of_ms: int, excluded: Collection[str] = ()
    ) -> Assembled:
        """Join what is stored of the stretch as of a moment."""
        return assemble(
            pipeline,
            self._records(Sample, SAMPLES, from_ms, to_ms),
            # A truth is learned after its prediction, perhaps months later.
            self._records(Label, LABELS, from_ms, max(to_ms, as_of_ms + 1)),
            from_ms=from_ms,
            to_ms=to_ms,
            as_of_ms=as_of_ms,
            excluded=excluded,
        )

    def table(self, kind: Kind, *, from_ms: int, to_ms: int) -> pa.Table:
        """Return what is stored of a kind within [from_ms, to_ms), with its place on the topic."""
        tables = [
            table.filter((pc.field(kind.at) >= from_ms) & (pc.field(kind.at) < to_ms))
            for day in self._days(kind, from_ms, to_ms)
            for path in files_of(day)
            for table in (read_whole(path, kind),)
        ]
        return pa.concat_tables([kind.schema.empty_table(), *tables])

    def _records(self, record: type[T], kind: Kind, from_ms: int, to_ms: int) -> list[T]:
        return list(_once(record, self.table(kind, from_ms=from_ms, to_ms=to_ms).to_pylist()))

    def _days(self, kind: Kind, from_ms: int, to_ms: int) -> list[Path]:
        days = {
            int(path.name.removeprefix("day=")): path
            for path in (self.folder / kind.folder).glob("day=*")
            if path.name.removeprefix("day=").isdigit()
        }
        return [path for day, path in sorted(days.items()) if from_ms // DAY_MS <= day <= (to_ms - 1) // DAY_MS]


def _once(record: type[T], rows: Iterable[dict[str, Any]]) -> Iterable[T]:
    # A store that lost its place reads a topic again.
    seen = set()
    for row in rows:
        place = row.pop("kafka_life"), row.pop("kafka_partition"), row.pop("kafka_offset")
        if place not in seen:
            seen.add(place)
            yield from_plain(record, row)
