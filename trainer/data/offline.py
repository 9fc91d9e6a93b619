"""The offline store: samples and labels as partitioned Parquet, beyond the time that Kafka keeps them.

A file holds one stretch of one topic partition and is named after its offsets. A file that is written again after a
crash may overlap another; rows are known by (partition, offset), and a reader takes each once.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

from schemas.record import as_plain, from_plain
from schemas.sample import Label, Sample
from trainer.data.assembly import Assembled, assemble
from trainer.errors import DatasetError
from trust import write_whole

__all__ = ["OfflineStore", "Stored"]

DAY_MS = 86_400_000
_SLACK_MS = 40 * DAY_MS

T = TypeVar("T", Sample, Label)

_PLACE = [pa.field("partition", pa.int32()), pa.field("offset", pa.int64())]
_SCHEMAS: dict[type[Any], pa.Schema] = {
    Sample: pa.schema(
        [
            *_PLACE,
            pa.field("device_id", pa.string()),
            pa.field("prediction_id", pa.string()),
            pa.field("model_id", pa.string()),
            pa.field("pipeline", pa.string()),
            pa.field("at_ms", pa.int64()),
            pa.field("features", pa.binary()),
            pa.field("score", pa.float32()),
            pa.field("anomaly", pa.bool_()),
            pa.field("confidence", pa.float32()),
            pa.field("because", pa.string()),
        ]
    ),
    Label: pa.schema(
        [
            *_PLACE,
            pa.field("device_id", pa.string()),
            pa.field("prediction_id", pa.string()),
            pa.field("value", pa.float64()),
            pa.field("at_ms", pa.int64()),
            pa.field("by", pa.string()),
        ]
    ),
}
_FOLDERS: dict[type[Any], str] = {Sample: "samples", Label: "labels"}


class Stored(NamedTuple):
    """A record and its place on its topic."""

    partition: int
    offset: int
    record: Any


@dataclass(frozen=True, slots=True)
class OfflineStore:
    """A folder with `samples/day=…/` and `labels/day=…/`, days of event time."""

    folder: Path

    def add(self, records: Sequence[Stored]) -> list[Path]:
        """Write records of one topic partition, each day's in a file of its own; return the files.

        Only when they are on the disk may the topic's offsets be committed.
        """
        by_day: dict[int, list[Stored]] = {}
        for stored in records:
            by_day.setdefault(stored.record.at_ms // DAY_MS, []).append(stored)
        return [self._write(day, mine) for day, mine in sorted(by_day.items())]

    def assemble(
        self, pipeline: str, *, from_ms: int, to_ms: int, as_of_ms: int, excluded: Collection[str] = ()
    ) -> Assembled:
        """Join what is stored of the stretch as of a moment."""
        return assemble(
            pipeline,
            self._read(Sample, from_ms, to_ms),
            # A truth is learned after its prediction, perhaps weeks later.
            self._read(Label, from_ms, max(to_ms, min(as_of_ms + 1, to_ms + _SLACK_MS))),
            from_ms=from_ms,
            to_ms=to_ms,
            as_of_ms=as_of_ms,
            excluded=excluded,
        )

    def _write(self, day: int, records: Sequence[Stored]) -> Path:
        kind, first, last = type(records[0].record), records[0], records[-1]
        name = f"{first.partition:04d}-{first.offset:019d}-{last.offset:019d}.parquet"
        path = self.folder / _FOLDERS[kind] / f"day={day}" / name
        rows = [
            {**as_plain(stored.record), "partition": stored.partition, "offset": stored.offset} for stored in records
        ]
        buffer = pa.BufferOutputStream()
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows, schema=_SCHEMAS[kind]), buffer, compression="zstd")
        write_whole(path, buffer.getvalue().to_pybytes())
        return path

    def _read(self, kind: type[T], from_ms: int, to_ms: int) -> list[T]:
        root = self.folder / _FOLDERS[kind]
        days = range(from_ms // DAY_MS, (to_ms - 1) // DAY_MS + 1)
        # Parts of files that were being written end otherwise.
        files = [str(path) for day in days for path in sorted((root / f"day={day}").glob("*.parquet"))]
        if not files:
            return []
        at = pyarrow.dataset.field("at_ms")
        try:
            found = pyarrow.dataset.dataset(files, schema=_SCHEMAS[kind], format="parquet").to_table(
                filter=(at >= from_ms) & (at < to_ms)
            )
        except (pa.ArrowInvalid, OSError) as error:
            raise DatasetError(f"the offline store at {root} holds a damaged file: {error}") from error
        return list(_once(kind, found.to_pylist()))


def _once(kind: type[T], rows: Iterable[dict[str, Any]]) -> Iterable[T]:
    seen = set()
    for row in rows:
        place = row.pop("partition"), row.pop("offset")
        if place not in seen:
            seen.add(place)
            yield from_plain(kind, row)
