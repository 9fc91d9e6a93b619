"""Traces: off and free until asked for; then one trace from record to record."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import DriftlineError
from schemas.tracing import as_plain_context, context_from, context_in, is_tracing, span, start_tracing


def test_nothing_is_told_or_imported_until_somebody_asks():
    program = (
        "import sys; from schemas.tracing import span, start_tracing\n"
        "assert not start_tracing('driftline', {})\n"
        "with span('work', {'device': 'press-7'}) as headers: assert headers == ()\n"
        "assert not any(name.startswith('opentelemetry') for name in sys.modules)"
    )

    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": str(Path.cwd())})


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({}, id="nothing is set"),
        pytest.param({"OTEL_SERVICE_NAME": "x"}, id="only a name"),
        pytest.param({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, id="none"),
        pytest.param({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, id="disabled"),
    ],
)
def test_traces_stay_off_where_nobody_asks_for_them(environ):
    assert not start_tracing("driftline", environ)
    assert not is_tracing()


def test_an_exporter_that_we_have_not_is_refused():
    with pytest.raises(DriftlineError, match=r"OTEL_TRACES_EXPORTER: found 'zipkin', wanted otlp or none"):
        start_tracing("driftline", {"OTEL_TRACES_EXPORTER": "zipkin"})


def test_what_follows_from_a_record_is_of_its_trace_and_names_what_it_stands_on(receiver):
    with span("send a window", {"device": "press-7"}) as window:
        pass
    with span("send a window") as other:
        pass
    with span("tell of an alert", links=[window, other]) as alert:
        pass
    with span("file a training request", after=alert):
        pass

    (first, second), (told,), (filed,) = receiver.wait_for(
        "send a window", "tell of an alert", "file a training request"
    )
    assert (first.service, first.about) == ("tests", {"device": "press-7"})
    assert told.links == (first.span, second.span)
    assert (filed.trace, filed.parent) == (told.trace, told.span)
    assert len({first.trace, second.trace, told.trace}) == 3


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("traceparent", b"nonsense")], id="nonsense"),
        pytest.param([("traceparent", b"\xff\x00")], id="no text"),
        pytest.param([("traceparent", None)], id="nothing"),
        pytest.param([("traceparent", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01")], id="zeros"),
    ],
)
def test_headers_of_strangers_begin_a_new_trace(receiver, headers):
    with span("work", after=headers, links=[headers]):
        pass

    ((told,),) = receiver.wait_for("work")
    assert (told.parent, told.links) == ("", ())


@pytest.mark.parametrize(
    "plain", [None, "00-1", {"traceparent": 7}, {"traceparent": "é"}, {"traceparent": "0" * 513}, {"ce_id": "7"}]
)
def test_what_strangers_call_a_trace_becomes_no_header(plain):
    assert context_from(plain) == ()


def test_a_trace_goes_on_over_a_way_that_is_not_kafka():
    headers = [("ce_id", b"7"), ("traceparent", b"00-1-2-3"), ("tracestate", b"a=1")]

    assert context_from(as_plain_context(headers)) == (("traceparent", b"00-1-2-3"), ("tracestate", b"a=1"))


def test_of_a_records_headers_only_the_trace_is_carried_on(receiver):
    headers = [("ce_id", b"7"), ("traceparent", b"00-1-2-3"), ("content-type", b"application/avro")]

    assert context_in(headers) == (("traceparent", b"00-1-2-3"),)
    assert context_in(None) == ()
