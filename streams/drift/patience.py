"""Waiting for what a run lacks: for the registry as long as it takes, for anything else once and not for ever."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from schemas.errors import RegistryAwayError
from streams.kafka import Run

__all__ = ["Patience"]

log = logging.getLogger(__name__)

_ASK_AGAIN_S = 0.1


class _Opened(Protocol):
    @property
    def waiting(self) -> set[str]:
        """Why records cannot be judged yet."""


T = TypeVar("T", bound=_Opened)


class Patience:
    """How long runs wait; what was given up once is not waited for again."""

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._given_up: set[str] = set()

    async def opened(self, run: Run, open_run: Callable[[Run], T]) -> T:
        """Return a run as `open_run` opens it, again and again until it lacks nothing or time is up."""
        give_up_s = time.monotonic() + self._wait_s
        while True:
            try:
                opened = await asyncio.to_thread(open_run, run)
            except RegistryAwayError as away:
                log.warning("registry away: partition=%d why=%s", run.partition, away)
            else:
                news = opened.waiting - self._given_up
                if not news:
                    return opened
                if time.monotonic() >= give_up_s:
                    for why in sorted(news):
                        log.warning("given up waiting: partition=%d why=%s", run.partition, why)
                    self._given_up |= news
                    return opened
            await asyncio.sleep(_ASK_AGAIN_S)
