"""Agents that are handed all runs that wait: they stay close behind, and nothing is lost or done too early."""

import asyncio
import time

from confluent_kafka import Producer

from streams.kafka import accepted_runs, bulk_topic, make_app, waiting_runs


def gather(app, topic, *, slowly_s=0.0):
    """Let `app` keep what `topic` hands out in the list that is returned, a list of runs at a time."""
    handed = []

    @app.agent(bulk_topic(app, topic))
    async def keep(deliveries):
        async for runs in waiting_runs(deliveries):
            await asyncio.sleep(slowly_s)
            handed.append(runs)

    return handed


async def until(condition, *, within_s=20.0):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.02)


def values(handed):
    return [int(value) for runs in handed for run in runs for value in run.values]


def trickle(broker, topic, records, *, every_s=0.002):
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 0})
    for number in range(records):
        producer.produce(topic, key=b"%d" % number, value=b"%d" % number)
        producer.poll(every_s)
    producer.flush(10)


async def test_what_arrives_while_an_agent_is_busy_becomes_few_runs(broker, running):
    topic, group = broker.topic(partitions=1), broker.group()
    app = make_app(group, broker.bootstrap)
    runs = []

    @app.agent(bulk_topic(app, topic))
    async def keep(deliveries):
        async for run in accepted_runs(deliveries):
            await asyncio.sleep(0.1)
            runs.append(run)

    async with running(app):
        await until(lambda: app.consumer is not None and app.consumer.assignment())
        await asyncio.to_thread(trickle, broker, topic, 500)
        await until(lambda: sum(map(len, runs)) == 500)

    # A second of records, a tenth of a second each: not one run a record.
    assert len(runs) < 40
    assert broker.committed(group, topic, 1) == [500]


async def test_all_that_waits_is_handed_out_together_in_order_and_committed(broker, running):
    topic, group = broker.topic(partitions=6), broker.group()
    broker.produce(topic, [b"%d" % number for number in range(3_000)])
    app = make_app(group, broker.bootstrap, max_run_records=50)
    handed = gather(app, topic, slowly_s=0.01)

    async with running(app):
        await until(lambda: len(values(handed)) >= 3_000)

    assert sorted(values(handed)) == list(range(3_000))
    assert max(map(len, handed)) > 1
    for partition, end in enumerate(broker.ends(topic, 6)):
        mine = [run for runs in handed for run in runs if run.partition == partition]
        assert [offset for run in mine for offset in run.offsets] == list(range(end))
        assert [run.follows for run in mine] == [False] + [True] * (len(mine) - 1)
    assert broker.committed(group, topic, 6) == broker.ends(topic, 6)


async def test_runs_are_not_done_before_all_that_were_handed_out_with_them(broker, running):
    topic, group = broker.topic(partitions=4), broker.group()
    broker.produce(topic, [b"%d" % number for number in range(400)])
    app = make_app(group, broker.bootstrap, commit_every_s=0.1)
    let_go, handed = asyncio.Event(), []

    @app.agent(bulk_topic(app, topic))
    async def wait(deliveries):
        async for runs in waiting_runs(deliveries):
            await let_go.wait()
            handed.append(runs)

    async with running(app):
        await until(lambda: app.consumer is not None and app.consumer.unfinished_runs() > 0)
        await asyncio.sleep(0.5)
        before = broker.committed(group, topic, 4)
        let_go.set()
        await until(lambda: len(values(handed)) == 400)

    assert before == [0, 0, 0, 0]
    assert broker.committed(group, topic, 4) == broker.ends(topic, 4)


async def test_nothing_is_lost_when_others_join_and_leave(broker, running):
    topic, group = broker.topic(partitions=6), broker.group()
    broker.produce(topic, [b"%d" % number for number in range(20_000)])
    staying, passing = (make_app(group, broker.bootstrap, max_run_records=50) for _ in range(2))
    handed = gather(staying, topic, slowly_s=0.1)
    elsewhere = gather(passing, topic, slowly_s=0.1)

    async with running(staying):
        await until(lambda: handed)
        async with running(passing):
            await until(lambda: elsewhere)
            await asyncio.sleep(0.5)
        await until(lambda: {*values(handed), *values(elsewhere)} == set(range(20_000)), within_s=60)

    assert broker.committed(group, topic, 6) == broker.ends(topic, 6)
