"""What a reader takes, wherever it is told to read."""

import asyncio
import random
import threading
from functools import partial

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from patience import PATIENCE_S

from streams.kafka.fetch import OutOfRange, Stretch, TopicReader

RECORDS = 20_000


@pytest.fixture
def reader_of(broker):
    def reader_of(topic, **settings):
        given = {"bootstrap.servers": broker.bootstrap, "group.id": broker.group(), **settings}
        return TopicReader(topic, given, max_run_records=500)

    return reader_of


async def taken(reader):
    """The next pieces that there are."""
    async with asyncio.timeout(PATIENCE_S):
        while not (pieces := await reader.take()):
            pass
    return pieces


async def test_stretches_begin_where_the_one_before_ended_and_hold_every_record(broker, reader_of):
    topic = broker.topic(partitions=2)
    broker.produce(topic, [b"%d" % number for number in range(RECORDS)])
    ends, reader = broker.ends(topic, 2), reader_of(topic)
    at = {0: 0, 1: 7}

    await reader.read(at)
    while [at[0], at[1]] != ends:
        for number, stretch in await taken(reader):
            assert stretch.start == at[number]
            assert stretch.offsets == list(range(stretch.start, stretch.end))
            assert len(stretch.offsets) <= 500
            at[number] = stretch.end
    await reader.close()


@pytest.mark.parametrize("seed", range(3))
async def test_after_a_jump_nothing_from_before_it_is_taken(broker, reader_of, seed):
    chance = random.Random(seed)
    topic = broker.topic(partitions=2)
    broker.produce(topic, [b"x" * 200] * RECORDS)
    ends, reader = broker.ends(topic, 2), reader_of(topic)
    at = {0: 0, 1: 0}
    await reader.read(at)

    for _ in range(60):
        number = chance.randrange(2)
        at[number] = chance.randrange(ends[number] - 1)
        await reader.read_from(number, at[number])
        for _ in range(chance.randrange(4)):
            for partition, stretch in await reader.take():
                assert stretch.start == at[partition]
                assert stretch.offsets == list(range(stretch.start, stretch.end))
                at[partition] = stretch.end

    await reader.close()


async def test_a_partition_that_is_left_is_read_no_longer(broker, reader_of):
    topic = broker.topic(partitions=2)
    broker.produce(topic, [b"x"] * RECORDS)
    reader = reader_of(topic)
    await reader.read({0: 0, 1: 0})

    await reader.leave(0)
    found = {number for number, _ in await taken(reader)}
    found |= {number for _ in range(5) for number, _ in await reader.take()}
    await reader.close()

    assert found == {1}


@pytest.mark.parametrize("position", [pytest.param(10, id="expired"), pytest.param(5_000, id="not there yet")])
async def test_a_position_outside_of_the_log_is_said_to_be(broker, reader_of, position):
    topic = broker.topic(partitions=1)
    broker.produce(topic, [b"x"] * 1_000)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for done in admin.delete_records([TopicPartition(topic, 0, 100)]).values():
        done.result()
    reader = reader_of(topic)

    await reader.read({0: position})
    pieces = await taken(reader)
    await reader.read_from(0, 100)
    [(_, after), *_] = await taken(reader)
    await reader.close()

    assert pieces == [(0, OutOfRange(position))]
    assert isinstance(after, Stretch)
    assert after.offsets[0] == 100


async def test_whoever_asks_for_the_end_while_it_closes_is_told_that_it_is_not_known(broker, reader_of):
    topic = broker.topic(partitions=1)
    broker.produce(topic, [b"x"] * 10)
    for _ in range(10):
        reader = reader_of(topic)
        await reader.read({0: 0})
        await taken(reader)
        told = []
        asking = threading.Thread(target=told.extend, args=(iter(partial(reader.end, 0), -1),))
        asking.start()
        await reader.close()
        asking.join(PATIENCE_S)

        assert not asking.is_alive()
        assert set(told) <= {10}
