"""Records to Kafka's keys and values and back, as anyone with a schema registry reads them.

A value is Confluent's framing: a zero byte, the schema's id as four bytes, big-endian, then the Avro body. A key is
plain UTF-8. The subject of a topic's schema is `<topic>-value`.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from schemas.catalogue import Topic, topic_named
from schemas.cluster import Cluster
from schemas.codec import BodyReader, codec_of
from schemas.errors import BadRecordError, SchemaError, WrongValueError
from schemas.registry import Registry, monotonic_ms
from schemas.schema_cache import fingerprint

__all__ = ["HEADER_BYTES", "Contract", "body_header", "key_of_plain", "schema_id_in"]

MAGIC = 0
HEADER_BYTES = 5
_HEADER = struct.Struct(">BI")
_AT_ONCE = 8


def body_header(schema_id: int) -> bytes:
    """Return what stands before a body.

    >>> body_header(7).hex()
    '0000000007'
    """
    return _HEADER.pack(MAGIC, schema_id)


def schema_id_in(value: bytes) -> int:
    """Return the id of the schema that a value was written with.

    >>> schema_id_in(bytes.fromhex("000000000702"))
    7
    """
    if len(value) < HEADER_BYTES:
        raise BadRecordError("value", found=f"{len(value)} bytes", wanted=f"at least {HEADER_BYTES}")
    magic, schema_id = _HEADER.unpack_from(value)
    if magic != MAGIC:
        raise BadRecordError("magic byte", found=f"0x{magic:02x}", wanted=f"0x{MAGIC:02x}")
    return int(schema_id)


class Contract:
    """What goes over one fleet's topics: encodes and decodes records by the name of their topic, without its prefix."""

    def __init__(self, cluster: Cluster, registry: Registry) -> None:
        self.cluster = cluster
        self.registry = registry
        self._readers: dict[tuple[type[Any], int], tuple[object, BodyReader]] = {}

    @classmethod
    def connect(
        cls, cluster: Cluster, *, cache_dir: Path | None = None, clock_ms: Callable[[], int] = monotonic_ms
    ) -> "Contract":
        """Open the contract of a cluster, which works from the ids in `cache_dir` while the registry is away.

        `registry.confirm()` is called once; whoever runs for long calls it again until it returns True.
        """
        registry = Registry(cluster, cache_dir=cache_dir, clock_ms=clock_ms)
        registry.confirm()
        return cls(cluster, registry)

    def subject_of(self, topic: Topic) -> str:
        return f"{self.cluster.named(topic.name)}-value"

    def register(self, topic_name: str) -> int:
        """Register the schema of a topic, over the network, and return its id."""
        topic = topic_named(topic_name)
        return self.registry.register(self.subject_of(topic), codec_of(topic.record).schema)

    def register_all(self, topic_names: Iterable[str]) -> dict[str, int]:
        """Register the schemas of topics side by side, and return their ids: a registry takes its time for each."""
        names = list(topic_names)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return dict(zip(names, pool.map(self.register, names), strict=True))

    def encode(self, topic_name: str, record: Any) -> tuple[bytes, bytes]:
        """Return the key and value of a record.

        `WrongValueError` names what does not fit. `RegistryAwayError`: the topic's schema has no known id yet.
        """
        return self.encode_all(topic_name, [record])[0]

    def encode_all(self, topic_name: str, records: Iterable[Any]) -> list[tuple[bytes, bytes]]:
        """Return the keys and values of many records of one topic, which takes half as long as one by one."""
        topic = topic_named(topic_name)
        codec, key_of = codec_of(topic.record), topic.key_of
        bodies = []
        for record in records:
            if type(record) is not topic.record:
                raise WrongValueError(topic_name, found=type(record).__name__, wanted=topic.record.__name__)
            bodies.append((key_of(record).encode(), codec.encode(record)))
        header = self.header_of(topic_name)
        return [(key, header + body) for key, body in bodies]

    def header_of(self, topic_name: str) -> bytes:
        """Return what stands before bodies that were written with today's schema of a topic's record."""
        topic = topic_named(topic_name)
        return body_header(self.registry.id_of(self.subject_of(topic), codec_of(topic.record).schema))

    def decode(self, topic_name: str, key: bytes | None, value: bytes) -> Any:
        """Return the record of a key and a value; a tombstone, which has no value, is for the caller to see.

        `BadRecordError`: it is of no use, now or later. `RegistryAwayError`: it cannot be decoded now; try it again.
        """
        topic = topic_named(topic_name)
        try:
            record = codec_of(topic.record).made(self.plain(topic, value))
        except BadRecordError:
            # Perhaps the registry was rebuilt, and the id stands for something else by now.
            if not self.registry.has_changed(schema_id_in(value)):
                raise
            record = codec_of(topic.record).made(self.plain(topic, value))
        wanted = topic.key_of(record)
        if key != wanted.encode():
            raise BadRecordError("key", found=repr(key), wanted=f"{'/'.join(topic.key)} = {wanted!r}")
        return record

    def plain(self, topic: Topic, value: bytes) -> dict[str, Any]:
        """Return what a value holds, strictly read; whether its values make sense is not yet checked."""
        return self.reader_of(topic, schema_id_in(value)).read(value, start=HEADER_BYTES)

    def reader_of(self, topic: Topic, schema_id: int) -> BodyReader:
        """Return the reader of bodies of the topic that carry the id; an unknown id is looked up over the network."""
        schema = self.registry.schema_of(schema_id)
        known = self._readers.get((topic.record, schema_id))
        if known is None or known[0] is not schema:
            known = self._readers[topic.record, schema_id] = (schema, _reader(topic, schema_id, schema))
        return known[1]


def key_of_plain(topic: Topic, plain: Mapping[str, Any]) -> bytes:
    """Return the key that a record must have, from its fields."""
    if len(topic.key) == 1:
        return str(plain[topic.key[0]]).encode()
    return "/".join(str(plain[field]) for field in topic.key).encode()


def _reader(topic: Topic, schema_id: int, schema: Mapping[str, Any]) -> BodyReader:
    codec = codec_of(topic.record)
    try:
        if fingerprint(schema) == codec.fingerprint:
            return codec.reader
        reader = codec.written_with(schema)
    except SchemaError as error:
        raise BadRecordError(f"schema id {schema_id}", found=str(error), wanted="an Avro schema that ends") from error
    if reader.name != codec.reader.name:
        raise BadRecordError(topic.name, found=f"{reader.name} (schema id {schema_id})", wanted=codec.reader.name)
    return reader
