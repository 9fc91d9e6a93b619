"""Waiting for what a run lacks: for the registry as long as it takes, for anything else once and not for ever."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from schemas.errors import RegistryAwayError
from streams.kafka import Run

__all__ = ["ASK_AGAIN_S", "Patience"]

log = logging.getLogger(__name__)

ASK_AGAIN_S = 0.1


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
        since_s = time.monotonic()
        while True:
            opened = await asyncio.to_thread(self.opened_by_now, run, open_run, since_s)
            if opened is not None:
                return opened
            await asyncio.sleep(ASK_AGAIN_S)

    def opened_by_now(self, run: Run, open_run: Callable[[Run], T], since_s: float) -> T | None:
        """Return a run as `open_run` opens it; None while it lacks something that is worth waiting for."""
        try:
            opened = open_run(run)
        except RegistryAwayError as away:
            log.warning("registry away: partition=%d why=%s", run.partition, away)
            return None
        news = opened.waiting - self._given_up
        if news and time.monotonic() < since_s + self._wait_s:
            return None
        for why in sorted(news):
            log.warning("given up waiting: partition=%d why=%s", run.partition, why)
        self._given_up |= news
        return opened
