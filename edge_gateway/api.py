"""The local HTTP API, for applications beside the gateway: predictions, pushed readings, health and metrics.

It listens on loopback unless told otherwise, in a thread with an event loop of its own; what it shares with the
gateway is the loaded model, which is safe to run from several threads, and counters.
"""

import asyncio
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from edge_gateway.agent import Gateway
from edge_gateway.api_docs import DOCS_PAGE, OPENAPI
from edge_gateway.errors import GatewayError, InferenceError
from edge_gateway.scorer import Loaded
from sensing.errors import ReadingError
from sensing.sources.inbox import InboxSource
from sensing.sources.parsing import parse_reading

__all__ = ["MAX_BATCH", "Api"]

MAX_BATCH = 4096
_MAX_BODY = 4 * 1024**2
_BODY_WITHIN_S = 10.0
# Of applications on the same box; whoever comes when all are taken has that of the one that came first.
_MAX_CONNECTIONS = 64
_END_WITHIN_S = 1.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BadRequestError(GatewayError):
    """A request that does not say what it should."""


class Api:
    """One server of one gateway; `port` 0 takes a free one."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        now_ms: Callable[[], int],
        inbox: InboxSource | None = None,
        host: str = "127.0.0.1",
        port: int = 8090,
    ) -> None:
        self.host = host
        self.port = port
        self._gateway = gateway
        self._now_ms = now_ms
        self._inbox = inbox
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="api", daemon=True)
        self._runner = web.AppRunner(
            self._application(), access_log=None, handle_signals=False, shutdown_timeout=_END_WITHIN_S
        )
        self._server: asyncio.Server | None = None

    def start(self) -> None:
        """Listen; raises `GatewayError` where that cannot be."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        except OSError as error:
            self.stop()
            raise GatewayError(
                f"cannot listen on {self.host}:{self.port}: {error.strerror or error}",
                hint="choose another port: gateway.api.port",
            ) from error

    def stop(self) -> None:
        if not self._thread.is_alive():
            return
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    async def _listen(self) -> None:
        await self._runner.setup()
        self._server = await self._loop.create_server(self._admitted, self.host, self.port, backlog=_MAX_CONNECTIONS)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def _admitted(self) -> asyncio.Protocol:
        """Make room for whoever comes: connections that are left open must not take the gateway's files away."""
        server = cast(web.Server, self._runner.server)
        for longest in server.connections[: max(len(server.connections) - _MAX_CONNECTIONS + 1, 0)]:
            if longest.transport is not None:
                longest.transport.abort()
        return server()

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=_MAX_BODY, middlewares=[_in_words])
        application.add_routes(
            [
                web.post("/predict", self._predict),
                web.post("/readings", self._push),
                web.get("/health", self._health),
                web.get("/metrics", self._metrics),
                web.get("/docs", _docs),
                web.get("/openapi.json", _openapi),
            ]
        )
        return application

    async def _predict(self, request: web.Request) -> web.StreamResponse:
        loaded = self._gateway.serving
        if loaded is None or loaded.model is None:
            raise web.HTTPServiceUnavailable(text="no model serves; the gateway waits for one, or its rules decide")
        body = await _json(request)
        matrix, single = _matrix(body, loaded)
        try:
            decisions = loaded.model.decide(matrix)
        except InferenceError as error:
            raise web.HTTPInternalServerError(text=str(error)) from error
        rows = [
            {"score": score, "anomaly": anomaly, "confidence": confidence}
            if finite
            else {"score": None, "anomaly": None, "confidence": None}
            for score, anomaly, confidence, finite in zip(
                decisions.score.tolist(),
                decisions.anomaly.tolist(),
                decisions.confidence.tolist(),
                (~decisions.failed).tolist(),
                strict=True,
            )
        ]
        answer: dict[str, Any] = {"model_id": loaded.model_id}
        return web.json_response(answer | (rows[0] if single else {"predictions": rows}))

    async def _push(self, request: web.Request) -> web.StreamResponse:
        if self._inbox is None:
            raise web.HTTPNotFound(
                text="this gateway takes its readings from elsewhere; gateway.source.kind is not http"
            )
        body = await _json(request)
        readings = body if isinstance(body, list) else [body]
        taken, reasons = 0, []
        for place, each in enumerate(readings):
            try:
                if not isinstance(each, Mapping):
                    raise ReadingError(f"a {type(each).__name__}; wanted: an object")
                reading = parse_reading(each, self._inbox.channels, stream="http", now_ms=self._now_ms())
            except ReadingError as error:
                self._inbox.refuse(error)
                reasons.append(f"reading {place}: {error}")
                continue
            if not self._inbox.offer(reading):
                # The sender may try the rest again; what was taken is taken.
                return web.json_response({"taken": taken, "refused": reasons, "full": True}, status=429)
            taken += 1
        return web.json_response({"taken": taken, "refused": reasons[:20]}, status=202 if taken else 400)

    async def _health(self, _request: web.Request) -> web.StreamResponse:
        gateway, installation = self._gateway, self._gateway.slots.installation
        depth = gateway.spool.depth()
        serves = bool(installation.active)
        said = {
            "status": "ok" if serves else "safe mode" if installation.safe_mode else "no model",
            "model_id": installation.model_id,
            "decided": gateway.decided,
            "discarded": gateway.discarded,
            "spool": {"records": depth.records, "bytes": depth.bytes, "dropped": depth.dropped},
        }
        return web.json_response(said, status=200 if serves else 503)

    async def _metrics(self, _request: web.Request) -> web.StreamResponse:
        self._gateway.metrics.spool(self._gateway.spool.depth(), self._now_ms())
        text = self._gateway.metrics.text()
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


