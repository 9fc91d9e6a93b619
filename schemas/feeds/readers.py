"""The ways to read a topic, by name."""

from collections.abc import Callable, Collection, Iterator
from typing import Any, TypedDict, Unpack

from schemas.catalogue import Cleanup, Topic, topic_named
from schemas.cluster import Cluster
from schemas.errors import DriftlineError
from schemas.feeds.async_feed import AsyncFeed
from schemas.feeds.events import Changed, Deleted, Event, Restarted
from schemas.feeds.feed import Feed
from schemas.feeds.position import Position
from schemas.feeds.table import Table
from schemas.wire import Contract

__all__ = ["Options", "follow", "follow_async", "read", "read_async", "rollout_events", "snapshot", "table"]

ROLLOUTS = ("rollouts.plans", "rollouts.status", "rollouts.commands")


class Options(TypedDict, total=False):
    """What every way of reading takes."""

    # Only these partitions; `schemas.feeds.partition_of` knows where a key is.
    partitions: Collection[int]
    # Only these keys, told apart before anything is decoded.
    keys: Collection[str]
    # Only values of which this is true. Deletes are told all the same.
    where: Callable[[Any], bool]
    # Go on from here.
    resume: Position | None
    # How long to wait for a broker that is away at the start; math.inf for as long as it takes.
    wait_s: float
    # How often to ask whether the topic is still the same.
    check_every_s: float
    # Stop at the marker.
    until_current: bool
    # Where schema ids are kept for when the registry is away.
    cache_dir: Any
    clock_ms: Callable[[], int]
    # What a program has open already: otherwise each reader asks the registry by itself.
    contract: Contract | None


def read(cluster: Cluster, topic: str | Topic, **options: Unpack[Options]) -> Feed[Any]:
    """Read a compacted topic: its present state, `CaughtUp`, then what changes.

    >>> with read(cluster, "rollouts.commands", keys={"gw-1"}) as feed:  # doctest: +SKIP
    ...     for event in feed:
    ...         print(event)
    """
    return Feed(cluster, _compacted(topic), state=True, **options)


def read_async(cluster: Cluster, topic: str | Topic, **options: Unpack[Options]) -> AsyncFeed[Any]:
    """`read` for asyncio: `async with read_async(…) as feed: async for event in feed: …`."""
    compacted = _compacted(topic)
    return AsyncFeed(lambda: Feed(cluster, compacted, state=True, **options))


def follow(
    cluster: Cluster, topic: str | Topic, *, from_ms: int | None = None, **options: Unpack[Options]
) -> Feed[Any]:
    """Read a topic record by record, from now or from a broker time on; `CaughtUp` where the past ends."""
    return Feed(cluster, _found(topic), state=False, from_ms=from_ms, **options)


def follow_async(
    cluster: Cluster, topic: str | Topic, *, from_ms: int | None = None, **options: Unpack[Options]
) -> AsyncFeed[Any]:
    """`follow` for asyncio."""
    followed = _found(topic)
    return AsyncFeed(lambda: Feed(cluster, followed, state=False, from_ms=from_ms, **options))


def table(cluster: Cluster, topic: str | Topic, **options: Unpack[Options]) -> Table[Any]:
    """Keep a compacted topic as a mapping; with `where`, of those values alone of which it is true."""
    # The table tells by itself what no longer fits, so nothing may be withheld from it.
    where = options.pop("where", None)
    if options.get("resume") is not None:
        raise DriftlineError("a table begins empty, so it cannot go on from a position", hint="use read() for that")
    return Table(Feed(cluster, _compacted(topic), state=True, **options), where=where)


def snapshot(cluster: Cluster, topic: str | Topic, **options: Unpack[Options]) -> dict[str, Any]:
    """Return the present state of a compacted topic by key, and stop."""
    rows: dict[str, Any] = {}
    where = options.pop("where", None)
    options["until_current"] = True
    with read(cluster, topic, **options) as feed:
        for event in feed:
            match event:
                case Changed(key=key, value=value) if where is None or where(value):
                    rows[key] = value
                case Changed(key=key) | Deleted(key=key):
                    rows.pop(key, None)
                case Restarted():
                    rows.clear()
    return rows


def rollout_events(cluster: Cluster, **options: Unpack[Options]) -> Iterator[Event[Any]]:
    """Tell, live, what rollouts plan, how they stand, and what devices are told; each topic has its marker."""
    feeds = [read(cluster, name, **options) for name in ROLLOUTS]
    try:
        for feed in feeds:
            feed.open()
        yield from _merged(feeds, until_current=options.get("until_current", False))
    finally:
        for feed in feeds:
            feed.close()


def _merged(feeds: list[Feed[Any]], *, until_current: bool) -> Iterator[Event[Any]]:
    while not (until_current and all(feed.current for feed in feeds)):
        told = False
        for feed in feeds:
            for event in feed.poll(0):
                told = True
                yield event
        if not told:
            # Nothing anywhere: wait on each in turn, briefly, so that none waits long for another.
            for feed in feeds:
                yield from feed.poll(0.05)


def _found(topic: str | Topic) -> Topic:
    return topic_named(topic) if isinstance(topic, str) else topic


def _compacted(topic: str | Topic) -> Topic:
    found = _found(topic)
    if found.cleanup is not Cleanup.COMPACT:
        raise DriftlineError(
            f"{found.name} is a plain log: it has no present state to begin with", hint="follow() reads it"
        )
    return found
