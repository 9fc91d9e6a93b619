"""History in Avro's container format, read block by block: a damaged one is told and the next is found.

Any Avro tool reads these files too. Blocks hold one partition each.
"""

import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import fastavro
from fastavro.write import Writer

from schemas.catalogue import CATALOGUE, Topic, topic_named
from schemas.codec import BodyReader, codec_of
from schemas.errors import DriftlineError
from schemas.parsing import parsed, strict
from streams.backtest.errors import HistoryError
from streams.backtest.history.beside import from_metadata, to_metadata
from streams.backtest.history.block import Block, CorruptBlockError, Scan
from streams.backtest.history.entry import (
    FORMAT,
    FORMAT_KEY,
    TOPIC_KEY,
    Entry,
    entry_schema,
    plain_entry,
    require_format,
)

__all__ = ["AvroWriter", "container", "entries_in", "read_avro_block", "scan_avro"]

_HEADER = fastavro.parse_schema(
    {
        "type": "record",
        "name": "org.apache.avro.file.Header",
        "fields": [
            {"name": "magic", "type": {"type": "fixed", "name": "magic", "size": 4}},
            {"name": "meta", "type": {"type": "map", "values": "bytes"}},
            {"name": "sync", "type": {"type": "fixed", "name": "sync", "size": 16}},
        ],
    }
)
_BLOCK_BYTES = 1 << 20
# A block that is said to be larger than this is taken for damaged.
_LARGEST_BLOCK = 1 << 28
_SYNC_BYTES = 16
_LATEST = 2**63 - 1
# Whatever bytes that are no entries make fastavro and zlib raise.
_DAMAGE = (EOFError, LookupError, ValueError, OverflowError, MemoryError, TypeError, zlib.error)


class AvroWriter:
    """Writes entries of one topic; each call's entries are of one partition."""

    def __init__(self, path: Path, topic: Topic, beside: Mapping[str, bytes] | None = None) -> None:
        self._out = path.open("wb")
        metadata = {TOPIC_KEY: topic.name, FORMAT_KEY: FORMAT, **to_metadata(beside or {})}
        self._writer = Writer(
            self._out, entry_schema(topic), codec="deflate", sync_interval=_BLOCK_BYTES, metadata=metadata
        )
        self._partition = -1

    def write(self, entries: Sequence[Entry]) -> None:
        if entries and entries[0].partition != self._partition:
            if self._partition >= 0:
                self._writer.dump()
            self._partition = entries[0].partition
        for entry in entries:
            self._writer.write(plain_entry(entry))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._writer.flush()
        self._out.close()


def container(topic: Topic, entries: Sequence[Entry]) -> bytes:
    """Return a whole container in memory."""
    out = io.BytesIO()
    metadata = {TOPIC_KEY: topic.name, FORMAT_KEY: FORMAT}
    fastavro.writer(out, entry_schema(topic), map(plain_entry, entries), codec="deflate", metadata=metadata)
    return out.getvalue()


def entries_in(data: bytes, topic_name: str) -> list[Entry]:
    """Return the entries of a container in memory."""
    stream = io.BytesIO(data)
    head = _Head.read(stream, topic_name)
    return [entry for _, block in _blocks(stream, head, []) for entry in head.entries(block)]


def scan_avro(path: Path) -> Scan:
    """Find the blocks of a file; of each, only the first entry is read."""
    troubles: list[str] = []
    blocks = []
    with path.open("rb") as stream:
        head = _Head.read(stream, path.name)
        for place, block in _blocks(stream, head, troubles):
            try:
                first = head.first(block)
            except _DAMAGE as error:
                troubles.append(str(CorruptBlockError(f"{path.name}: block at byte {place}", error)))
                continue
            blocks.append(
                Block(path, place, first.partition, block.records, first.offset, first.at_ms, _LATEST)
            )  # fmt: skip
    told = [one if one.startswith(path.name) else f"{path.name}: {one}" for one in troubles]
    return Scan(path, head.topic.name, blocks, from_metadata(head.metadata), told)


def read_avro_block(block: Block) -> list[Entry]:
    """Return a block's entries, or raise `CorruptBlockError`."""
    with block.path.open("rb") as stream:
        head = _Head.read(stream, block.path.name)
        stream.seek(block.place)
        try:
            return head.entries(_read(stream, head))
        except _DAMAGE as error:
            raise CorruptBlockError(block, error) from None


class _Raw:
    """A block as it is in the file: its entries' number, and their bytes, unpacked on demand."""

    __slots__ = ("_codec", "_packed", "records")

    def __init__(self, records: int, packed: bytes, codec: str) -> None:
        self.records, self._packed, self._codec = records, packed, codec

    def opened(self) -> io.BytesIO:
        if self._codec == "null":
            return io.BytesIO(self._packed)
        unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
        data = unpacking.decompress(self._packed, _LARGEST_BLOCK)
        if unpacking.unconsumed_tail:
            raise ValueError(f"more than {_LARGEST_BLOCK:,} bytes in one block")
        return io.BytesIO(data)


