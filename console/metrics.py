"""What the console tells Prometheus of itself."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Metrics"]

_KNOWN_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class Metrics:
    """One registry a console, so that several can live in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "driftline_console_requests_total", "Answers.", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "driftline_console_request_seconds",
            "How long answers took; streams, how long they were open.",
            ["route"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self._registry,
        )
        self.listeners = Gauge(
            "driftline_console_event_streams", "Streams of live updates that are open.", registry=self._registry
        )
        self.devices = Gauge("driftline_console_devices", "Devices in the views.", registry=self._registry)
        self.redis_up = Gauge("driftline_console_redis_up", "1: Redis answers.", registry=self._registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        method = method if method in _KNOWN_METHODS else "(other)"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)
