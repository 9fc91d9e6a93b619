"""Who takes spans over OTLP/HTTP and keeps them for a test to look at."""

import gzip
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from patience import eventually

__all__ = ["Receiver", "Told"]


@dataclass(frozen=True)
class Told:
    """A span as it arrived."""

    name: str
    service: str
    trace: str
    span: str
    parent: str
    links: tuple[str, ...]
    about: dict[str, str] = field(hash=False)


class Receiver:
    """Listens on loopback until it is closed; `url` is what OTEL_EXPORTER_OTLP_ENDPOINT wants."""

    def __init__(self):
        self.spans = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                receiver.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, request):
        for resource in request.resource_spans:
            named = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [
                    Told(
                        name=span.name, service=named["service.name"], trace=span.trace_id.hex(),
                        span=span.span_id.hex(), parent=span.parent_span_id.hex(),
                        links=tuple(link.span_id.hex() for link in span.links),
                        about={one.key.removeprefix("driftline."): one.value.string_value for one in span.attributes},
                    )
                    for span in scope.spans
                ]  # fmt: skip

    def named(self, name):
        return [one for one in list(self.spans) if one.name == name]

    def wait_for(self, *names):
        """Return the spans of each name, once there is one of each."""
        eventually(
            lambda: all(map(self.named, names)),
            or_say=lambda: f"wanted {names}, told: {sorted({one.name for one in self.spans})}",
        )
        return [self.named(name) for name in names]

    def close(self):
        self._server.shutdown()
        self._server.server_close()
