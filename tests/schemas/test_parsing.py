"""Schemas that others registered: ready to read with, or refused."""

import time

import pytest

from schemas.codec import BodyReader
from schemas.errors import BadRecordError, SchemaError
from schemas.parsing import parsed


def record(*fields: object, name: str = "R") -> dict[str, object]:
    named = [{"name": f"f{at}", "type": kind} for at, kind in enumerate(fields)]
    return {"type": "record", "name": name, "fields": named}


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        pytest.param(record(), "R: a record without a byte", id="no field"),
        pytest.param(record("null", "null"), "R: a record without a byte", id="fields of nothing"),
        pytest.param(record("int", record("null", name="E")), "E: a record without a byte", id="nothing inside"),
        pytest.param(record({"type": "array", "items": "null"}), "an array whose items take no byte", id="nulls"),
        pytest.param(
            record({"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}),
            "an array whose items take no byte",
            id="fixed of no size",
        ),
        pytest.param(record(["null", "R"]), "R: a record that holds itself", id="itself, perhaps"),
        pytest.param(record({"type": "map", "values": "R"}), "R: a record that holds itself", id="itself, by name"),
        pytest.param({"type": "enum", "name": "E", "symbols": ["a"]}, "the schema of enum", id="no record"),
        pytest.param(["null", record("int")], "the schema of union", id="a union"),
        pytest.param({"type": "record"}, "not an Avro schema", id="no name"),
        pytest.param(record("missing"), "not an Avro schema", id="an unknown type"),
        pytest.param(record({"type": {"type": {}}}), "not an Avro schema", id="no types at all"),
        pytest.param(record(5), "not an Avro schema", id="a number"),
    ],
)
def test_what_would_not_end_or_is_no_schema_is_refused(schema, message):
    with pytest.raises(SchemaError, match=message):
        parsed(schema)


@pytest.mark.parametrize("kind", ["bytes", {"type": "bytes", "logicalType": "decimal", "precision": 4}])
def test_the_default_of_bytes_is_bytes(kind):
    today = record("int")
    today["fields"].append({"name": "more", "type": kind, "default": "\u00ff\u0000a"})

    reader = BodyReader(record("int"), into=today)

    assert reader.read(b"\x02") == {"f0": 1, "more": b"\xff\x00a"}


def test_a_schema_nested_too_deeply_is_refused():
    deep: object = "int"
    for _ in range(5_000):
        deep = {"type": "array", "items": deep}

    with pytest.raises(SchemaError, match="not an Avro schema: RecursionError"):
        parsed(record(deep))


def test_records_within_records_end_with_the_body():
    # Each holds the one before twice: 2**30 numbers to read, if there were bytes for them.
    inner: object = record("int", name="R0")
    for level in range(1, 31):
        inner = record(inner, f"R{level - 1}", name=f"R{level}")
    reader = BodyReader(inner)

    started_s = time.process_time()
    with pytest.raises(BadRecordError):
        reader.read(bytes(10_000))

    assert time.process_time() - started_s < 5
