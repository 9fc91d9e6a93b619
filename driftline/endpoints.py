"""How a worker is watched over HTTP: `/health`, `/ready` and `/metrics`.

`/health` says whether the process works at all: who gets no answer, or 503, starts it anew. `/ready` says whether it
has what it needs, and if not, what it waits for. `/metrics` is for Prometheus.
"""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from schemas.errors import DriftlineError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["Endpoints", "EndpointsError", "Watched"]

STUCK_AFTER_S = 60.0


class EndpointsError(DriftlineError):
    """The address for the endpoints cannot be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is asked of a worker; all of it from other threads than its own."""

    waiting: Callable[[], Sequence[str]] | None = None
    """What it waits for before it is ready, in words; None for a worker that cannot say."""
    silent_s: Callable[[], float] = lambda: 0.0
    """For how long it has shown no life."""
    registries: Sequence["CollectorRegistry"] = ()
    """Figures of its own, beside those of the process."""


class Endpoints:
    """Answers from now on, until the process ends or `close`."""

    def __init__(self, host: str, port: int, watched: Watched) -> None:
        class Handler(_Handler):
            pass

        Handler.watched = watched
        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise EndpointsError(
                f"the endpoints cannot listen on {host}:{port}: {error.strerror or error}", hint="choose --metrics-port"
            ) from None
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="endpoints", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    watched: Watched
    # Whoever opens a connection and says nothing holds a thread for no longer.
    timeout = 10.0

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/health":
                silent_s = self.watched.silent_s()
                self._answer_json(silent_s < STUCK_AFTER_S, silent_s=round(silent_s, 1))
            case "/ready":
                self._answer_ready()
            case "/metrics":
                self._answer(200, "text/plain; version=0.0.4; charset=utf-8", self._figures())
            case _:
                self._answer(404, "text/plain", b"there are /health, /ready and /metrics\n")

    def _answer_ready(self) -> None:
        if self.watched.waiting is None:
            self._answer(501, "text/plain", b"this worker does not say when it is ready; ask /health\n")
        else:
            waiting = list(self.watched.waiting())
            self._answer_json(not waiting, waiting=waiting)

    def _figures(self) -> bytes:
        from prometheus_client import REGISTRY, generate_latest

        registries = {id(one): one for one in (REGISTRY, *self.watched.registries)}
        return b"".join(generate_latest(one) for one in registries.values())

    def _answer_json(self, well: bool, **said: object) -> None:
        body = json.dumps({"status": "ok" if well else "unavailable", **said}).encode() + b"\n"
        self._answer(200 if well else 503, "application/json", body)

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing of each question."""
