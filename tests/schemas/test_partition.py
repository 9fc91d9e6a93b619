"""Keys lie where Kafka's own clients and ours put them."""

import pytest
from aiokafka.partitioner import murmur2
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENCE_S

from schemas.partition import partition_of


@given(st.binary(max_size=40), st.integers(min_value=1, max_value=60))
def test_it_agrees_with_aiokafka(key, partitions):
    assert partition_of(key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions


def test_it_agrees_with_librdkafka_over_a_real_broker(bootstrap, prefix):
    topic, found = f"{prefix}keys", {}
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 12, 1)])[topic].result(PATIENCE_S)
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})

    for number in range(200):
        producer.produce(
            topic, key=f"gw-{number}", on_delivery=lambda error, sent: found.update({sent.key(): sent.partition()})
        )
    producer.flush(PATIENCE_S)
    admin.delete_topics([topic])[topic].result(PATIENCE_S)

    assert found == {key: partition_of(key, 12) for key in found}
    assert len(found) == 200


@pytest.mark.parametrize("key", ["gw-1", "Prüfstand 7"])
def test_a_text_lies_where_its_utf_8_lies(key):
    assert partition_of(key, 12) == partition_of(key.encode(), 12)
