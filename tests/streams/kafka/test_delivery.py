"""What reaches an agent, and what is committed, while nobody dies."""

import asyncio
import contextlib
import itertools
import logging

import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from patience import PATIENCE_S, until

from streams.kafka import BulkAppError, accepted_runs, bulk_topic, figures, make_app


def gather(app, *topics, slowly_s=0.0):
    """Let `app` keep the runs of `topics` in the list that is returned."""
    runs = []

    @app.agent(bulk_topic(app, *topics))
    async def keep(deliveries):
        async for run in accepted_runs(deliveries):
            await asyncio.sleep(slowly_s)
            runs.append(run)

    return runs


def is_empty(broker, topic):
    try:
        return broker.ends(topic, 1) == [0]
    except KafkaException:  # It is not there yet.
        return False


def count(runs):
    return sum(map(len, runs))


def offsets(runs, partition):
    return [offset for run in runs if run.partition == partition for offset in run.offsets]


def values(runs):
    return [value for run in runs for value in run.values]


async def test_every_record_arrives_once_in_order_and_all_is_committed(broker, running):
    topic, group = broker.topic(partitions=4), broker.group()
    broker.produce(topic, [b"%d" % number for number in range(20_000)])
    app = make_app(group, broker.bootstrap)
    runs = gather(app, topic)

    async with running(app):
        await until(lambda: count(runs) >= 20_000)

    assert sorted(map(int, values(runs))) == list(range(20_000))
    assert len(runs) < 400
    ends = broker.ends(topic, 4)
    assert [offsets(runs, partition) for partition in range(4)] == [list(range(end)) for end in ends]
    assert broker.committed(group, topic, 4) == ends


async def test_the_end_commits_all_that_is_done_though_a_commit_of_less_is_under_way(broker, running):
    topic, group = broker.topic(partitions=1), broker.group()
    broker.produce(topic, [b"x"] * 1_000)
    app = make_app(group, broker.bootstrap, commit_every_s=0.05, max_run_records=10)
    runs = gather(app, topic, slowly_s=0.002)
    slow = asyncio.Event()
    commit = app.consumer._commit

    async def commit_slowly(positions):
        if count(runs):
            slow.set()
        await asyncio.sleep(0.5)
        return await commit(positions)

    app.consumer._commit = commit_slowly

    async with running(app):
        await asyncio.wait_for(slow.wait(), PATIENCE_S)
        await until(lambda: count(runs) == 1_000)

    assert broker.committed(group, topic, 1) == [1_000]


async def test_a_restart_goes_on_where_the_work_stopped(broker, running):
    topic, group = broker.topic(partitions=2), broker.group()
    broker.produce(topic, [b"x"] * 2_000)
    first = make_app(group, broker.bootstrap, max_run_records=50)
    before = gather(first, topic, slowly_s=0.02)
    second = make_app(group, broker.bootstrap)
    after = gather(second, topic)

    async with running(first):
        await until(lambda: count(before) >= 200)
    async with running(second):
        await until(lambda: count(before) + count(after) >= 2_000)

    assert count(before) < 2_000
    for partition, end in enumerate(broker.ends(topic, 2)):
        assert offsets(before, partition) + offsets(after, partition) == list(range(end))


async def test_only_the_first_run_of_a_partition_does_not_follow(broker, running):
    topic = broker.topic(partitions=2)
    broker.produce(topic, [b"x"] * 1_000)
    app = make_app(broker.group(), broker.bootstrap, max_run_records=100)
    runs = gather(app, topic)

    async with running(app):
        await until(lambda: count(runs) >= 1_000)

    for partition in range(2):
        mine = [run for run in runs if run.partition == partition]
        assert [run.follows for run in mine] == [False] + [True] * (len(mine) - 1)
        assert all(one.end == two.start for one, two in itertools.pairwise(mine))


async def test_a_partition_that_comes_back_where_it_was_left_follows(broker, running):
    topic, group = broker.topic(partitions=2), broker.group()
    # More than they eat while they join and leave, and so large that a fetch brings but few of a partition.
    broker.produce(topic, [b"x" * 500] * 40_000)
    staying = make_app(group, broker.bootstrap, max_run_records=20)
    runs = gather(staying, topic, slowly_s=0.02)
    passing = make_app(group, broker.bootstrap, max_run_records=20)
    elsewhere = gather(passing, topic, slowly_s=0.02)
    shares = []
    staying.on_partitions_assigned.connect(lambda _app, assigned, **_: shares.append(len(assigned)), weak=False)

    async with running(staying):
        await until(lambda: count(runs) >= 200)
        async with running(passing):
            await until(lambda: shares[-1] == 1 and elsewhere)
            kept = next(iter(staying.consumer.assignment())).partition
        await until(lambda: shares[-1] == 2)
        again = len(runs)
        await until(lambda: len({run.partition for run in runs[again:]}) == 2)

    mine = [run for run in runs if run.partition == kept]
    lent = [run for run in runs if run.partition != kept]
    assert [run.follows for run in mine] == [False] + [True] * (len(mine) - 1)
    assert [run.follows for run in lent].count(False) == 2


