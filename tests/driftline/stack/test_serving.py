"""The stack's servers serve, and each its own purpose."""

import redis
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from patience import PATIENCE_S


def test_kafka_gives_back_what_it_was_given(bootstrap, prefix):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(f"{prefix}echo", 1, -1)])[f"{prefix}echo"].result(PATIENCE_S)
    producer = Producer({"bootstrap.servers": bootstrap})

    producer.produce(f"{prefix}echo", b"a window", b"device-1")
    producer.flush(PATIENCE_S)

    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"{prefix}group", "auto.offset.reset": "earliest"})
    consumer.subscribe([f"{prefix}echo"])
    message = consumer.poll(PATIENCE_S)
    consumer.close()
    assert (message.key(), message.value()) == (b"device-1", b"a window")


def test_the_registry_keeps_schemas_and_demands_full_transitive_compatibility(registry_url, prefix):
    client = SchemaRegistryClient({"url": registry_url})
    schema = Schema('{"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}', "AVRO")

    number = client.register_schema(f"{prefix}records-value", schema)

    assert '"name":"a"' in client.get_schema(number).schema_str.replace(" ", "")
    assert client.get_compatibility() == "FULL_TRANSITIVE"


def test_valkey_speaks_redis(redis_url, prefix):
    client = redis.Redis.from_url(redis_url)

    client.set(f"{prefix}key", "value")

    assert client.get(f"{prefix}key") == b"value"
