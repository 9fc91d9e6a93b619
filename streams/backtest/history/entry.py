"""Entries: records of a topic as history keeps them, with their place on the log.

In an Avro file an entry is a record of its own, the topic's record within it; in Parquet the record's fields stand
as columns beside the entry's. Both say the same, and a tombstone has no record.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.catalogue import Topic
from schemas.codec import codec_of
from schemas.record import avro_schema
from streams.backtest.errors import HistoryError

__all__ = ["FORMAT", "FORMAT_KEY", "TOPIC_KEY", "Entry", "entry_schema", "made", "plain_entry", "require_format"]

# In a file's metadata: which topic it holds, and by which edition of this format.
TOPIC_KEY, FORMAT_KEY = "driftline.topic", "driftline.format"
FORMAT = "1"


@dataclass(frozen=True, slots=True)
class Entry:
    """One record at its place; `plain` is what an Avro reader returns for it, None for a tombstone."""

    partition: int
    offset: int
    # Broker time of arrival.
    at_ms: int
    key: bytes
    plain: dict[str, Any] | None
    headers: Mapping[str, bytes] = field(default_factory=dict)


def entry_schema(topic: Topic) -> dict[str, Any]:
    """Return the Avro schema of a topic's entries."""
    return {
        "type": "record",
        "name": "driftline.history.Entry",
        "fields": [
            {"name": "kafka_partition", "type": "int"},
            {"name": "kafka_offset", "type": "long"},
            {"name": "kafka_time_ms", "type": "long"},
            {"name": "kafka_key", "type": "bytes"},
            {"name": "kafka_headers", "type": {"type": "map", "values": "bytes"}},
            {"name": "record", "type": ["null", avro_schema(topic.record)]},
        ],
    }


def plain_entry(entry: Entry) -> dict[str, Any]:
    """Return an entry as the Avro writer takes it."""
    return {
        "kafka_partition": entry.partition,
        "kafka_offset": entry.offset,
        "kafka_time_ms": entry.at_ms,
        "kafka_key": entry.key,
        "kafka_headers": dict(entry.headers),
        "record": entry.plain,
    }


def require_format(name: str, metadata: Mapping[str, bytes]) -> None:
    """Refuse a file of an edition that is not known here."""
    found = metadata.get(FORMAT_KEY, b"none").decode("utf-8", "replace")
    if found != FORMAT:
        raise HistoryError(f"{name}: found format {found}, wanted {FORMAT}", hint="a newer driftline wrote it")


def made(topic: Topic, entry: Entry) -> Any:
    """Return the record of an entry, checked; None for a tombstone. `BadRecordError` tells why there is none."""
    return None if entry.plain is None else codec_of(topic.record).made(entry.plain)
