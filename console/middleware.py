"""What every answer passes: size limits on the way in; entity tags, security headers and counting on the way out."""

import time
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.etags import etag_of
from console.metrics import Metrics
from console.problems import problem_response

__all__ = ["Counting", "EntityTags", "SecurityHeaders", "SizeLimit"]

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
            refusal = problem_response(413, "too-large", f"a body may have {_MOST_BODY_BYTES} bytes")
            await refusal(scope, receive, send)
            return
        taken = 0

        async def measured() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > _MOST_BODY_BYTES:
                # Nobody is to believe a body that was cut off: its sender seems to have gone.
                return {"type": "http.disconnect"}
            return message

        await self._app(scope, measured, send)


class EntityTags:
    """Gives JSON answers to GET a tag, and answers 304 to who has it already."""

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


def _tagged(start: Message) -> bool:
    kind = Headers(raw=start["headers"]).get("content-type", "")
    return start["status"] == 200 and kind.startswith("application/json")


async def _send_tagged(held: list[Message], known: str, send: Send) -> None:
    start, body = held[0], b"".join(message.get("body", b"") for message in held[1:])
    tag = etag_of(body)
    headers = MutableHeaders(raw=start["headers"])
    headers["ETag"] = tag
    if tag in {one.strip().removeprefix("W/") for one in known.split(",")} or known == "*":
        del headers["content-length"], headers["content-type"]
        await send({"type": "http.response.start", "status": 304, "headers": headers.raw})
        await send({"type": "http.response.body", "body": b""})
        return
    await send({**start, "headers": headers.raw})
    await send({"type": "http.response.body", "body": body})
