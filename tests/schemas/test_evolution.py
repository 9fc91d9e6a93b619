"""Which changes are compatible: our rules, and the registry's verdict on the same pairs."""

import json

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from schemas.cluster import Cluster
from schemas.errors import IncompatibleSchemaError
from schemas.evolution import clashes, clashes_both_ways
from schemas.registry import Registry


def record(*fields, name="driftline.test.R"):
    return {"type": "record", "name": name, "fields": list(fields)}


def field(name, kind, **more):
    return {"name": name, "type": kind, **more}


def enum(*symbols, **more):
    return {"type": "enum", "name": "driftline.E", "symbols": list(symbols), **more}


N = field("n", "long")

# Older, newer, what a reader of the newer says of the older, and the other way round.
PAIRS = [
    pytest.param(record(N), record(N), [], [], id="nothing changed"),
    pytest.param(record(N), record(N, field("m", "string", default="")), [], [], id="a field with a default"),
    pytest.param(
        record(N),
        record(N, field("m", "string")),
        ["driftline.test.R.m: is missing in what was written, and has no default"],
        [],
        id="a field without a default",
    ),
    pytest.param(
        record(N, field("m", "string")),
        record(N),
        [],
        ["driftline.test.R.m: is missing in what was written, and has no default"],
        id="a field taken away",
    ),
    pytest.param(record(N, field("m", "string", default="")), record(N), [], [], id="a default field taken away"),
    pytest.param(
        record(field("n", "int")),
        record(N),
        [],
        ["driftline.test.R.n: long cannot be read as int"],
        id="a number made wider",
    ),
    pytest.param(
        record(N),
        record(field("n", "string")),
        ["driftline.test.R.n: long cannot be read as string"],
        ["driftline.test.R.n: string cannot be read as long"],
        id="another type",
    ),
    pytest.param(record(field("n", "string")), record(field("n", "bytes")), [], [], id="text made bytes"),
    pytest.param(
        record(N),
        record(field("n", ["null", "long"])),
        [],
        ["driftline.test.R.n: null cannot be read as long"],
        id="made optional",
    ),
    pytest.param(
        record(field("e", enum("unknown", "a", default="unknown"))),
        record(field("e", enum("unknown", "a", "b", default="unknown"))),
        [],
        [],
        id="a symbol more, with a default",
    ),
    pytest.param(
        record(field("e", enum("unknown", "a"))),
        record(field("e", enum("unknown", "a", "b"))),
        [],
        ["driftline.test.R.e: b cannot be read without a default symbol"],
        id="a symbol more, without",
    ),
    pytest.param(
        record(field("a", {"type": "array", "items": record(N, name="driftline.Item")})),
        record(
            field("a", {"type": "array", "items": record(N, field("m", "long"), name="driftline.Item")}),
        ),
        ["driftline.test.R.a[].m: is missing in what was written, and has no default"],
        [],
        id="inside an array",
    ),
    pytest.param(
        record(field("a", {"type": "map", "values": "long"})),
        record(field("a", {"type": "map", "values": "double"})),
        [],
        ["driftline.test.R.a[]: double cannot be read as long"],
        id="inside a map",
    ),
    pytest.param(
        record(field("o", ["null", "long"])),
        record(field("o", ["null", "string"])),
        ["driftline.test.R.o: long cannot be read as any of null, string"],
        ["driftline.test.R.o: string cannot be read as any of null, long"],
        id="inside an option",
    ),
    pytest.param(
        record(field("f", {"type": "fixed", "name": "driftline.F", "size": 4})),
        record(field("f", {"type": "fixed", "name": "driftline.F", "size": 8})),
        ["driftline.test.R.f: 4 bytes cannot be read as 8"],
        ["driftline.test.R.f: 8 bytes cannot be read as 4"],
        id="another size",
    ),
    pytest.param(
        record(field("x", record(N, name="driftline.A"))),
        record(field("x", record(N, name="driftline.B"))),
        ["driftline.test.R.x: driftline.A cannot be read as driftline.B"],
        ["driftline.test.R.x: driftline.B cannot be read as driftline.A"],
        id="another name",
    ),
    pytest.param(
        record(field("x", record(N, name="driftline.A")), field("y", "driftline.A")),
        record(field("x", record(N, name="driftline.A")), field("y", "long")),
        ["driftline.test.R.y: record cannot be read as long"],
        ["driftline.test.R.y: long cannot be read as record"],
        id="a record named before",
    ),
]


@pytest.mark.parametrize(("older", "newer", "forward", "backward"), PAIRS)
def test_a_clash_names_the_field(older, newer, forward, backward):
    assert [str(clash) for clash in clashes(written=older, read=newer)] == forward
    assert [str(clash) for clash in clashes(written=newer, read=older)] == backward
    assert [str(clash) for clash in clashes_both_ways(older, newer)] == [*forward, *backward]


@pytest.mark.parametrize(("older", "newer", "forward", "backward"), PAIRS)
def test_the_registry_is_of_the_same_mind(registry_url, prefix, older, newer, forward, backward):
    client = SchemaRegistryClient({"url": registry_url})
    subject = f"{prefix}pair-value"
    Registry(Cluster(registry_url=registry_url)).register(subject, older)

    verdicts = {}
    for level in ("BACKWARD_TRANSITIVE", "FORWARD_TRANSITIVE", "FULL_TRANSITIVE"):
        client.set_compatibility(subject, level)
        verdicts[level] = client.test_compatibility(subject, Schema(json.dumps(newer), "AVRO"), version="latest")

    assert verdicts == {
        "BACKWARD_TRANSITIVE": not forward,
        "FORWARD_TRANSITIVE": not backward,
        "FULL_TRANSITIVE": not forward and not backward,
    }


def test_the_registry_refuses_what_we_refuse(registry_url, prefix):
    registry = Registry(Cluster(registry_url=registry_url))
    registry.register(f"{prefix}r-value", record(N))

    with pytest.raises(IncompatibleSchemaError, match="refuses the schema"):
        registry.register(f"{prefix}r-value", record(field("n", "string")))
