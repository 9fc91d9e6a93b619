"""Feeds: how any service reads the topics. First the present state, then a marker, then what changes."""

from schemas.feeds.async_feed import AsyncFeed
from schemas.feeds.errors import (
    FeedClosedError,
    FeedRefusedError,
    NotCurrentError,
    PositionError,
    TopicMissingError,
)
from schemas.feeds.events import Bad, CaughtUp, Changed, Deleted, Event, Reason, Restarted, Skipped
from schemas.feeds.feed import Feed
from schemas.feeds.interpreter import Counts
from schemas.feeds.position import Position, Reached
from schemas.feeds.readers import follow, follow_async, read, read_async, rollout_events, snapshot, table
from schemas.feeds.table import Table
from schemas.partition import partition_of

__all__ = [
    "AsyncFeed",
    "Bad",
    "CaughtUp",
    "Changed",
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
