"""The partitions that a drift worker has, each brought to where it is needed."""

import asyncio
import logging
import time
from collections.abc import Callable

from streams.drift.metrics import Metrics
from streams.drift.restoring import Held, Restorer

__all__ = ["Holdings"]

log = logging.getLogger(__name__)


class Holdings:
    """State by partition; whoever holds `turn` is the only one to change it."""

    def __init__(self, restorer: Callable[[], Restorer], metrics: Metrics) -> None:
        self._restorer, self._metrics = restorer, metrics
        self.held: dict[int, Held] = {}
        # Runs and requests take turns: both change the alerts.
        self.turn = asyncio.Lock()

    async def take_up(self, number: int, offset: int) -> Held:
        """Wait for a turn, and return the state of a partition at an offset, or further on."""
        async with self.turn:
            return await asyncio.to_thread(self.taken_up, number, offset)

    def taken_up(self, number: int, offset: int) -> Held:
        """Return the state of a partition at an offset, or further on; for whoever has the turn, and takes its time."""
        held = self.held.get(number)
        if held is None or held.next_offset < offset:
            held = self.held[number] = self._restored(number, offset)
        return held

    def _restored(self, number: int, offset: int) -> Held:
        started_s, restorer = time.monotonic(), self._restorer()
        held = restorer.restored(number, offset)
        seconds = time.monotonic() - started_s
        self._metrics.restored(seconds)
        log.info(
            "partition taken up: partition=%d offset=%d folded=%d seconds=%.1f",
            number, offset, restorer.folded, seconds,
        )  # fmt: skip
        return held
