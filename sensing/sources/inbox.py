"""A source that others push into, from whichever thread; bounded, and full rather than endless."""

import queue
import time
from collections.abc import Sequence

from sensing.sources.base import Readings
from sensing.sources.parsing import Parsed, Refusals, gather

__all__ = ["InboxSource"]


class InboxSource:
    """Readings that are pushed, such as over HTTP; what finds no room is refused, so the sender knows."""

    def __init__(self, channels: Sequence[str], *, capacity: int = 20_000) -> None:
        self.channels = tuple(channels)
        self.done = False
        self._queue: queue.Queue[Parsed] = queue.Queue(capacity)
        self._refusals = Refusals("push")

    @property
    def refused(self) -> int:
        return self._refusals.count

    def refuse(self, reason: object) -> None:
        """Count a reading that could not even be parsed."""
        self._refusals.add(reason)

    def offer(self, reading: Parsed) -> bool:
        """Take a reading; False: there is no room, and it is counted as refused."""
        if not self.has_taken(reading):
            self._refusals.add("the inbox is full")
            return False
        return True

    def has_taken(self, reading: Parsed) -> bool:
        """Take a reading, if there is room; whoever gave it may keep it for later."""
        try:
            self._queue.put_nowait(reading)
        except queue.Full:
            return False
        return True

    def poll(self, timeout_s: float) -> list[Readings]:
        taken: list[Parsed] = []
        deadline_s = time.monotonic() + timeout_s
        try:
            taken.append(self._queue.get(timeout=max(deadline_s - time.monotonic(), 0.0) or 1e-6))
            while len(taken) < 1024:
                taken.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return gather(taken)

    def close(self) -> None:
        self.done = True
