import asyncio
import contextlib

import pytest
from aiokafka.partitioner import DefaultPartitioner
from confluent_kafka import TopicPartition
from prometheus_client import REGISTRY

from streams.kafka import BatchProducer, DeliveryError, Outgoing


def stored(broker, topic, partitions):
    """What the topic holds: partition, key, value and headers of each record."""
    ends = broker.ends(topic, partitions)
    with contextlib.closing(broker.offsets_of(broker.group())) as consumer:
        consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        found = []
        while len(found) < sum(ends):
            found += consumer.consume(100, timeout=1.0)
    return [(each.partition(), each.key(), each.value(), each.headers()) for each in found]


async def test_a_batch_is_on_the_broker_when_deliver_returns(broker):
    topic = broker.topic(partitions=1)
    producer = BatchProducer(broker.bootstrap)
    batch = [Outgoing(topic, b"k", b"%d" % number, headers=[("ce_type", b"score")]) for number in range(5_000)]

    await producer.deliver(batch)

    assert broker.ends(topic, 1) == [5_000]
    assert REGISTRY.get_sample_value("driftline_worker_delivered_records_total", {"topic": topic}) == 5_000
    assert [value for _, _, value, _ in stored(broker, topic, 1)] == [record.value for record in batch]
    await producer.close()


async def test_keys_go_where_the_java_clients_send_them(broker):
    topic = broker.topic(partitions=7)
    keys = [b"device-%d" % number for number in range(50)]
    producer = BatchProducer(broker.bootstrap)

    await producer.deliver(Outgoing(topic, key, None) for key in keys)

    numbers = list(range(7))
    expected = {key: DefaultPartitioner()(key, numbers, numbers) for key in keys}
    assert {key: partition for partition, key, _, _ in stored(broker, topic, 7)} == expected


async def test_what_cannot_be_delivered_is_named_and_the_rest_arrives(broker):
    topic = broker.topic(partitions=1)
    producer = BatchProducer(broker.bootstrap)
    batch = [Outgoing(topic, b"a", b"1"), Outgoing(topic, b"huge", bytes(5_000_000)), Outgoing(topic, b"b", b"2")]

    with pytest.raises(DeliveryError, match="1 of 3 records were not delivered; the first, key b'huge'") as caught:
        await producer.deliver(batch)

    assert [record.key for record, _ in caught.value.failed] == [b"huge"]
    assert [key for _, key, _, _ in stored(broker, topic, 1)] == [b"a", b"b"]


async def test_a_broker_that_is_away_is_given_up_in_time_and_the_loop_stays_free():
    producer = BatchProducer("127.0.0.1:1", give_up_after_s=1.0)
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.05)
            ticks += 1

    ticking = asyncio.create_task(tick())
    with pytest.raises(DeliveryError, match="1 of 1 records were not delivered"):
        await producer.deliver([Outgoing("anything", b"k", b"v")])
    ticking.cancel()

    assert ticks > 5


async def test_batches_of_several_tasks_do_not_wait_for_each_others_failures(broker):
    topic = broker.topic(partitions=1)
    producer = BatchProducer(broker.bootstrap)
    good = [Outgoing(topic, b"k", b"x")] * 500
    bad = [Outgoing(topic, b"huge", bytes(5_000_000))]

    results = await asyncio.gather(*map(producer.deliver, [good, bad, good]), return_exceptions=True)

    assert [type(result) for result in results] == [type(None), DeliveryError, type(None)]
    assert broker.ends(topic, 1) == [1_000]
