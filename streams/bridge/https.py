"""The bridge's HTTPS door: mutual TLS, one route up and one down.

POST /v1/records                 a parcel; answers its receipt; 408 when it does not arrive within the time it may take
GET  /v1/command?wait_s=50       the device's command, with an ETag; with If-None-Match, as soon as it is another one:
                                 304 when it stayed the same, 204 when there is none

Who asks is what the client's certificate says. Refusals are JSON with a reason.
"""

import asyncio
import json
import math
import ssl
from asyncio import sslproto
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from schemas.parcel import MAX_PARCEL_BYTES, pack
from streams.bridge.desk import Desk
from streams.bridge.errors import BadParcelError, BridgeError, BusyError, IdentityError
from streams.bridge.identity import device_of
from streams.bridge.intake import Intake
from streams.bridge.promptness import Promptness
from streams.bridge.roster import Roster

__all__ = ["LONGEST_WAIT_S", "HttpsDoor", "server_context"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# What asyncio keeps for each TLS connection, in the place of 256 KiB: a device sends a few kB at a time.
_BUFFER_BYTES = 16 * 1024
# Below what NATs and proxies on the way forget.
LONGEST_WAIT_S = 55.0
_RETRY_AFTER_S = "5"
# What is still on its way when a parcel was refused is read for so long, so that the refusal is seen.
_LINGER_S = 2.0
_DEVICE = web.RequestKey("device", str)


def server_context(certificate: Path, key: Path, device_ca: Path, revoked: Path | None = None) -> ssl.SSLContext:
    """Return the TLS of a server that talks to nobody without a certificate of the devices' authority."""
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(device_ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(certificate, key)
        if revoked is not None:
            context.load_verify_locations(revoked)
            context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    except (OSError, ssl.SSLError) as error:
        raise BridgeError(
            f"the bridge's certificates cannot be used: {error}",
            hint="wanted: PEM files; the server's certificate and key, and the authority that signs devices'",
        ) from error
    return context


class HttpsDoor:
    """Serves devices until it is closed."""

    def __init__(
        self,
        intake: Intake,
        desk: Desk,
        roster: Roster,
        context: ssl.SSLContext,
        *,
        head_within_s: float,
        body_within_s: float,
    ) -> None:
        self.port = 0
        self._slow_parcels = 0
        self._body_within_s = body_within_s
        self._intake = intake
        self._desk = desk
        self._roster = roster
        self._context = context
        sslproto.SSLProtocol.max_size = _BUFFER_BYTES
        self._runner = web.AppRunner(
            self._application(), access_log=None, shutdown_timeout=2.0, lingering_time=_LINGER_S
        )
        self._promptness = Promptness(self._protocol, head_within_s)
        self._server: asyncio.Server | None = None

    @property
    def too_slow(self) -> int:
        """Heads and parcels that came too slowly, and were cut off."""
        return self._slow_parcels + self._promptness.too_slow

    async def open(self, host: str, port: int) -> None:
        await self._runner.setup()
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._promptness,
                host,
                port,
                ssl=self._context,
                backlog=1024,
                ssl_handshake_timeout=self._promptness.head_within_s,
            )
        except OSError as error:
            await self._runner.cleanup()
            raise BridgeError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def _protocol(self) -> asyncio.Protocol:
        if self._runner.server is None:
            raise RuntimeError("a connection came before the door was open")
        return self._runner.server()

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=MAX_PARCEL_BYTES, middlewares=[self._who])
        application.add_routes([web.post("/v1/records", self._records), web.get("/v1/command", self._command)])
        return application

    @web.middleware
    async def _who(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Find out who asks, before anything else is looked at."""
        transport = request.transport
        self._promptness.arrived(transport)
        try:
            device_id = device_of(transport.get_extra_info("peercert") if transport else None)
            self._roster.check(device_id)
            request[_DEVICE] = device_id
            return await handler(request)
        except IdentityError as error:
            return _refusal(403, str(error))
        except BadParcelError as error:
            return _refusal(400, str(error))
        except BusyError as error:
            return _refusal(503, str(error))
        except web.HTTPException as error:
            return _refusal(error.status, error.text or error.reason)
        finally:
            self._promptness.ended(transport)

    async def _records(self, request: web.Request) -> web.StreamResponse:
        try:
            packed = await asyncio.wait_for(request.read(), self._body_within_s)
        except TimeoutError:
            self._slow_parcels += 1
            slow = _refusal(408, f"the parcel was not here within {self._body_within_s:g} s")
            # What still trickles in is nobody's; the connection goes with it.
            slow.force_close()
            return slow
        receipt = await self._intake.take(request[_DEVICE], packed)
        return web.Response(body=pack(receipt), content_type="application/octet-stream")

    async def _command(self, request: web.Request) -> web.StreamResponse:
        if not self._desk.current:
            return _refusal(503, "the bridge has not read the commands yet")
        known = request.headers.get("If-None-Match", "").strip('"')
        held = await self._desk.after(request[_DEVICE], known, _wait_s(request))
        if held is None:
            return web.Response(status=304 if known else 204)
        return web.Response(body=held.content, content_type="application/json", headers={"ETag": f'"{held.etag}"'})


def _wait_s(request: web.Request) -> float:
    text = request.query.get("wait_s", "0")
    try:
        wait_s = float(text)
    except ValueError:
        wait_s = math.nan
    if not wait_s >= 0:
        raise web.HTTPBadRequest(text=f"wait_s is {text!r}; wanted: a number of seconds, 0 or more")
    return min(wait_s, LONGEST_WAIT_S)


def _refusal(status: int, why: str | None) -> web.Response:
    headers = {"Retry-After": _RETRY_AFTER_S} if status == 503 else {}
    body = json.dumps({"error": why}).encode()
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
