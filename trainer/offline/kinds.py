"""The topics that are kept offline, and the columns of their files."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from schemas.feature_stats import FeatureStats
from schemas.record import avro_schema
from schemas.sample import Label, Sample

__all__ = ["KINDS", "LABELS", "SAMPLES", "STATS", "Kind"]

# Beside the record's own columns: where on its topic a record was. No record has fields that begin so.
_PLACE = (
    pa.field("kafka_life", pa.int32(), nullable=False),
    pa.field("kafka_partition", pa.int32(), nullable=False),
    pa.field("kafka_offset", pa.int64(), nullable=False),
)
_COLUMNS = {
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.string(),
    "enum": pa.string(),
}


@dataclass(frozen=True)
class Kind:
    """One kind of record."""

    folder: str
    topic: str
    record: type[Any]
    # The field that says when it happened; its day is the partition.
    at: str

    @cached_property
    def schema(self) -> pa.Schema:
        own = [pa.field(field["name"], _column(field["type"]), nullable=False) for field in self._fields]
        return pa.schema([*_PLACE, *own])

    @property
    def _fields(self) -> list[dict[str, Any]]:
        fields: list[dict[str, Any]] = avro_schema(self.record)["fields"]
        return fields


SAMPLES = Kind("samples", "telemetry.samples", Sample, "at_ms")
LABELS = Kind("labels", "telemetry.labels", Label, "at_ms")
STATS = Kind("stats", "telemetry.feature-stats", FeatureStats, "window_end_ms")
KINDS = (SAMPLES, LABELS, STATS)


def _column(avro: Any) -> pa.DataType:
    return _COLUMNS[avro if isinstance(avro, str) else avro["type"]]
