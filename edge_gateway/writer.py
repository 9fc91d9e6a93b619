"""Writing beside the loop: windows reach the disk a moment after they closed, and no decision waits for that."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future

from edge_gateway.spool import Spool, Write

__all__ = ["Writer"]


class Writer:
    """Hands writes to the spool in order; without an executor each is on disk on return.

    What a power cut takes away while it waits here is what it takes from an open window: readings since the last
    checkpoint. Numbers are given on disk, so a window that was lost so leaves no gap.
    """

    def __init__(self, spool: Spool, executor: Executor | None) -> None:
        self._spool = spool
        self._executor = executor
        self._waiting = False
        self._under_way: deque[Future[bool]] = deque()

    def soon(self, build: Callable[[Write], None], now_ms: int) -> None:
        """Have it written by the next `go_on`, or before whatever is written at once."""
        if self._executor is None:
            self._spool.write(build, now_ms=now_ms)
            return
        self._spool.hold(build)
        self._waiting = True

    def go_on(self, now_ms: int) -> None:
        """Let what waits be written; raises what an earlier write ran into.

        To be called between decisions: the writing thread takes the interpreter's lock from whoever is deciding.
        """
        while self._under_way and self._under_way[0].done():
            self._under_way.popleft().result()
        if self._waiting and self._executor is not None:
            self._waiting = False
            self._under_way.append(self._executor.submit(self._spool.write_held, now_ms=now_ms))

    def finish(self, now_ms: int) -> None:
        """Write all that waits, here and now."""
        self._spool.write_held(now_ms=now_ms)
        while self._under_way:
            self._under_way.popleft().result()
