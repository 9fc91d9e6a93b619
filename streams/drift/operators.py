"""Following what operators ask of alerts, and remembering what is silenced.

Silences hold for whole fleets, and for partitions that a worker takes up later; so all that were ever asked for are
read at the start, and those that are over are dropped.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from schemas import feeds
from schemas.cluster import Cluster
from schemas.drift_alert import DriftAlert
from schemas.operators import OperatorRequest
from streams.drift.alerts import AlertBook
from streams.drift.requests import RequestError, heed, is_about_silence
from streams.drift.silences import Silence

__all__ = ["Operators"]

log = logging.getLogger(__name__)

# Acknowledgements that came while no worker ran are heeded up to this age; doing one twice changes nothing.
_HEEDED_FOR_MS = 3_600_000


class Operators:
    """What operators have asked for; `current` is set once all of the past was read."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        # What is silenced, by itself: a book without alerts.
        self._silences = AlertBook()
        self.current = asyncio.Event()

    async def follow(self, take: Callable[[OperatorRequest, bool], Awaitable[None]]) -> None:
        """Hand over each request that matters, and whether it is news, for as long as the worker runs."""
        async with feeds.follow_async(self._cluster, "operators.requests", from_ms=0) as feed:
            async for event in feed:
                if isinstance(event, feeds.CaughtUp):
                    self.current.set()
                elif isinstance(event, feeds.Changed) and self._matters(event.value, event.at_ms):
                    await take(event.value, self.current.is_set())

    @property
    def silences(self) -> Mapping[str, Silence]:
        """All silences, by name; those that are over cover nothing."""
        return self._silences.silences

    def silence_all(self, book: AlertBook) -> None:
        """Have a book that was just taken up know every silence."""
        book.silences = dict(self._silences.silences)

    def heed(self, book: AlertBook, request: OperatorRequest) -> list[DriftAlert]:
        """Do what a request asks of a book; returns the alerts that it changed."""
        return heed(book, request)

    def _matters(self, request: OperatorRequest, at_ms: int) -> bool:
        if not is_about_silence(request):
            return at_ms >= time.time_ns() // 1_000_000 - _HEEDED_FOR_MS
        try:
            heed(self._silences, request)
        except RequestError as why:
            log.warning("request left aside: why=%s", why)
            return False
        return True