async def test_keys_tombstones_headers_and_times_are_within_reach(broker, running):
    topic = broker.topic(partitions=1)
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    producer.produce(topic, key=b"k1", value=b"v1", headers=[("ce_type", b"stats"), ("empty", None)])
    producer.produce(topic, key=b"k2", value=None)
    producer.produce(topic, value=b"v3", timestamp=1_700_000_000_000)
    producer.flush()
    app = make_app(broker.group(), broker.bootstrap)
    runs = gather(app, topic)

    async with running(app):
        await until(lambda: count(runs) == 3)

    assert [key for run in runs for key in run.keys] == [b"k1", b"k2", None]
    assert values(runs) == [b"v1", None, b"v3"]
    assert [list(headers) for run in runs for headers in run.headers][:2] == [
        [("ce_type", b"stats"), ("empty", None)],
        [],
    ]
    assert [time_ms for run in runs for time_ms in run.timestamps_ms][2] == 1_700_000_000_000


@pytest.mark.parametrize("codec", ["none", "gzip", "lz4", "zstd", "snappy"])
async def test_compressed_batches_are_read(broker, running, codec):
    topic = broker.topic(partitions=1)
    broker.produce(topic, [b"%d" % number for number in range(500)], **{"compression.type": codec})
    app = make_app(broker.group(), broker.bootstrap)
    runs = gather(app, topic)

    async with running(app):
        await until(lambda: count(runs) == 500)

    assert values(runs) == [b"%d" % number for number in range(500)]


async def test_an_empty_partition_neither_stops_the_others_nor_is_forgotten(broker, running):
    topic, group = broker.topic(partitions=3), broker.group()
    broker.produce(topic, [b"x"] * 500, partition=0)
    app = make_app(group, broker.bootstrap)
    runs = gather(app, topic)

    async with running(app):
        await until(lambda: count(runs) == 500)
        broker.produce(topic, [b"late"], partition=1)
        await until(lambda: count(runs) == 501)

    assert values(runs)[-1] == b"late"
    assert broker.committed(group, topic, 3) == [500, 1, 0]


async def test_a_record_of_10_mb_passes_and_so_do_its_neighbours(broker, running):
    topic, group = broker.topic(partitions=1, max_message_bytes="20000000"), broker.group()
    huge = bytes(10_000_000)
    broker.produce(topic, [b"before", huge, b"after"], **{"message.max.bytes": 20_000_000})
    app = make_app(group, broker.bootstrap)
    runs = gather(app, topic)

    async with running(app):
        await until(lambda: count(runs) == 3)

    assert values(runs) == [b"before", huge, b"after"]
    assert broker.committed(group, topic, 1) == [3]


async def test_a_compacted_topic_is_read_over_its_gaps(broker, running):
    topic, group = (
        broker.topic(
            partitions=1,
            cleanup_policy="compact",
            segment_ms="100",
            min_cleanable_dirty_ratio="0.001",
            max_compaction_lag_ms="100",
        ),
        broker.group(),
    )
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for number in range(3_000):
        producer.produce(topic, key=b"%d" % (number % 7), value=b"%d" % number)
        if number % 500 == 0:
            producer.flush()
            await asyncio.sleep(0.2)
    producer.flush()
    await _compacted(broker, topic, below=1_500)
    app = make_app(group, broker.bootstrap, max_run_records=100)
    runs = gather(app, topic)

    async with running(app):
        await until(lambda: runs and runs[-1].end == 3_000)

    seen = offsets(runs, 0)
    assert seen == sorted(set(seen))
    assert len(seen) < 1_500
    assert {values(runs)[seen.index(offset)] for offset in seen} >= {b"%d" % n for n in range(2_993, 3_000)}
    assert broker.committed(group, topic, 1) == [3_000]
    assert [run.follows for run in runs] == [False] + [True] * (len(runs) - 1)


async def _compacted(broker, topic, *, below):
    """Wait until the log holds fewer than `below` records."""

    def held():
        with contextlib.closing(broker.offsets_of(broker.group())) as consumer:
            consumer.assign([TopicPartition(topic, 0, 0)])
            [last] = broker.ends(topic, 1)
            records = 0
            while consumer.position([TopicPartition(topic, 0)])[0].offset < last:
                records += len(consumer.consume(5_000, timeout=1.0))
        return records

    await until(lambda: held() < below, or_say=lambda: f"{held()} records are left")


