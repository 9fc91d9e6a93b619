"""Taking fetched records out of aiokafka a run at a time, with the exact positions between which they were read.

aiokafka's own `getmany` builds an object for each record and says nothing of positions that moved without a record
(aborted transactions, control records, compacted stretches). Both matter here, so this module reads the fetcher's
buffers itself. It runs in the consumer's thread, and is the only place that knows those buffers.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from aiokafka.consumer.fetcher import Fetcher, FetchResult
from aiokafka.errors import OffsetOutOfRangeError
from faust.types import TP

__all__ = ["OutOfRange", "Stretch", "take_stretches"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """What was read of a partition between two positions; without records if only the position moved."""

    start: int
    end: int
    records: list[Any]


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """The broker no longer has, or does not yet have, what was asked for."""


Taken = dict[TP, Stretch | OutOfRange]


async def take_stretches(fetcher: Fetcher, partitions: Collection[TP], *, timeout_s: float, max_records: int) -> Taken:
    """Take what was fetched of `partitions`, at most `max_records` of each; wait up to `timeout_s` for something."""
    if fetcher._subscriptions.reassignment_in_progress:
        await asyncio.sleep(min(timeout_s, 0.1))
        return {}
    taken = _take_buffered(fetcher, partitions, max_records)
    if taken or not timeout_s:
        return taken
    waiter = fetcher._create_fetch_waiter()
    try:
        await asyncio.wait_for(waiter, timeout_s)
    except TimeoutError:
        return {}
    return _take_buffered(fetcher, partitions, max_records)


def _take_buffered(fetcher: Fetcher, partitions: Collection[TP], max_records: int) -> Taken:
    taken: Taken = {}
    for partition, result in list(fetcher._records.items()):
        tp = TP(*partition)
        if tp not in partitions:
            if not fetcher._subscriptions.is_assigned(partition):
                del fetcher._records[partition]
            continue
        if type(result) is FetchResult:
            stretch = _take(result, max_records)
            if not result.has_more():
                _make_room(fetcher, partition)
            if stretch is not None:
                taken[tp] = stretch
        elif not taken:
            _make_room(fetcher, partition)
            try:
                result.check_raise()
            except OffsetOutOfRangeError:
                taken[tp] = OutOfRange()
    return taken


def _take(result: FetchResult, max_records: int) -> Stretch | None:
    if not result.has_more() or not result.check_assignment(result._topic_partition):
        return None
    source = result._partition_records
    # aiokafka wraps each record into a second object here; the first has all that is needed.
    source._consumer_record = _as_it_is
    start: int = source.next_fetch_offset
    records: list[Any] = result.getall(max_records)
    end: int = source.next_fetch_offset
    return Stretch(start, end, records) if end > start else None


def _as_it_is(_tp: object, record: Any) -> Any:
    return record


def _make_room(fetcher: Fetcher, partition: object) -> None:
    del fetcher._records[partition]
    fetcher._notify(fetcher._wait_consume_future)
