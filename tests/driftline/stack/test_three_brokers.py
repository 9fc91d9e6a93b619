"""Three brokers: what one of them holds, two others hold as well."""

import logging

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType
from patience import PATIENCE_S

from driftline.stack import Stack

# They start several servers, several times.
pytestmark = [pytest.mark.nightly, pytest.mark.timeout(400)]
_QUIET = logging.getLogger("brokers that die here")
_QUIET.setLevel(logging.CRITICAL)
INTERNAL = {"__consumer_offsets", "__transaction_state", "kafkasql-journal"}


@pytest.fixture(scope="module")
def three():
    with Stack.start(brokers=3) as stack:
        admin = AdminClient({"bootstrap.servers": stack.endpoints.bootstrap})
        admin.create_topics([NewTopic("kept", 3)])["kept"].result(PATIENCE_S)
        transactional = Producer({"bootstrap.servers": stack.endpoints.bootstrap, "transactional.id": "t"})
        transactional.init_transactions(PATIENCE_S)
        transactional.begin_transaction()
        transactional.produce("kept", b"before")
        transactional.commit_transaction(PATIENCE_S)
        _read(stack, 1)
        yield stack


def test_every_topic_has_three_replicas_of_which_two_must_agree(three):
    admin = AdminClient({"bootstrap.servers": three.endpoints.bootstrap})
    topics = admin.list_topics(timeout=PATIENCE_S).topics

    assert set(topics) >= INTERNAL | {"kept"}
    replicas = {name: {len(p.replicas) for p in topic.partitions.values()} for name, topic in topics.items()}
    assert set(map(frozenset, replicas.values())) == {frozenset({3})}, replicas
    configs = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in topics])
    needed = {
        resource.name: found.result(PATIENCE_S)["min.insync.replicas"].value for resource, found in configs.items()
    }
    assert set(needed.values()) == {"2"}, needed


def test_all_servers_are_named_and_unknown_ones_refused(three):
    assert three.servers == ("kafka-1", "kafka-2", "kafka-3", "registry", "valkey")
    assert three.endpoints.bootstrap.count(",") == 2
    with pytest.raises(Exception, match="unknown server 'kafka'; known: kafka-1, kafka-2, kafka-3"):
        three.kill("kafka")


def test_nothing_is_lost_when_a_broker_dies_and_writing_stops_when_two_are_dead(three):
    three.kill("kafka-1")
    assert _write(three, b"while one is dead") is None
    three.restart("kafka-1")
    assert sorted(_read(three, 2)) == [b"before", b"while one is dead"]

    three.kill("kafka-2")
    three.kill("kafka-3")
    assert _write(three, b"while two are dead", limit_ms=4_000) is not None
    three.restart("kafka-2")
    three.restart("kafka-3")
    assert _write(three, b"after") is None


def _write(stack: Stack, value: bytes, *, limit_ms: int = 60_000) -> Exception | None:
    """Write one record; the error if it was not agreed upon in time."""
    errors = []
    producer = Producer(
        {"bootstrap.servers": stack.endpoints.bootstrap, "acks": "all", "message.timeout.ms": limit_ms}, logger=_QUIET
    )
    producer.produce("kept", value, on_delivery=lambda error, _message: errors.append(error))
    producer.flush(limit_ms / 1000 + 10)
    assert len(errors) == 1
    return KafkaException(errors[0]) if errors[0] else None


def _read(stack: Stack, count: int) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": stack.endpoints.bootstrap,
            "group.id": f"reads-{count}",
            "auto.offset.reset": "earliest",
        },
        logger=_QUIET,
    )
    consumer.subscribe(["kept"])
    values = [message.value() for message in consumer.consume(count, timeout=PATIENCE_S)]
    consumer.close()
    return values