async def test_aborted_transactions_are_passed_over(broker, running):
    topic, group = broker.topic(partitions=1), broker.group()
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": broker.group()})
    producer.init_transactions(PATIENCE_S)
    for name, keep in [("a", True), ("b", False), ("c", False), ("d", True), ("e", False)]:
        producer.begin_transaction()
        for number in range(300):
            producer.produce(topic, value=f"{name}{number}".encode())
        producer.flush()
        producer.commit_transaction(PATIENCE_S) if keep else producer.abort_transaction(PATIENCE_S)
    end = broker.ends(topic, 1)
    app = make_app(group, broker.bootstrap, max_run_records=100)
    runs = gather(app, topic)

    async with running(app):
        await until(lambda: count(runs) == 600)
        # The trailing aborted records and control records leave no lag behind.
        await until(lambda: broker.committed(group, topic, 1) == end)

    assert values(runs) == [f"{name}{number}".encode() for name in "ad" for number in range(300)]
    assert [run.follows for run in runs] == [False] + [True] * (len(runs) - 1)


async def test_what_retention_removed_is_passed_over_loudly(broker, running, caplog):
    topic, group = broker.topic(partitions=1), broker.group()
    broker.produce(topic, [b"x"] * 1_000)
    first = make_app(group, broker.bootstrap, max_run_records=100)
    gather(first, topic)
    async with running(first):
        await until(lambda: broker.committed(group, topic, 1) == [1_000])
    broker.produce(topic, [b"y"] * 500)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for done in admin.delete_records([TopicPartition(topic, 0, 1_200)]).values():
        done.result()
    second = make_app(group, broker.bootstrap)
    runs = gather(second, topic)

    with caplog.at_level(logging.ERROR):
        async with running(second):
            await until(lambda: count(runs) == 300)

    missed = figures(second).registry.get_sample_value(
        "driftline_worker_expired_records_total", {"topic": topic, "partition": "0"}
    )
    assert offsets(runs, 0) == list(range(1_200, 1_500))
    assert missed == 200
    assert "200 offsets from 1000 on expired before they were read" in caplog.text
    assert broker.committed(group, topic, 1) == [1_500]


async def test_a_log_that_began_anew_is_read_anew(broker, running, caplog):
    topic, group = broker.topic(partitions=1), broker.group()
    broker.produce(topic, [b"old"] * 1_000)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    app = make_app(group, broker.bootstrap)
    runs = gather(app, topic)

    async with running(app):
        await until(lambda: broker.committed(group, topic, 1) == [1_000])
        for done in admin.delete_topics([topic]).values():
            done.result()
        await until(lambda: topic not in admin.list_topics(timeout=PATIENCE_S).topics)
        for done in admin.create_topics([NewTopic(topic, 1, 1)]).values():
            done.result()
        # The controller answers before the broker has put the old log away.
        await until(lambda: is_empty(broker, topic))
        broker.produce(topic, [b"new"] * 10)
        await until(lambda: values(runs)[1_000:] == [b"new"] * 10)
        await until(lambda: broker.committed(group, topic, 1) == [10])


async def test_latest_means_the_first_start(broker, running):
    topic, group = broker.topic(partitions=1), broker.group()
    broker.produce(topic, [b"old"] * 100)
    first = make_app(group, broker.bootstrap, start_at="latest")
    unseen = gather(first, topic)
    async with running(first):
        await until(lambda: broker.committed(group, topic, 1) == [100])
    broker.produce(topic, [b"while away"] * 10)
    second = make_app(group, broker.bootstrap, start_at="latest")
    runs = gather(second, topic)

    async with running(second):
        await until(lambda: count(runs) == 10)

    assert unseen == []
    assert offsets(runs, 0) == list(range(100, 110))


async def test_a_seek_of_ones_own_is_undone_not_committed(broker, running):
    topic, group = broker.topic(partitions=1), broker.group()
    broker.produce(topic, [b"x"] * 3_000)
    app = make_app(group, broker.bootstrap, max_run_records=100)
    runs = gather(app, topic, slowly_s=0.01)

    async with running(app):
        await until(lambda: count(runs) >= 500)
        await app.consumer.seek(next(iter(app.consumer.assignment())), 2_500)
        await until(lambda: runs[-1].end == 3_000)

    assert offsets(runs, 0) == list(range(3_000))


