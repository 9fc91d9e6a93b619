"""Reading topics until they have told what a test waits for."""

import time

from patience import PATIENCE_S

from schemas import feeds
from schemas.feeds import CaughtUp, Changed

__all__ = ["first_on", "next_events", "read_until", "records_on", "until_marker"]


def records_on(cluster, topic, enough, within_s=PATIENCE_S):
    """Read a topic from its beginning until `enough(records)`."""
    records, deadline_s = [], time.monotonic() + within_s
    with feeds.follow(cluster, topic, from_ms=0) as feed:
        while not enough(records):
            assert time.monotonic() < deadline_s, f"{len(records)} records on {topic}: {records[-3:]}"
            records += [event.value for event in feed.poll(0.5) if isinstance(event, Changed)]
    return records


def first_on(cluster, topic):
    """The first record of a topic, with its headers."""
    with feeds.follow(cluster, topic, from_ms=0) as feed:
        told = read_until(feed, lambda told: any(isinstance(one, Changed) for one in told))
    return next(event for event in told if isinstance(event, Changed))


def read_until(feed, enough, *, poll_s=0.2):
    """What a feed tells until that is enough."""
    told, deadline_s = [], time.monotonic() + PATIENCE_S
    while not enough(told):
        assert time.monotonic() < deadline_s, f"{len(told)} events, at last: {told[-5:]}"
        told += feed.poll(poll_s)
    return told


def until_marker(feed, *, poll_s=0.2):
    """Everything that a feed tells up to and with the marker."""
    return read_until(feed, lambda told: told and isinstance(told[-1], CaughtUp), poll_s=poll_s)


def next_events(feed, count):
    return read_until(feed, lambda told: len(told) >= count)
