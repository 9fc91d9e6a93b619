"""The desk where devices ask for their command: the topic is read once, and each device is given its own record."""

import asyncio
import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from schemas.feeds import Bad, CaughtUp, Changed, Deleted, Event, Restarted
from schemas.record import as_plain
from schemas.rollouts import Command
from schemas.tracing import Headers, as_plain_context

__all__ = ["Desk", "Held"]

_log = logging.getLogger(__name__)

Told = Callable[[str, "Held | None"], None]


class Held(NamedTuple):
    """A device's command as it is handed out, and what names this very command."""

    content: bytes
    etag: str

    @classmethod
    def of(cls, command: Command, headers: Headers = ()) -> "Held":
        trace = as_plain_context(headers)
        told = {**as_plain(command), "trace": trace} if trace else as_plain(command)
        content = json.dumps(told, separators=(",", ":")).encode()
        return cls(content, hashlib.sha256(content).hexdigest()[:32])


class Desk:
    """A table of commands, in memory, that wakes who waits for one. It belongs to one event loop."""

    def __init__(self, tell: Told | None = None) -> None:
        # The whole state is known; before, nobody is told that there is nothing.
        self.current = False
        self._held: dict[str, Held] = {}
        self._coming: dict[str, Held] | None = {}
        self._waiting: defaultdict[str, set[asyncio.Future[bool]]] = defaultdict(set)
        self._tell = tell

    def __len__(self) -> int:
        return len(self._held)

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def apply(self, event: Event[Command]) -> None:
        """Take an event of the topic into account."""
        match event:
            case Changed(key=key, value=value, headers=headers):
                self._put(key, Held.of(value, headers))
            case Deleted(key=key):
                self._put(key, None)
            case Restarted():
                # What was known counts until the new state is whole.
                self._coming = {}
            case CaughtUp() if self._coming is not None:
                before, after = self._held, self._coming
                self._held, self._coming, self.current = after, None, True
                for device_id in before.keys() | after.keys():
                    if before.get(device_id) != after.get(device_id):
                        self._announce(device_id)
            case Bad(key=key, reason=reason):
                _log.error("command unreadable: device=%s reason=%s", key, reason)

    async def after(self, device_id: str, etag: str, wait_s: float) -> Held | None:
        """Return the device's command as soon as it is another than the one named; None: there was none in time."""
        deadline_s = asyncio.get_running_loop().time() + wait_s
        while True:
            held = self._held.get(device_id)
            if held is not None and held.etag != etag:
                return held
            left_s = deadline_s - asyncio.get_running_loop().time()
            if left_s <= 0 or not await self._woken(device_id, left_s):
                return None

    def _put(self, device_id: str, held: Held | None) -> None:
        rows = self._held if self._coming is None else self._coming
        if rows.get(device_id) == held:
            return
        if held is None:
            rows.pop(device_id, None)
        else:
            rows[device_id] = held
        if self._coming is None:
            self._announce(device_id)

    def _announce(self, device_id: str) -> None:
        for waiter in self._waiting.pop(device_id, ()):
            _settle(waiter, True)
        if self._tell is not None:
            self._tell(device_id, self._held.get(device_id))

    async def _woken(self, device_id: str, timeout_s: float) -> bool:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiting[device_id].add(waiter)
        timer = loop.call_later(timeout_s, _settle, waiter, False)
        try:
            return await waiter
        finally:
            timer.cancel()
            self._forget(device_id, waiter)

    def _forget(self, device_id: str, waiter: "asyncio.Future[bool]") -> None:
        waiters = self._waiting.get(device_id)
        if waiters is not None:
            waiters.discard(waiter)
            if not waiters:
                del self._waiting[device_id]


def _settle(waiter: "asyncio.Future[bool]", changed: bool) -> None:
    if not waiter.done():
        waiter.set_result(changed)
