"""What a bulk app tells of itself while it works."""

import asyncio
import time

from patience import until

from streams.kafka import accepted_runs, bulk_topic, figures, make_app


async def test_lag_records_commits_and_readiness_follow_the_work(broker, running):
    topic = broker.topic(partitions=2)
    broker.produce(topic, [b"x"] * 300, partition=0)
    app = make_app(broker.group(), broker.bootstrap, commit_every_s=0.1, max_run_records=100)
    told = figures(app)
    may_open, may_work = asyncio.Event(), asyncio.Event()

    def value(name, partition):
        return told.registry.get_sample_value(name, {"topic": topic, "partition": str(partition)})

    def lag():
        return [value("driftline_worker_lag_records", partition) for partition in range(2)]

    @app.agent(bulk_topic(app, topic))
    async def work(deliveries):
        await may_open.wait()
        async for _ in accepted_runs(deliveries):
            await may_work.wait()

    before = told.waiting()
    async with running(app):
        may_open.set()
        await until(lambda: lag() == [300, 0] and value("driftline_worker_unfinished_runs", 0))
        while_held = told.waiting()
        runs_held = value("driftline_worker_unfinished_runs", 0)
        may_work.set()
        await until(lambda: lag() == [0, 0])
        after = told.waiting()
        await until(lambda: broker.committed(app.conf.id, topic, 2) == [300, 0])
        await until(lambda: told.silent_s() < 1.5)

    assert before == ["1 of 1 agents are not open yet"]
    assert while_held == [f"{topic}[0]: its first run is not done yet"]
    assert 1 <= runs_held <= 3
    assert after == []
    assert value("driftline_worker_records_total", 0) == 300
    assert told.registry.get_sample_value("driftline_worker_run_records_count", {"topic": topic}) >= 3
    assert told.registry.get_sample_value("driftline_worker_commits_total", {"outcome": "done"}) >= 1


async def test_an_event_loop_that_does_not_turn_is_noticed(broker, running):
    topic = broker.topic(partitions=1)
    app = make_app(broker.group(), broker.bootstrap)

    @app.agent(bulk_topic(app, topic))
    async def work(deliveries):
        async for _ in accepted_runs(deliveries):
            pass

    async with running(app):
        await asyncio.sleep(2.5)
        await until(lambda: figures(app).silent_s() < 1.5)
        time.sleep(2.5)  # noqa: ASYNC251  (as an agent does that computes for too long)
        during = figures(app).silent_s()

    assert during >= 2.5
