"""Agents that are handed all runs that wait: they stay close behind, and nothing is lost or done too early."""

import asyncio

from confluent_kafka import Producer
from patience import PATIENCE_S, until

from streams.kafka import accepted_runs, bulk_topic, make_app, waiting_runs


def gather(app, topic, *, slowly_s=0.0):
    """Let `app` keep what `topic` hands out in the list that is returned, a list of runs at a time."""
    kept = []

    @app.agent(bulk_topic(app, topic))
    async def keep(deliveries):
        async for handed in waiting_runs(deliveries):
            await asyncio.sleep(slowly_s)
            kept.append(handed.runs)
            handed.done()

    return kept


def values(handed):
    return [int(value) for runs in handed for run in runs for value in run.values]


def trickle(broker, topic, records, *, every_s=0.002):
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 0})
    for number in range(records):
        producer.produce(topic, key=b"%d" % number, value=b"%d" % number)
        producer.poll(every_s)
    producer.flush(PATIENCE_S)


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

    # A second of records, a tenth of a second each, and more of both on a slow machine: not one run a record.
    assert len(runs) < 250
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
        async for one in waiting_runs(deliveries):
            await let_go.wait()
            handed.append(one.runs)
            one.done()

    async with running(app):
        await until(lambda: app.consumer is not None and app.consumer.unfinished_runs() > 0)
        await asyncio.sleep(0.5)
        before = broker.committed(group, topic, 4)
        let_go.set()
        await until(lambda: len(values(handed)) == 400)

    assert before == [0, 0, 0, 0]
    assert broker.committed(group, topic, 4) == broker.ends(topic, 4)


async def test_what_is_worked_on_but_not_done_is_not_committed_and_holds_nothing_up(broker, running):
    topic, group = broker.topic(partitions=1), broker.group()
    app = make_app(group, broker.bootstrap, commit_every_s=0.1, max_run_records=100)
    kept = []

    @app.agent(bulk_topic(app, topic))
    async def keep(deliveries):
        async for handed in waiting_runs(deliveries):
            await asyncio.sleep(0)
            kept.append(handed)

    async with running(app):
        for wanted in (200, 400):
            broker.produce(topic, [b"%d" % number for number in range(200)])
            await until(lambda wanted=wanted: len(values(handed.runs for handed in kept)) == wanted)
        await asyncio.sleep(0.5)
        before = broker.committed(group, topic, 1)
        for handed in reversed(kept):
            handed.done()
            await asyncio.sleep(0.01)

    assert before == [0]
    assert broker.committed(group, topic, 1) == [400]


async def test_an_agent_that_ends_before_what_it_worked_on_is_done_stops_its_worker(broker, running):
    topic, group = broker.topic(partitions=1), broker.group()
    broker.produce(topic, [b"1", b"2", b"3"])
    app = make_app(group, broker.bootstrap, commit_every_s=0.1)

    @app.agent(bulk_topic(app, topic))
    async def fail_while_idle(deliveries):
        async with asyncio.TaskGroup() as telling:
            async for _ in waiting_runs(deliveries):
                telling.create_task(fail())

    async def fail():
        await asyncio.sleep(0.2)
        raise RuntimeError("told to fail")

    async with running(app):
        await until(lambda: app.should_stop)

    assert broker.committed(group, topic, 1) == [0]


def tell_late(app, topic, told, *, when):
    """Let `app` be done with what `topic` hands out some time after it has worked on it, and keep it in `told` then."""

    @app.agent(bulk_topic(app, topic))
    async def keep(deliveries):
        async with asyncio.TaskGroup() as telling:
            async for handed in waiting_runs(deliveries):
                telling.create_task(tell(handed))

    async def tell(handed):
        await when()
        told.append(handed.runs)
        handed.done()


async def test_a_worker_that_stops_waits_for_what_is_on_its_way_and_commits_it(broker, running):
    topic, group = broker.topic(partitions=2), broker.group()
    broker.produce(topic, [b"%d" % number for number in range(100)])
    app, told, let_go = make_app(group, broker.bootstrap), [], asyncio.Event()
    tell_late(app, topic, told, when=let_go.wait)

    async with running(app):
        await until(lambda: app.consumer is not None and app.consumer.unfinished_runs() > 0)
        await asyncio.sleep(0.5)
        before = values(told)
        # By then the worker is stopping.
        asyncio.get_running_loop().call_later(1.5, let_go.set)

    assert before == []
    assert sorted(values(told)) == list(range(100))
    assert broker.committed(group, topic, 2) == broker.ends(topic, 2)


async def test_what_is_on_its_way_in_a_rebalance_is_waited_for_and_not_handed_out_again(broker, running):
    topic, group = broker.topic(partitions=4), broker.group()
    apps, told = [make_app(group, broker.bootstrap) for _ in range(2)], []
    for app in apps:
        tell_late(app, topic, told, when=lambda: asyncio.sleep(2.0))

    async with running(apps[0]):
        await until(lambda: apps[0].consumer is not None and apps[0].consumer.assignment())
        broker.produce(topic, [b"%d" % number for number in range(100)])
        await until(lambda: apps[0].consumer.unfinished_runs() > 0)
        async with running(apps[1]):
            await until(lambda: apps[1].consumer is not None and apps[1].consumer.assignment())
            first = values(told)
            broker.produce(topic, [b"%d" % number for number in range(100, 200)])
            await until(lambda: len(values(told)) >= 200)

    assert sorted(first) == list(range(100))
    assert sorted(values(told)) == list(range(200))
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
        await until(lambda: {*values(handed), *values(elsewhere)} == set(range(20_000)))

    assert broker.committed(group, topic, 6) == broker.ends(topic, 6)
