"""A bridge over HTTPS: parcels are posted, and the device's command is asked for by a question that is held open."""

import http.client
import json
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from random import Random
from typing import NamedTuple
from urllib.parse import urlsplit

from edge_gateway.commands import Received, received_of
from edge_gateway.errors import BridgeAwayError
from edge_gateway.uplink_config import UplinkConfig
from schemas.errors import DriftlineError
from schemas.parcel import Parcel, Receipt, pack, unpack

__all__ = ["Asker", "HttpsCarrier", "ask_at_once", "tls_context"]

_log = logging.getLogger(__name__)

_POSITION = "etag "
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
# For each step of connecting, which cannot be broken off: whoever is told to stop waits for it.
_CONNECT_S = 4.0
# On top of how long the bridge holds a question open.
_GRACE_S = 15.0
_LARGEST_ANSWER = 4 * 1024**2


class HttpsCarrier:
    """Posts parcels over one connection, which is kept."""

    def __init__(self, settings: UplinkConfig) -> None:
        self._line = _Line(settings, timeout_s=settings.timeout_s)

    def carry(self, parcel: Parcel) -> Receipt:
        answer = self._line.ask("POST", "/v1/records", body=pack(parcel))
        receipt = unpack(Receipt, answer.body)
        if answer.status != http.HTTPStatus.OK or receipt.parcel_id != parcel.parcel_id:
            raise BridgeAwayError(f"the bridge answered {answer.status} with another parcel's receipt")
        return receipt

    def close(self) -> None:
        self._line.break_off()


class Asker:
    """A thread that brings the device's command as soon as there is another one; it outlives every outage."""

    def __init__(
        self, settings: UplinkConfig, deliver: Callable[[Received], None], *, resume: str | None, rng: Random
    ) -> None:
        self._line = _Line(settings, timeout_s=settings.wait_s + _GRACE_S)
        self._path = f"/v1/command?wait_s={settings.wait_s:g}"
        self._deliver = deliver
        self._rng = rng
        self._etag = resume.removeprefix(_POSITION) if resume and resume.startswith(_POSITION) else ""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="commands", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        self._stopped.set()
        self._line.break_off()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = 0.0
        while not self._stopped.wait(pause_s * self._rng.uniform(0.5, 1.0)):
            try:
                self._ask()
                pause_s = 0.0
            except DriftlineError as error:
                if not self._stopped.is_set():
                    _log.warning("commands cannot be asked for: %s", error)
                pause_s = min(max(pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)

    def _ask(self) -> None:
        answer = self._line.ask("GET", self._path, headers={"If-None-Match": f'"{self._etag}"'} if self._etag else {})
        if answer.status != http.HTTPStatus.OK:
            return
        # An unreadable command is not asked for again; the one that corrects it has another tag.
        self._etag = answer.etag
        self._deliver(received_of(answer.body, _POSITION + answer.etag))


def ask_at_once(settings: UplinkConfig, timeout_s: float) -> bool:
    """Return whether there is a command for this device; `BridgeAwayError` says what keeps it from being asked."""
    line = _Line(settings, timeout_s=timeout_s)
    try:
        return line.ask("GET", "/v1/command").status == http.HTTPStatus.OK
    finally:
        line.close()


class _Answer(NamedTuple):
    status: int
    body: bytes
    etag: str


class _Line:
    """One kept connection. A question that finds it dead is asked once more over a new one: repeats are harmless."""

    def __init__(self, settings: UplinkConfig, *, timeout_s: float) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPSConnection | None = None
        self._broken_off = False

    def ask(self, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None) -> _Answer:
        """Return the answer, a success of some kind; `BridgeAwayError` for every other outcome."""
        kept = self._connection is not None
        try:
            return self._asked(method, path, body, headers or {})
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if not kept or isinstance(error, TimeoutError) or self._broken_off:
                raise BridgeAwayError(f"{self._settings.url}: {error}") from error
        try:
            return self._asked(method, path, body, headers or {})
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise BridgeAwayError(f"{self._settings.url}: {error}") from error

    def break_off(self) -> None:
        """Let a question that is under way fail at once; from any thread."""
        self._broken_off = True
        connection = self._connection
        if connection is not None and connection.sock is not None:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                # It is gone already.
                return

    def _asked(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> _Answer:
        if self._broken_off:
            raise BridgeAwayError("the gateway is ending")
        if self._connection is None:
            self._connection = self._connected()
        self._connection.request(method, path, body=body, headers=dict(headers))
        with self._connection.getresponse() as response:
            content = response.read(_LARGEST_ANSWER)
            if response.status >= 400:
                raise BridgeAwayError(f"{self._settings.url} answers {response.status}: {_reason(content)}")
            return _Answer(response.status, content, response.headers.get("ETag", "").strip('"'))

    def _connected(self) -> http.client.HTTPSConnection:
        parts = urlsplit(self._settings.url)
        # Made for each connection: certificates are renewed while the gateway runs.
        context = tls_context(self._settings)
        connection = http.client.HTTPSConnection(
            str(parts.hostname), parts.port or 443, timeout=min(self._timeout_s, _CONNECT_S), context=context
        )
        connection.connect()
        connection.sock.settimeout(self._timeout_s)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def tls_context(settings: UplinkConfig) -> ssl.SSLContext:
    """Return the device's side of TLS: who it trusts, and what it shows of itself."""
    try:
        context = ssl.create_default_context(cafile=None if settings.ca is None else str(settings.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.certificate is not None:
            context.load_cert_chain(settings.certificate, settings.key)
    except (OSError, ssl.SSLError) as error:
        raise BridgeAwayError(
            f"the certificates for {settings.url} cannot be used: {error}",
            hint="gateway.uplink.ca, .certificate and .key name PEM files",
        ) from error
    return context


def _reason(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return content[:200].decode(errors="replace")
