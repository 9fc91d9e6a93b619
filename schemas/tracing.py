"""Traces from gateway to alert to command: spans whose context travels in the headers of Kafka records.

Off, and free of cost, until `start_tracing` finds that OpenTelemetry's usual variables ask for it. The headers are
those of the W3C trace context, so that spans of other services join in.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from schemas.errors import DriftlineError

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

__all__ = [
    "Context",
    "Headers",
    "as_plain_context",
    "context_from",
    "context_in",
    "is_tracing",
    "mark",
    "span",
    "start_tracing",
    "stop_tracing",
]

Headers = Sequence[tuple[str, bytes | None]]
Context = tuple[tuple[str, bytes], ...]
Attributes = Mapping[str, str | int]

_ASKED_BY = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_FIELDS = ("traceparent", "tracestate")
# As much as the W3C asks everybody to hand on.
_LONGEST = 512
# What made an alert may be many windows; the newest say enough.
_MOST_LINKS = 32
_OFF: AbstractContextManager[Context] = nullcontext(())
_tracer: "Tracer | None" = None
_shutdowns: list[Callable[[], None]] = []


class TracingError(DriftlineError):
    """Traces are asked for in a way that cannot be had."""


def start_tracing(service: str, environ: Mapping[str, str]) -> bool:
    """Begin to send spans over OTLP/HTTP if the environment says so; returns whether it does.

    An endpoint, or OTEL_TRACES_EXPORTER=otlp, asks for it; OTEL_SDK_DISABLED=true or the exporter `none` forbids it.
    Everything else (endpoint, headers, sampler, batches) is read by OpenTelemetry itself.
    """
    global _tracer
    if not _is_asked_for(environ):
        return False
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as missing:
        raise TracingError(
            f"the environment asks for traces, which need the package {missing.name!r}",
            hint="pip install 'driftline[tracing]', or set OTEL_SDK_DISABLED=true",
        ) from missing
    named = environ.get("OTEL_SERVICE_NAME") or service
    provider = TracerProvider(resource=Resource.create({"service.name": named}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = provider.get_tracer("driftline")
    _shutdowns.append(provider.shutdown)
    return True


def stop_tracing() -> None:
    """Send what is left, and send no more."""
    global _tracer
    _tracer = None
    while _shutdowns:
        _shutdowns.pop()()


def span(
    name: str, about: Attributes | None = None, *, after: Headers = (), links: Iterable[Headers] = ()
) -> AbstractContextManager[Context]:
    """Tell of a piece of work; gives the headers by which what comes of it goes on in the same trace.

    A piece of work without `after` begins a trace of its own. `after` are the headers of the record that led to it,
    `links` those of more that it stands on.

    >>> with span("nobody listens") as headers:
    ...     print(headers)
    ()
    """
    return _OFF if _tracer is None else _told(_tracer, name, about or {}, after, links)


def mark(name: str, about: Attributes | None = None, *, after: Headers = ()) -> None:
    """Tell of a moment; what happens after it goes on elsewhere."""
    with span(name, about, after=after):
        pass


def is_tracing() -> bool:
    return _tracer is not None


def context_in(headers: Headers | None) -> Context:
    """Return what of a record's headers belongs to a trace; nothing while nobody traces."""
    if _tracer is None or not headers:
        return ()
    return tuple((name, value) for name, value in headers if name in _FIELDS and value is not None)


def as_plain_context(headers: Headers | None) -> dict[str, str]:
    """Return what of a record's headers belongs to a trace, for a way that is not Kafka.

    Who only hands it on need not trace.

    >>> as_plain_context([("ce_id", b"7"), ("traceparent", b"00-1-2-01")])
    {'traceparent': '00-1-2-01'}
    """
    return {
        name: value.decode("latin-1")
        for name, value in headers or ()
        if name in _FIELDS and value is not None and len(value) <= _LONGEST
    }


def context_from(plain: object) -> Context:
    """Return the headers that `as_plain_context` was given; what is none of them is left out, whoever sent it."""
    if not isinstance(plain, Mapping):
        return ()
    told = ((name, plain.get(name)) for name in _FIELDS)
    return tuple(
        (name, value.encode())
        for name, value in told
        if isinstance(value, str) and value.isascii() and len(value) <= _LONGEST
    )


@contextmanager
def _told(
    tracer: "Tracer", name: str, about: Attributes, after: Headers, links: Iterable[Headers]
) -> Iterator[Context]:
    from opentelemetry.trace import Link, get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    w3c = TraceContextTextMapPropagator()
    linked = [get_current_span(w3c.extract(_carrier(one))).get_span_context() for one in links]
    with tracer.start_as_current_span(
        name,
        context=w3c.extract(_carrier(after)),
        links=[Link(one) for one in linked if one.is_valid][-_MOST_LINKS:],
        attributes={f"driftline.{key}": value for key, value in about.items()},
    ):
        carrier: dict[str, str] = {}
        w3c.inject(carrier)
        yield tuple((key, value.encode()) for key, value in carrier.items())


def _carrier(headers: Headers) -> dict[str, str]:
    # Headers of strangers may hold anything; what is no trace context, OpenTelemetry takes for none.
    return {name: (value or b"").decode("latin-1") for name, value in headers if name in _FIELDS}


def _is_asked_for(environ: Mapping[str, str]) -> bool:
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporter == "none":
        return False
    if exporter not in ("", "otlp"):
        raise TracingError(f"OTEL_TRACES_EXPORTER: found {exporter!r}, wanted otlp or none")
    return exporter == "otlp" or any(environ.get(name) for name in _ASKED_BY)
