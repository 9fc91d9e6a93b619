"""What every answer passes: names and size limits on the way in; entity tags, security headers and counts out."""

import re
import time
from collections.abc import Mapping, Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.etags import etag_of
from console.metrics import Metrics
from console.problems import problem_response

__all__ = ["Counting", "EntityTags", "Heads", "KnownHosts", "SecurityHeaders", "SizeLimit"]

_MOST_BODY_BYTES = 1024 * 1024

_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# Swagger's page styles its elements one by one.
_POLICIES: Mapping[str, str] = {"/docs": _POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class SecurityHeaders:
    """Tells browsers to run nothing that is not ours, and to show us in no frame."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def out(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = _POLICIES.get(scope["path"], _POLICY)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self._app(scope, receive, out)


class SizeLimit:
    """Refuses bodies that nothing of ours needs, before they are read whole."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdigit() or int(declared) > _MOST_BODY_BYTES:
            await _too_large()(scope, receive, send)
            return
        taken = 0
        refused = False

        async def measured() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > _MOST_BODY_BYTES:
                # Nobody is to believe a body that was cut off: its sender seems to have gone.
                return {"type": "http.disconnect"}
            return message

        async def out(message: Message) -> None:
            nonlocal refused
            if taken <= _MOST_BODY_BYTES:
                await send(message)
            elif not refused:
                # Whatever was made of the part that was read: its size is what is wrong with it.
                refused = True
                await _too_large()(scope, receive, send)

        await self._app(scope, measured, out)


class KnownHosts:
    """Refuses to be asked under names that are not ours, so that no foreign name can be pointed at us."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._knows(Headers(scope=scope).get("host", "")):
            await self._app(scope, receive, send)
            return
        hint = "`hosts` in the [console] table names those that it answers to"
        await problem_response(400, "unknown-host", "the console is not known by this name", hint=hint)(
            scope, receive, send
        )

    def _knows(self, host: str) -> bool:
        name = re.sub(r":\d*$", "", host).lower()
        parents = (f"*{name[at:]}" for at, letter in enumerate(name) if letter == ".")
        return "*" in self._hosts or name in self._hosts or not self._hosts.isdisjoint(parents)


class Heads:
    """Lets HEAD be asked wherever GET is; the server leaves the body out. Streams, which never end, are not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or scope["path"] == "/events":
            await self._app(scope, receive, send)
            return
        inner = {**scope, "method": "GET"}
        try:
            await self._app(inner, receive, send)
        finally:
            # Who counts wants to know where it went.
            scope["route"] = inner.get("route")


class EntityTags:
    """Gives JSON answers to GET a tag where they bring none, and answers 304 to who has it already."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        held: list[Message] = []

        async def out(message: Message) -> None:
            if message["type"] == "http.response.start" and _tagged(message):
                held.append(message)
            elif not held:
                await send(message)
            else:
                held.append(message)
                if not message.get("more_body", False):
                    await _send_tagged(held, Headers(scope=scope).get("if-none-match", ""), send)

        await self._app(scope, receive, out)


class Counting:
    """Counts answers and measures how long they took, by route and not by address."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun_s, status = time.perf_counter(), 500

        async def out(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, out)
        finally:
            route = getattr(scope.get("route"), "path", "(none)")
            self._metrics.answered(scope["method"], route, status, time.perf_counter() - begun_s)


def _too_large() -> Response:
    return problem_response(413, "too-large", f"a body may have {_MOST_BODY_BYTES} bytes")


def _tagged(start: Message) -> bool:
    kind = Headers(raw=start["headers"]).get("content-type", "")
    return start["status"] == 200 and kind.startswith("application/json")


async def _send_tagged(held: list[Message], known: str, send: Send) -> None:
    start, body = held[0], b"".join(message.get("body", b"") for message in held[1:])
    headers = MutableHeaders(raw=start["headers"])
    tag = headers.setdefault("ETag", etag_of(body))
    if tag in {one.strip().removeprefix("W/") for one in known.split(",")} or known == "*":
        del headers["content-length"], headers["content-type"]
        await send({"type": "http.response.start", "status": 304, "headers": headers.raw})
        await send({"type": "http.response.body", "body": b""})
        return
    await send({**start, "headers": headers.raw})
    await send({"type": "http.response.body", "body": body})
