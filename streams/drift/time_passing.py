"""Noticing that time passes in partitions where nothing arrives to remind of it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from confluent_kafka import KafkaException

from schemas.cluster import Cluster
from streams.drift.replay import newest_offsets

__all__ = ["LOOK_EVERY_S", "ON_ITS_WAY_MS", "due_partitions"]

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
# What the broker has stamped by now may still be on its way to its log.
ON_ITS_WAY_MS = 2000


class _Timed(Protocol):
    def is_due(self, now_ms: int) -> bool: ...


T = TypeVar("T")


async def due_partitions(
    cluster: Cluster,
    topic: str,
    fronts: Mapping[int, int],
    *,
    held: Mapping[int, T],
    take_up: Callable[[int, int], Awaitable[T]],
    state_of: Callable[[T], _Timed],
    now_ms: int,
) -> dict[int, tuple[T, int]]:
    """Return the partitions for which something is to be done by now, each with the end of its log.

    Whoever is judged up to there is judged up to `now_ms`. Without a broker to say where logs end, none is due.
    """
    due: dict[int, T] = {}
    for number, front in fronts.items():
        # Of a partition of which nothing was ever done, nothing is known.
        if front or number in held:
            one = await take_up(number, front)
            if state_of(one).is_due(now_ms):
                due[number] = one
    try:
        ends = await asyncio.to_thread(newest_offsets, cluster, topic, due)
    except KafkaException as why:
        log.warning("not known whether all is judged: topic=%s why=%s", topic, why)
        return {}
    return {number: (one, ends[number]) for number, one in due.items()}
