"""Who begins a request must end its head in time: a connection that trickles or stays silent is cut off.

A door tells of each request that arrived whole and of its end; between requests a connection may rest.
"""

import asyncio
from collections.abc import Callable
from typing import cast

__all__ = ["Promptness"]


class Promptness:
    """Makes the protocols of a door's connections, each of which watches its own clock."""

    def __init__(self, make: Callable[[], asyncio.Protocol], head_within_s: float) -> None:
        # Connections that were cut off.
        self.too_slow = 0
        self.head_within_s = head_within_s
        self._make = make
        self._lines: dict[asyncio.BaseTransport, _Line] = {}

    def __call__(self) -> asyncio.Protocol:
        return _Line(self, self._make())

    def arrived(self, transport: asyncio.BaseTransport | None) -> None:
        """A request is here, its head at least."""
        if transport is not None and (line := self._lines.get(transport)) is not None:
            line.arrived()

    def ended(self, transport: asyncio.BaseTransport | None) -> None:
        """It was answered; the connection may rest until something comes."""
        if transport is not None and (line := self._lines.get(transport)) is not None:
            line.answering = False

    def opened(self, transport: asyncio.BaseTransport, line: "_Line") -> None:
        self._lines[transport] = line

    def closed(self, transport: asyncio.BaseTransport) -> None:
        self._lines.pop(transport, None)


class _Line(asyncio.Protocol):
    """One connection: hands everything on, and counts the time from its first byte to a whole head."""

    def __init__(self, watch: Promptness, inner: asyncio.Protocol) -> None:
        self.answering = False
        self._watch = watch
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self._alarm: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._watch.opened(transport, self)
        self._wait_for_a_head()
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if not self.answering and self._alarm is None:
            self._wait_for_a_head()
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._be_quiet()
        if self._transport is not None:
            self._watch.closed(self._transport)
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def arrived(self) -> None:
        self.answering = True
        self._be_quiet()

    def _wait_for_a_head(self) -> None:
        self._alarm = asyncio.get_running_loop().call_later(self._watch.head_within_s, self._cut_off)

    def _cut_off(self) -> None:
        self._alarm = None
        self._watch.too_slow += 1
        if self._transport is not None:
            self._transport.abort()

    def _be_quiet(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