async def test_a_partition_that_is_paused_waits_and_then_goes_on_where_it_stood(broker, running):
    topic, group = broker.topic(partitions=2), broker.group()
    broker.produce(topic, [b"x"] * 4_000)
    app = make_app(group, broker.bootstrap, max_run_records=50)
    runs = gather(app, topic, slowly_s=0.01)

    async with running(app):
        await until(lambda: count(runs) >= 500)
        paused = next(tp for tp in app.consumer.assignment() if tp.partition == 0)
        app.consumer.pause_partitions({paused})
        await until(lambda: app.consumer.unfinished_runs() == 0)
        before = len(offsets(runs, 0))
        broker.produce(topic, [b"meanwhile"] * 500, partition=1)
        await until(lambda: offsets(runs, 1)[-1:] == [broker.ends(topic, 2)[1] - 1])
        while_paused = len(offsets(runs, 0))
        app.consumer.resume_partitions({paused})
        await until(lambda: count(runs) >= 4_500)

    assert while_paused == before < broker.ends(topic, 2)[0]
    for partition, end in enumerate(broker.ends(topic, 2)):
        assert offsets(runs, partition) == list(range(end))
    assert broker.committed(group, topic, 2) == broker.ends(topic, 2)


async def test_a_slow_partition_does_not_hold_up_another_agents_topic(broker, running):
    slow_topic, quick_topic = broker.topic(partitions=4), broker.topic(partitions=4)
    for topic in (slow_topic, quick_topic):
        broker.produce(topic, [b"x"] * 10_000)
    app = make_app(broker.group(), broker.bootstrap, max_run_records=100)
    slow, quick = [], []

    @app.agent(bulk_topic(app, slow_topic), name="slow")
    async def wait(deliveries):
        async for run in accepted_runs(deliveries):
            slow.append(run)
            await asyncio.sleep(0.5)

    @app.agent(bulk_topic(app, quick_topic), name="quick")
    async def run_on(deliveries):
        async for run in accepted_runs(deliveries):
            quick.append(run)  # noqa: PERF401

    async with running(app):
        await until(lambda: count(quick) == 10_000)
        await asyncio.sleep(1.0)
        waiting = app.consumer.unfinished_runs()

    assert count(slow) < 10_000
    # Two runs of each slow partition wait in memory, whatever else the log holds.
    assert waiting <= 2 * 4


def quick_and_careful(app, topic):
    """Give `app` an agent that runs on and one that waits; returns what lets it go, and what each has done."""
    let_go, quick, careful = asyncio.Event(), [], []

    @app.agent(bulk_topic(app, topic), name="quick")
    async def run_on(deliveries):
        async for run in accepted_runs(deliveries):
            quick.append(run)  # noqa: PERF401

    @app.agent(bulk_topic(app, topic), name="careful")
    async def wait(deliveries):
        async for run in accepted_runs(deliveries):
            await let_go.wait()
            careful.append(run)

    return let_go, quick, careful


async def test_a_run_is_done_when_every_agent_of_its_topic_is_done(broker, running):
    topic, group = broker.topic(partitions=1), broker.group()
    broker.produce(topic, [b"x"] * 100)
    app = make_app(group, broker.bootstrap, commit_every_s=0.1)
    let_go, quick, careful = quick_and_careful(app, topic)

    async with running(app):
        await until(lambda: count(quick) == 100)
        await asyncio.sleep(0.5)
        before = broker.committed(group, topic, 1)
        let_go.set()
        await until(lambda: count(careful) == 100)

    assert before == [0]
    assert broker.committed(group, topic, 1) == [100]


async def test_an_agent_does_not_run_ahead_of_a_slower_one_of_its_topic(broker, running):
    topic, group = broker.topic(partitions=1), broker.group()
    broker.produce(topic, [b"%d" % number for number in range(1_000)])
    app = make_app(group, broker.bootstrap, max_run_records=10)
    let_go, quick, careful = quick_and_careful(app, topic)

    async with running(app):
        await until(lambda: quick)
        await asyncio.sleep(3)
        waiting = app.consumer.unfinished_runs()
        let_go.set()
        await until(lambda: count(careful) == 1_000)

    # What one fetch brings, at most four times ten records, and the one that was under way.
    assert waiting <= 8
    assert broker.committed(group, topic, 1) == [1_000]


async def test_an_app_with_an_ordinary_topic_is_refused(broker, running):
    topic, ordinary = broker.topic(), broker.topic()
    app = make_app(broker.group(), broker.bootstrap)
    gather(app, topic)

    @app.agent(app.topic(ordinary))
    async def one_by_one(events):
        async for _ in events:
            pass

    async with running(app):
        await until(lambda: app.crashed)

    assert isinstance(app.crash_reason, BulkAppError)
    assert f"reads {ordinary} event by event" in str(app.crash_reason)
    assert "declare it with bulk_topic" in app.crash_reason.hint


async def test_an_agent_with_concurrency_is_refused(broker, running):
    topic = broker.topic()
    app = make_app(broker.group(), broker.bootstrap)

    @app.agent(bulk_topic(app, topic), concurrency=2)
    async def both(deliveries):
        async for _ in accepted_runs(deliveries):
            pass

    async with running(app):
        await until(lambda: app.crashed)

    assert "concurrency 1" in str(app.crash_reason)
