"""Feeds for any service: `schemas.feeds`, on the cluster that the settings name unless another is given.

The settings are those of `driftline.toml` and the environment; without any, the local stack that is up.
"""

from collections.abc import Iterator
from typing import Any, Unpack

from driftline.cluster_options import present_settings
from schemas import feeds
from schemas.catalogue import Topic
from schemas.cluster import Cluster
from schemas.feeds import (
    AsyncFeed,
    Bad,
    CaughtUp,
    Changed,
    Counts,
    Deleted,
    Event,
    Feed,
    FeedClosedError,
    FeedRefusedError,
    NotCurrentError,
    Position,
    PositionError,
    Reached,
    Reason,
    Restarted,
    Skipped,
    Table,
    TopicMissingError,
    partition_of,
)
from schemas.feeds.readers import Options

__all__ = [
    "AsyncFeed",
    "Bad",
    "CaughtUp",
    "Changed",
    "Cluster",
    "Counts",
    "Deleted",
    "Event",
    "Feed",
    "FeedClosedError",
    "FeedRefusedError",
    "NotCurrentError",
    "Position",
    "PositionError",
    "Reached",
    "Reason",
    "Restarted",
    "Skipped",
    "Table",
    "TopicMissingError",
    "follow",
    "follow_async",
    "partition_of",
    "read",
    "read_async",
    "rollout_events",
    "snapshot",
    "table",
]


def read(topic: str | Topic, *, cluster: Cluster | None = None, **options: Unpack[Options]) -> Feed[Any]:
    """Read a compacted topic: its present state, `CaughtUp`, then what changes."""
    return feeds.read(*_at(cluster, options), topic, **options)


def read_async(topic: str | Topic, *, cluster: Cluster | None = None, **options: Unpack[Options]) -> AsyncFeed[Any]:
    """`read` for asyncio: `async with read_async(…) as feed: async for event in feed: …`."""
    return feeds.read_async(*_at(cluster, options), topic, **options)


def follow(
    topic: str | Topic, *, cluster: Cluster | None = None, from_ms: int | None = None, **options: Unpack[Options]
) -> Feed[Any]:
    """Read a topic record by record, from now or from a broker time on; `CaughtUp` where the past ends."""
    return feeds.follow(*_at(cluster, options), topic, from_ms=from_ms, **options)


def follow_async(
    topic: str | Topic, *, cluster: Cluster | None = None, from_ms: int | None = None, **options: Unpack[Options]
) -> AsyncFeed[Any]:
    """`follow` for asyncio."""
    return feeds.follow_async(*_at(cluster, options), topic, from_ms=from_ms, **options)


def table(topic: str | Topic, *, cluster: Cluster | None = None, **options: Unpack[Options]) -> Table[Any]:
    """Keep a compacted topic as a mapping; with `where`, of those values alone of which it is true."""
    return feeds.table(*_at(cluster, options), topic, **options)


def snapshot(topic: str | Topic, *, cluster: Cluster | None = None, **options: Unpack[Options]) -> dict[str, Any]:
    """Return the present state of a compacted topic by key, and stop."""
    return feeds.snapshot(*_at(cluster, options), topic, **options)


def rollout_events(*, cluster: Cluster | None = None, **options: Unpack[Options]) -> Iterator[Event[Any]]:
    """Tell, live, what rollouts plan, how they stand, and what devices are told; each topic has its marker."""
    return feeds.rollout_events(*_at(cluster, options), **options)


def _at(cluster: Cluster | None, options: Options) -> tuple[Cluster]:
    if cluster is not None:
        return (cluster,)
    settings = present_settings()
    # Known schemas are then read even while the registry is away.
    options.setdefault("cache_dir", settings.cache / "schemas")
    return (settings.cluster(),)