@web.middleware
async def _in_words(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal is JSON with a reason."""
    try:
        return await handler(request)
    except BadRequestError as error:
        return web.json_response({"error": str(error)}, status=400)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return web.json_response({"error": error.text or error.reason}, status=error.status)


async def _json(request: web.Request) -> Any:
    try:
        async with asyncio.timeout(_BODY_WITHIN_S):
            body = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text=f"the body was not here within {_BODY_WITHIN_S:g} s") from None
    except (ConnectionResetError, RuntimeError):
        # The latter is aiohttp's word for one that was closed before it was read from.
        raise web.HTTPBadRequest(text="the connection was lost") from None
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"the body is no JSON: {error}") from None


def _matrix(body: Any, loaded: Loaded) -> tuple[NDArray[np.float32], bool]:
    """Return the vectors of a request, and whether it was a single one."""
    names = loaded.manifest.features
    found = body.get("features") if isinstance(body, Mapping) else None
    if isinstance(found, Mapping):
        unknown = [name for name in found if name not in names]
        if unknown:
            raise BadRequestError(f"unknown feature {unknown[0]!r}; known: {', '.join(names)}")
        found = [found.get(name) for name in names]
    if not isinstance(found, list) or not found:
        raise BadRequestError("wanted: {'features': [value, …]}, {'features': {name: value, …}}, or a list of lists")
    single = not isinstance(found[0], list)
    rows = [found] if single else found
    if len(rows) > MAX_BATCH:
        raise BadRequestError(f"{len(rows)} vectors; at most {MAX_BATCH} at once")
    for place, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            size = len(row) if isinstance(row, list) else type(row).__name__
            raise BadRequestError(f"vector {place} has {size} values; {loaded.model_id} wants {len(names)}")
    try:
        # Text that looks like a number is none; null is missing.
        if any(isinstance(value, str | bool) for row in rows for value in row):
            raise TypeError("text or truth values")
        with np.errstate(over="ignore"):
            matrix = np.array(rows, dtype=np.float32)
        if matrix.ndim != 2:
            raise TypeError("lists or objects")
        # As with readings of sensors, what is infinite is missing.
        return np.where(np.isinf(matrix), np.float32(np.nan), matrix), single
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRequestError(f"features are not numbers: {error}") from None


async def _docs(_request: web.Request) -> web.StreamResponse:
    return web.Response(text=DOCS_PAGE, content_type="text/html")


async def _openapi(_request: web.Request) -> web.StreamResponse:
    return web.json_response(OPENAPI)
