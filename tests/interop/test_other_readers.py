"""Every topic, read by programs that know nothing of Driftline: over real Kafka, through the real registry."""

import json
import math
import shutil
import subprocess
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from hypothesis import HealthCheck, Phase, given, seed, settings
from patience import PATIENCE_S
from record_strategies import records

from schemas.catalogue import CATALOGUE
from schemas.cluster import Cluster
from schemas.record import as_plain
from schemas.topics import create_missing
from schemas.wire import Contract

GO_PROGRAM = Path(__file__).parent / "go"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def prefix() -> str:
    return f"t-{uuid.uuid4().hex[:8]}-"


@pytest.fixture(scope="module")
def written(bootstrap, registry_url, prefix) -> dict[str, tuple[str, Any]]:
    """One record of each topic, on the broker: key and plain values by the topic's whole name."""
    cluster = Cluster(bootstrap=bootstrap, registry_url=registry_url, prefix=prefix)
    contract = Contract.connect(cluster)
    names = {name: cluster.named(name) for name in CATALOGUE}
    create_missing(cluster)
    producer = Producer(cluster.client_settings())
    sent = {}
    for name, topic in CATALOGUE.items():
        record = example(topic.record)
        key, value = contract.encode(name, record)
        producer.produce(names[name], value, key)
        sent[names[name]] = (key.decode(), shown(as_plain(record)))
    assert producer.flush(PATIENCE_S) == 0
    return sent


def example(record: type) -> Any:
    """Return a record with something in most of its fields, always the same one."""
    found = []

    @seed(5)
    @settings(max_examples=40, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck))
    @given(records(record))
    def collect(value: object) -> None:
        found.append(value)

    collect()
    return max(found, key=lambda value: len(repr(value)))


def shown(value: Any) -> Any:
    """Make a value comparable, whatever a reader made of times, bytes, NaN and the branches of unions."""
    match value:
        case dict() if len(value) == 1 and value.keys() <= {"double", "bytes"}:
            return shown(next(iter(value.values())))
        case dict():
            return {str(key): shown(inner) for key, inner in value.items()}
        case list() | tuple():
            return [shown(inner) for inner in value]
        case bytes():
            return f"0x{value.hex()}"
        case str() if value.startswith("float64:"):
            return shown(float(value.removeprefix("float64:")))
        case float() if math.isnan(value):
            return "NaN"
        case datetime():
            return (value - EPOCH) // (datetime.resolution * 1000)
        case uuid.UUID():
            return str(value)
    return value


def test_confluents_own_deserializer_reads_every_topic(written, bootstrap, registry_url, prefix):
    read = AvroDeserializer(SchemaRegistryClient({"url": registry_url}))
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": f"{prefix}confluent", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(list(written))
    found = {}
    while len(found) < len(written):
        message = consumer.poll(PATIENCE_S)
        assert message is not None, f"nothing more came; missing: {sorted(written.keys() - found.keys())}"
        assert message.error() is None
        context = SerializationContext(message.topic(), MessageField.VALUE)
        found[message.topic()] = (message.key().decode(), shown(read(message.value(), context)))
    consumer.close()

    for name, expected in written.items():
        assert found[name] == expected, name


@pytest.mark.timeout(600)
# Where Go has compiled nothing yet, it compiles its library for a minute.
@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("go") is None, reason="there is no Go compiler (`go`) on this machine")
def test_go_reads_every_topic(written, bootstrap, registry_url, tmp_path):
    program = tmp_path / "interop"
    built = subprocess.run(["go", "build", "-o", program, "."], cwd=GO_PROGRAM, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr

    ran = subprocess.run(
        [program, bootstrap, registry_url, str(len(written)), *written],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )

    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in ran.stdout.split("\n") if line]
    found = {line["topic"]: (line["key"], shown(line["value"])) for line in lines}
    assert found.keys() == written.keys()
    for name, expected in written.items():
        assert found[name] == expected, name
