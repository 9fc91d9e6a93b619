"""A receiver of webhooks: a real HTTP server that answers as it is told to, and remembers what came."""

import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Received", "Receiver"]


@dataclass(frozen=True)
class Received:
    headers: dict[str, str]
    body: bytes
    at_s: float


@dataclass
class Receiver:
    """Answers with the next of `answers`, (status, headers), and with 204 when there are no more."""

    port: int = 0
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    # Seconds before each answer.
    hangs_s: float = 0.0
    received: list[Received] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def __enter__(self) -> "Receiver":
        self._ending = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, answered = receiver.answers.pop(0) if receiver.answers else (204, {})
                receiver.received.append(Received(headers, body, time.time()))
                receiver._ending.wait(receiver.hangs_s)
                self.send_response(status)
                for name, value in {"content-length": "0", **answered}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        self._server.shutdown()
        self._server.server_close()
