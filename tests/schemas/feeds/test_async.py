"""Feeds under asyncio: the same events, and nothing left running."""

import asyncio
import threading
import time

import pytest
from patience import PATIENCE_S

from schemas import feeds
from schemas.admin import BrokerAwayError
from schemas.cluster import Cluster
from schemas.feeds import CaughtUp, Changed

COMMANDS = "rollouts.commands"


@pytest.fixture
def feed_threads():
    """The threads of feeds that were begun in this test; those of others are none of its business."""
    before = set(threading.enumerate())
    return lambda: [one for one in threading.enumerate() if one.name.startswith("feed") and one not in before]


async def test_the_state_the_marker_and_then_the_changes(cluster, fleet, command):
    fleet.make()
    fleet.put(command("gw-1"))
    told = []

    async with feeds.read_async(cluster, COMMANDS) as feed:
        async for event in feed:
            told.append(event)
            if isinstance(event, CaughtUp):
                fleet.put(command("gw-2"))
            if len(told) == 3:
                break
        position = feed.position()

    assert [type(event) for event in told] == [Changed, CaughtUp, Changed]
    assert sum(at.next_offset for at in position.partitions.values()) == 2


async def test_a_read_that_ran_out_of_time_loses_nothing(cluster, fleet, command):
    fleet.make(partitions=1)
    seen = []

    async with feeds.read_async(cluster, COMMANDS) as feed:
        async for event in feed:
            assert isinstance(event, CaughtUp)
            break
        for number in range(30):
            fleet.put(command("gw-1", number + 1))
            try:
                # Often too short, and now and then cancelled just as the record arrives.
                async with asyncio.timeout(0.004 * (number % 3)):
                    seen.append((await anext(feed)).value.revision)
            except TimeoutError:
                pass
        while len(seen) < 30:
            seen.append((await asyncio.wait_for(anext(feed), PATIENCE_S)).value.revision)

    assert seen == list(range(1, 31))


async def test_cancelling_leaves_nothing_running(cluster, fleet, feed_threads):
    fleet.make()
    caught_up = asyncio.Event()

    async def follow():
        async with feeds.read_async(cluster, COMMANDS) as feed:
            async for event in feed:
                if isinstance(event, CaughtUp):
                    caught_up.set()

    task = asyncio.create_task(follow())
    await asyncio.wait_for(caught_up.wait(), PATIENCE_S)
    assert feed_threads()
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert feed_threads() == []
    # A read ends within 0.2 s, and is not waited for any longer.
    assert time.monotonic() - began < 10


async def test_cancelling_while_a_broker_is_waited_for_leaves_nothing_running(feed_threads):
    away = Cluster(bootstrap="127.0.0.1:1", registry_url="http://127.0.0.1:1")

    async def follow():
        async with feeds.read_async(away, COMMANDS, wait_s=float("inf")):
            pass

    task = asyncio.create_task(follow())
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert feed_threads() == []


async def test_the_loop_goes_on_while_a_feed_waits(cluster, fleet):
    fleet.make()

    async with feeds.read_async(cluster, COMMANDS) as feed:
        waiting = asyncio.create_task(anext_twice(feed))
        began = time.monotonic()
        for _ in range(100):
            await asyncio.sleep(0.01)
        took_s = time.monotonic() - began
        still_waits = not waiting.done()
        waiting.cancel()

    assert still_waits
    # Behind a feed that has the loop for 0.2 s at a time, they would take 20 s.
    assert took_s < 15


async def anext_twice(feed):
    await anext(feed)
    await anext(feed)


async def test_an_error_at_the_start_reaches_the_caller(feed_threads):
    away = Cluster(bootstrap="127.0.0.1:1", registry_url="http://127.0.0.1:1")

    with pytest.raises(BrokerAwayError):
        async with feeds.read_async(away, COMMANDS, wait_s=0):
            pass

    assert feed_threads() == []


async def test_a_log_is_followed(cluster, fleet):
    fleet.make("rollouts.acks", partitions=2)

    async with feeds.follow_async(cluster, "rollouts.acks") as feed:
        assert await asyncio.wait_for(anext(feed), PATIENCE_S) == CaughtUp("rollouts.acks")
