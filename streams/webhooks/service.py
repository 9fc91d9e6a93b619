"""The webhook worker: reads the topics that somebody subscribed to, and delivers each record at least once, in order.

Each subscription is a consumer group of its own, so that a receiver that is away holds up nobody else, and several
workers share the partitions. A partition's records are delivered one after the other; an offset is committed once its
record is delivered, or is given up and lies among the dead letters.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import aiohttp

from schemas.cluster import Cluster
from schemas.wire import Contract
from streams.webhooks.delivery import Delivery
from streams.webhooks.letters import Letters
from streams.webhooks.reading import Reading
from streams.webhooks.subscription import Subscription

__all__ = ["Webhooks"]

log = logging.getLogger(__name__)


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Webhooks:
    """One worker process; any number may run."""

    def __init__(
        self,
        cluster: Cluster,
        subscriptions: Sequence[Subscription],
        *,
        rng: Random,
        cache_dir: Path | None = None,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self._cluster, self._subscriptions = cluster, subscriptions
        self._rng, self._cache_dir, self._now_ms = rng, cache_dir, now_ms
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._readings: dict[str, Reading] = {}

    def run(self) -> None:
        """Deliver until `stop` is called; what cannot be expected ends the worker, loudly."""
        try:
            asyncio.run(self._run())
        except BaseExceptionGroup as several:
            raise _first(several) from several

    def stop(self) -> None:
        """End; may be called from any thread, and from a signal's handler."""
        if self._loop is None:
            self._stopping.set()
            return
        with contextlib.suppress(RuntimeError):
            # The loop may have ended by itself meanwhile.
            self._loop.call_soon_threadsafe(self._stopping.set)

    def waiting(self) -> list[str]:
        """Which subscriptions are not read yet, in words; from any thread."""
        readings = dict(self._readings)
        return [
            f"webhook {one.name}: its group has not said yet which partitions it reads"
            for one in self._subscriptions
            if one.name not in readings or not readings[one.name].settled
        ]

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Each subscription keeps one thread waiting for its broker, and decodes in another.
        self._loop.set_default_executor(ThreadPoolExecutor(2 * len(self._subscriptions) + 4))
        letters = Letters(self._cluster, await self._contract(), now_ms=self._now_ms)
        await asyncio.to_thread(letters.open)
        # The session keeps no cookies: a receiver's answer to one event is no part of the next.
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session, asyncio.TaskGroup() as tasks:
            for subscription in self._subscriptions:
                contract = await self._contract()
                delivery = Delivery(
                    self._cluster, contract, session, letters, subscription, rng=self._rng, now_ms=self._now_ms
                )
                reading = Reading(self._cluster, subscription, delivery.deliver)
                self._readings[subscription.name] = reading
                tasks.create_task(reading.run(self._stopping))
                log.info("delivers: webhook=%s topics=%s", subscription.name, ",".join(subscription.topics))

    async def _contract(self) -> Contract:
        return await asyncio.to_thread(Contract.connect, self._cluster, cache_dir=self._cache_dir)


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return what went wrong first: the others only fell with it."""
    error: BaseException = several
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
