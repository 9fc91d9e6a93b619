"""History in Parquet: a row group is a block, with checksums on its pages."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.catalogue import CATALOGUE, Topic
from schemas.record import avro_schema
from streams.backtest.errors import HistoryError
from streams.backtest.history.arrow import arrow_schema, entries_of, table_of
from streams.backtest.history.beside import from_metadata, to_metadata
from streams.backtest.history.block import Block, CorruptBlockError, Scan
from streams.backtest.history.entry import TOPIC_KEY, Entry, require_format

__all__ = ["ParquetWriter", "read_parquet_block", "read_parquet_columns", "scan_parquet"]

_DAMAGE = (pa.ArrowException, OSError, ValueError, OverflowError)
_PLACES = ("kafka_partition", "kafka_offset", "kafka_time_ms")


class ParquetWriter:
    """Writes entries of one topic; each call is a row group, and its entries are of one partition."""

    def __init__(self, path: Path, topic: Topic, beside: Mapping[str, bytes] | None = None) -> None:
        self._schema = arrow_schema(topic, to_metadata(beside or {}))
        # Packed arrays hardly repeat themselves; looking for repeats costs more than it saves.
        texts = [field.name for field in self._schema if pa.types.is_string(field.type)]
        self._writer = pq.ParquetWriter(
            path, self._schema, compression="zstd", use_dictionary=texts, write_page_checksum=True
        )

    def write(self, entries: Sequence[Entry]) -> None:
        if entries:
            self._writer.write_table(table_of(self._schema, entries), row_group_size=len(entries))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()


def scan_parquet(path: Path) -> Scan:
    """Find the row groups of a file."""
    try:
        found = pq.read_metadata(path)
        schema = found.schema.to_arrow_schema()
    except _DAMAGE as error:
        raise HistoryError(f"{path.name}: found {error}, wanted a Parquet file") from None
    metadata = {key.decode(): value for key, value in (schema.metadata or {}).items()}
    topic = metadata.get(TOPIC_KEY, b"").decode()
    if topic not in CATALOGUE or not set(_PLACES) <= set(schema.names):
        shown = ", ".join(schema.names[:6])
        raise HistoryError(f"{path.name}: found columns {shown}, wanted a file that `driftline export` has written")
    require_format(path.name, metadata)
    blocks, troubles = [], []
    leaves = {found.schema.column(leaf).path: leaf for leaf in range(len(found.schema))}
    for number in range(found.num_row_groups):
        block = _block(path, number, found.row_group(number), leaves)
        if block is None:
            troubles.append(f"{path.name}: row group {number}: left out, it does not say which partition it is of")
        else:
            blocks.append(block)
    return Scan(path, topic, blocks, from_metadata(metadata), troubles)


def read_parquet_columns(block: Block, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a row group, or raise `CorruptBlockError`."""
    try:
        with pq.ParquetFile(block.path, page_checksum_verification=True) as file:
            wanted = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
            return file.read_row_group(block.place, columns=wanted, use_threads=False)
    except _DAMAGE as error:
        raise CorruptBlockError(block, error) from None


def read_parquet_block(block: Block, topic: Topic) -> list[Entry]:
    """Return a row group's entries, or raise `CorruptBlockError`; fields that the file lacks have their defaults."""
    table = read_parquet_columns(block)
    ours = arrow_schema(topic)
    unknown = [name for name in table.schema.names if name not in ours.names]
    defaults = _defaults(topic, set(ours.names) - set(table.schema.names))
    entries = entries_of(table.drop_columns(unknown))
    for entry in entries:
        if entry.plain is not None:
            entry.plain.update(defaults)
    return entries


def _block(path: Path, number: int, group: Any, leaves: Mapping[str, int]) -> Block | None:
    said = {}
    for name in _PLACES:
        statistics = group.column(leaves[name]).statistics
        if statistics is None or not statistics.has_min_max:
            return None
        said[name] = (statistics.min, statistics.max)
    first, last = said["kafka_partition"]
    if first != last:
        return None
    return Block(path, number, first, group.num_rows, said["kafka_offset"][0], *said["kafka_time_ms"])


def _defaults(topic: Topic, missing: set[str]) -> dict[str, Any]:
    return {
        one["name"]: one["default"]
        for one in avro_schema(topic.record)["fields"]
        if one["name"] in missing and "default" in one
    }
