"""The clients: one that waits, one for asyncio; both try again while a server behind the console is away."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import httpx2

from driftline.client.calls import Call, Page
from schemas.errors import DriftlineError

__all__ = ["AsyncClient", "Client", "ConsoleError", "News"]

T = TypeVar("T")

_AWAY = (429, 502, 503, 504)


class ConsoleError(DriftlineError):
    """The console refused; `kind` tells why in a word, such as `no-device` or `refused`."""

    def __init__(self, status: int, kind: str, detail: str, *, hint: str = "") -> None:
        super().__init__(detail, hint=hint)
        self.status, self.kind = status, kind


@dataclass(frozen=True, slots=True)
class News:
    """One live update. `reset`: something was missed, so read anew what you hold."""

    kind: str
    key: str
    # None: it was forgotten.
    value: dict[str, Any] | None
    event_id: str


class Client:
    """Asks the console and waits for the answer.

    >>> with Client("http://127.0.0.1:8000", key="dl_…") as console:  # doctest: +SKIP
    ...     for row in console.every(calls.devices(verdict="drift")):
    ...         print(row["device_id"], row["worst_psi"])
    ...     console.do(calls.pause("bearings-14", why="seen on the floor"))
    """

    def __init__(self, url: str, *, key: str, timeout_s: float = 30.0, tries: int = 4) -> None:
        self._http = httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=timeout_s)
        self._tries = tries

    def do(self, call: Call[T]) -> T:
        """Carry out a call; `ConsoleError` when the console will not."""
        for left in reversed(range(self._tries)):
            try:
                answer = self._http.request(**_as_request(call))
            except httpx2.TransportError as error:
                if not left:
                    raise _unreachable(error) from error
                time.sleep(_pause_s(None, left, self._tries))
                continue
            if not left or answer.status_code not in _AWAY:
                told: T = _told(answer)
                return told
            time.sleep(_pause_s(answer, left, self._tries))
        raise AssertionError("the last try answers or raises")

    def every(self, call: Call[Page[T]]) -> Iterator[T]:
        """Give the items of a list, page after page."""
        while True:
            page = self.do(call)
            yield from page["items"]
            if page["next"] is None:
                return
            call = replace(call, params={**call.params, "cursor": page["next"]})

    def watch(self, call: Call[T], *, every_s: float = 1.0, patience_s: float = 10.0) -> Iterator[T]:
        """Give the answer, and again each time that it is another; what is not there yet is waited for a while."""
        watched: _Watched[T] = _Watched(patience_s)
        while True:
            try:
                answer = self.do(call)
            except ConsoleError as missing:
                watched.require_patience(missing)
            else:
                if watched.is_news(answer):
                    yield answer
            time.sleep(every_s)

    def follow(self, kinds: Sequence[str] = (), *, device: str = "") -> Iterator[News]:
        """Give live updates until the caller stops; a broken connection is opened again where it broke."""
        last = ""
        while True:
            try:
                with self._http.stream("GET", "/events", **_as_stream(kinds, device, last)) as answer:
                    if answer.status_code != 200:
                        answer.read()
                        _told(answer)
                    reader = _Reader()
                    for line in answer.iter_lines():
                        if news := reader.take(line):
                            last = news.event_id
                            yield news
            except httpx2.TransportError:
                time.sleep(1.0)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """`Client` for asyncio."""

    def __init__(self, url: str, *, key: str, timeout_s: float = 30.0, tries: int = 4) -> None:
        self._http = httpx2.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=timeout_s)
        self._tries = tries

    async def do(self, call: Call[T]) -> T:
        """Carry out a call; `ConsoleError` when the console will not."""
        for left in reversed(range(self._tries)):
            try:
                answer = await self._http.request(**_as_request(call))
            except httpx2.TransportError as error:
                if not left:
                    raise _unreachable(error) from error
                await asyncio.sleep(_pause_s(None, left, self._tries))
                continue
            if not left or answer.status_code not in _AWAY:
                told: T = _told(answer)
                return told
            await asyncio.sleep(_pause_s(answer, left, self._tries))
        raise AssertionError("the last try answers or raises")

    async def every(self, call: Call[Page[T]]) -> AsyncIterator[T]:
        """Give the items of a list, page after page."""
        while True:
            page = await self.do(call)
            for item in page["items"]:
                yield item
            if page["next"] is None:
                return
            call = replace(call, params={**call.params, "cursor": page["next"]})

    async def watch(self, call: Call[T], *, every_s: float = 1.0, patience_s: float = 10.0) -> AsyncIterator[T]:
        """Give the answer, and again each time that it is another; what is not there yet is waited for a while."""
        watched: _Watched[T] = _Watched(patience_s)
        while True:
            try:
                answer = await self.do(call)
            except ConsoleError as missing:
                watched.require_patience(missing)
            else:
                if watched.is_news(answer):
                    yield answer
            await asyncio.sleep(every_s)

    async def follow(self, kinds: Sequence[str] = (), *, device: str = "") -> AsyncIterator[News]:
        """Give live updates until the caller stops; a broken connection is opened again where it broke."""
        last = ""
        while True:
            try:
                async with self._http.stream("GET", "/events", **_as_stream(kinds, device, last)) as answer:
                    if answer.status_code != 200:
                        await answer.aread()
                        _told(answer)
                    reader = _Reader()
                    async for line in answer.aiter_lines():
                        if news := reader.take(line):
                            last = news.event_id
                            yield news
            except httpx2.TransportError:
                await asyncio.sleep(1.0)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class _Watched(Generic[T]):
    """What was seen last; what was asked for a moment ago may not be shown yet."""

    def __init__(self, patience_s: float) -> None:
        self._until_s = time.monotonic() + patience_s
        self._last: T | None = None

    def is_news(self, answer: T) -> bool:
        known, self._last = self._last, answer
        return answer != known

    def require_patience(self, missing: ConsoleError) -> None:
        if missing.status != 404 or self._last is not None or time.monotonic() > self._until_s:
            raise missing


class _Reader:
    """Puts the lines of a stream of events together."""

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}

    def take(self, line: str) -> News | None:
        if line:
            name, _, value = line.partition(": ")
            self._fields[name] = value
            return None
        fields, self._fields = self._fields, {}
        if "event" not in fields:
            return None
        data = json.loads(fields.get("data", "{}"))
        return News(fields["event"], data.get("key", ""), data.get("value"), fields.get("id", ""))


def _as_request(call: Call[Any]) -> dict[str, Any]:
    headers = {} if call.method == "GET" else {"Idempotency-Key": call.key}
    if call.if_match:
        headers["If-Match"] = call.if_match
    return {
        "method": call.method, "url": call.path, "params": dict(call.params), "headers": headers,
        **({} if call.body is None else {"json": dict(call.body)}),
    }  # fmt: skip


def _as_stream(kinds: Sequence[str], device: str, last: str) -> dict[str, Any]:
    params = {"kinds": ",".join(kinds), "device": device}
    return {
        "params": {name: value for name, value in params.items() if value},
        "headers": {"Last-Event-ID": last} if last else {},
        # The console says something every 15 s.
        "timeout": httpx2.Timeout(30.0, read=60.0),
    }


def _pause_s(answer: httpx2.Response | None, left: int, tries: int) -> float:
    wanted = "" if answer is None else answer.headers.get("retry-after", "")
    return min(float(wanted) if wanted.isdigit() else 0.25 * 2 ** (tries - 1 - left), 10.0)


def _told(answer: httpx2.Response) -> Any:
    if answer.status_code == 204:
        return None
    try:
        body = answer.json()
    except ValueError:
        body = {}
    if answer.status_code < 400:
        return body
    kind = str(body.get("type", "")).rpartition(":")[2]
    detail = body.get("detail") or f"the console answered {answer.status_code}"
    raise ConsoleError(answer.status_code, kind, detail, hint=body.get("hint", ""))


def _unreachable(error: httpx2.TransportError) -> ConsoleError:
    return ConsoleError(0, "unreachable", f"the console cannot be reached: {error}", hint="is `driftline console` up?")
