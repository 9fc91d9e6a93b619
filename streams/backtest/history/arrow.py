"""Records as Arrow columns: what an Avro schema says, in Parquet's words."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from schemas.catalogue import Topic
from schemas.record import avro_schema
from streams.backtest.history.entry import FORMAT, FORMAT_KEY, TOPIC_KEY, Entry

__all__ = ["arrow_schema", "entries_of", "table_of"]

# A file keeps these beside the record's own fields; none of those begins so.
_ENTRY = (
    pa.field("kafka_partition", pa.int32(), nullable=False),
    pa.field("kafka_offset", pa.int64(), nullable=False),
    pa.field("kafka_time_ms", pa.int64(), nullable=False),
    pa.field("kafka_key", pa.binary(), nullable=False),
    pa.field("kafka_headers", pa.map_(pa.string(), pa.binary()), nullable=False),
    pa.field("kafka_tombstone", pa.bool_(), nullable=False),
)
_PLAIN = {
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.string(),
}


def arrow_schema(topic: Topic, metadata: Mapping[str, str] | None = None) -> pa.Schema:
    """Return the columns of a topic's file; the record's own are null in tombstones."""
    seen: dict[str, pa.DataType] = {}
    own = [pa.field(one["name"], _type(one["type"], seen)) for one in avro_schema(topic.record)["fields"]]
    return pa.schema([*_ENTRY, *own], {TOPIC_KEY: topic.name, FORMAT_KEY: FORMAT, **(metadata or {})})


def table_of(schema: pa.Schema, entries: Sequence[Entry]) -> pa.Table:
    """Lay entries of one topic out as columns."""
    columns: dict[str, list[Any]] = {
        "kafka_partition": [one.partition for one in entries],
        "kafka_offset": [one.offset for one in entries],
        "kafka_time_ms": [one.at_ms for one in entries],
        "kafka_key": [one.key for one in entries],
        "kafka_headers": [list(one.headers.items()) for one in entries],
        "kafka_tombstone": [one.plain is None for one in entries],
    }
    for name in schema.names[len(_ENTRY) :]:
        columns[name] = [None if one.plain is None else one.plain[name] for one in entries]
    return pa.table(columns, schema=schema)


def entries_of(table: pa.Table) -> list[Entry]:
    """Return the entries that columns hold; columns that today's record does not know are left out by the caller."""
    return [_entry(row) for row in table.to_pylist(maps_as_pydicts="strict")]


def _entry(row: dict[str, Any]) -> Entry:
    partition, offset, at_ms = row.pop("kafka_partition"), row.pop("kafka_offset"), row.pop("kafka_time_ms")
    key, headers, tombstone = row.pop("kafka_key"), row.pop("kafka_headers", {}), row.pop("kafka_tombstone", False)
    return Entry(partition, offset, at_ms, key, None if tombstone else row, headers or {})


def _type(schema: Any, seen: dict[str, pa.DataType]) -> pa.DataType:
    if isinstance(schema, list):
        (other,) = (one for one in schema if one != "null")
        return _type(other, seen)
    if isinstance(schema, str):
        return seen[schema] if schema in seen else _PLAIN[schema]
    kind = schema["type"]
    if kind == "record":
        made = pa.struct([pa.field(one["name"], _type(one["type"], seen)) for one in schema["fields"]])
        seen[schema["name"]] = made
        return made
    if kind == "enum":
        seen[schema["name"]] = pa.string()
        return pa.string()
    if kind == "array":
        return pa.list_(_type(schema["items"], seen))
    if kind == "map":
        return pa.map_(pa.string(), _type(schema["values"], seen))
    # A plain type with something said about it.
    return _type(kind, seen)