class _Head:
    """What stands at a container's start."""

    def __init__(self, topic: Topic, schema: dict[str, Any], metadata: dict[str, bytes], codec: str, sync: bytes):
        self.topic, self.metadata, self.codec, self.sync = topic, metadata, codec, sync
        self._schema = strict(parsed(schema))
        record = schema["fields"][-1]["type"][1]
        ours = codec_of(topic.record)
        same = BodyReader(record).name == ours.reader.name and parsed(record) == parsed(ours.schema)
        # Files of other versions are read as they were written, then resolved into today's record.
        self._written: dict[str, Any] | None = None if same else parsed(record)
        self._resolver: BodyReader | None = None if same else ours.written_with(record)

    @classmethod
    def read(cls, stream: BinaryIO, name: str) -> "_Head":
        try:
            head: Any = fastavro.schemaless_reader(stream, _HEADER, None)
            if head["magic"] != b"Obj\x01":
                raise ValueError("no Avro container")
            metadata: dict[str, bytes] = head["meta"]
            schema: Any = json.loads(metadata["avro.schema"])
            topic, codec = metadata[TOPIC_KEY].decode(), metadata.get("avro.codec", b"null").decode()
        except _DAMAGE as error:
            raise HistoryError(f"{name}: found {error!r}, wanted a file that `driftline export` has written") from None
        if topic not in CATALOGUE or schema.get("name") != "driftline.history.Entry":
            raise HistoryError(f"{name}: found topic {topic!r}, wanted one of the catalogue's")
        require_format(name, metadata)
        if codec not in ("null", "deflate"):
            raise HistoryError(f"{name}: found codec {codec!r}, wanted null or deflate")
        try:
            return cls(topic_named(topic), schema, metadata, codec, head["sync"])
        except (DriftlineError, *_DAMAGE) as error:
            raise HistoryError(f"{name}: found a schema that cannot be read ({error})") from None

    def first(self, raw: _Raw) -> Entry:
        return self._entry(raw.opened())

    def entries(self, raw: _Raw) -> list[Entry]:
        stream = raw.opened()
        entries = [self._entry(stream) for _ in range(raw.records)]
        if stream.read(1):
            raise ValueError("bytes after the last entry")
        return entries

    def _entry(self, stream: io.BytesIO) -> Entry:
        row: Any = fastavro.schemaless_reader(stream, self._schema, None)
        plain = row["record"]
        if plain is not None and self._resolver is not None and self._written is not None:
            body = io.BytesIO()
            fastavro.schemaless_writer(body, self._written, plain)
            plain = self._resolver.read(body.getvalue())
        return Entry(
            row["kafka_partition"], row["kafka_offset"], row["kafka_time_ms"], row["kafka_key"], plain,
            row["kafka_headers"],
        )  # fmt: skip


def _blocks(stream: BinaryIO, head: _Head, troubles: list[str]) -> Iterator[tuple[int, _Raw]]:
    """Yield blocks with their places; behind a damaged one, go on at the next sync marker."""
    while True:
        place = stream.tell()
        if not stream.read(1):
            return
        stream.seek(place)
        try:
            raw = _read(stream, head)
        except _DAMAGE as error:
            troubles.append(f"block at byte {place}: left out, its bytes are damaged ({error or type(error).__name__})")
            if not _seek_behind_sync(stream, place + 1, head.sync):
                return
            continue
        yield place, raw


def _read(stream: BinaryIO, head: _Head) -> _Raw:
    records: Any = fastavro.schemaless_reader(stream, "long", None)
    size: Any = fastavro.schemaless_reader(stream, "long", None)
    if not 0 < size <= _LARGEST_BLOCK or not 0 < records <= _LARGEST_BLOCK:
        raise ValueError(f"a block of {records} entries in {size} bytes")
    packed = stream.read(size)
    if len(packed) < size or stream.read(_SYNC_BYTES) != head.sync:
        raise ValueError("no sync marker at its end")
    return _Raw(records, packed, head.codec)


def _seek_behind_sync(stream: BinaryIO, start: int, sync: bytes) -> bool:
    stream.seek(start)
    held = b""
    while chunk := stream.read(_BLOCK_BYTES):
        held += chunk
        found = held.find(sync)
        if found >= 0:
            stream.seek(stream.tell() - len(held) + found + _SYNC_BYTES)
            return True
        held = held[-_SYNC_BYTES:]
    return False
