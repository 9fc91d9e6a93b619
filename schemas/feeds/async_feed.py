"""A feed for asyncio: the same events, read by a thread of its own while the loop goes on."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

from schemas.feeds.events import Event
from schemas.feeds.feed import Feed
from schemas.feeds.interpreter import Counts
from schemas.feeds.position import Position

__all__ = ["AsyncFeed"]

T = TypeVar("T")
R = TypeVar("R")

# How long a cancelled reader may still be at work behind the scenes.
_POLL_S = 0.2


class AsyncFeed(Generic[T]):
    """`async with` opens and closes it, `async for` reads it; cancelled anywhere, it leaves nothing running.

    A cancelled read, as by `asyncio.timeout`, loses nothing: what it would have given comes next.
    """

    def __init__(self, make: Callable[[], Feed[T]]) -> None:
        self._make = make
        self._feed: Feed[T] | None = None
        self._stopped = False
        # One thread: the consumer behind it is not for several.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="feed")

    async def __aenter__(self) -> Self:
        try:
            await self._in_thread(self._open)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event[T]:
        while not self._stopped:
            event = self._opened.next_event()
            if event is not None:
                return event
            await self._in_thread(lambda: self._opened.fill(_POLL_S))
        raise StopAsyncIteration

    def position(self) -> Position:
        return self._opened.position()

    @property
    def counts(self) -> Counts:
        return self._opened.counts

    async def close(self) -> None:
        """Stop reading and wait, for a moment, until the thread has ended; even if that wait is cancelled, it ends."""
        self._stopped = True
        if self._feed is not None:
            self._feed.stop()
        closed = asyncio.get_running_loop().run_in_executor(None, self._close)
        await asyncio.shield(closed)

    @property
    def _opened(self) -> Feed[T]:
        if self._feed is None:
            raise RuntimeError("a feed is read within `async with`")
        return self._feed

    def _open(self) -> None:
        feed = self._make()
        self._feed = feed
        if self._stopped:
            feed.stop()
        feed.open()

    def _close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self._feed is not None:
            self._feed.close()

    async def _in_thread(self, work: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
