"""The local API over real HTTP, on a gateway with a real model."""

import contextlib
import json
import socket
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from patience import PATIENCE_S, eventually

from edge_gateway.api import Api
from edge_gateway.errors import GatewayError
from sensing.sources import InboxSource

CHANNELS = ("temperature", "vibration", "pressure", "current")


@pytest.fixture
def api(serving):
    gateway = serving()
    inbox = InboxSource(CHANNELS, capacity=5)
    made = Api(gateway.gateway, now_ms=lambda: gateway.now_ms, inbox=inbox, port=0)
    made.inbox, made.played = inbox, gateway
    made.start()
    yield made
    made.stop()


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def ask(api, path, body=None):
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{api.port}{path}", data=data)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:  # noqa: S310
            content, status = response.read(), response.status
    except urllib.error.HTTPError as error:
        content, status = error.read(), error.code
    return status, json.loads(content) if content[:1] in (b"{", b"[") else content.decode()


def test_predictions_are_those_of_the_model(api, foundry):
    rows = foundry.reference[[100, 200, 300]]
    expected = api.played.gateway.serving.model.decide(rows)

    status, many = ask(api, "/predict", {"features": rows.tolist()})
    _, one = ask(api, "/predict", {"features": rows[0].tolist()})
    names = dict(zip(foundry.pipeline.feature_names, rows[0].tolist(), strict=True))
    _, named = ask(api, "/predict", {"features": names})

    assert status == 200
    assert [each["score"] for each in many["predictions"]] == expected.score.tolist()
    assert one == named == {"model_id": "demo/1", **many["predictions"][0]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"no json", "the body is no JSON"),
        ({"x": 1}, "wanted: {'features'"),
        ({"features": []}, "wanted: {'features'"),
        ({"features": [1.0, 2.0]}, "vector 0 has 2 values; demo/1 wants 16"),
        ({"features": [[0.0] * 16, [1.0]]}, "vector 1 has 1 values"),
        ({"features": ["1"] * 16}, "features are not numbers"),
        ({"features": {"heat": 1}}, "unknown feature 'heat'; known: temperature"),
        ({"features": [[0.0] * 16] * 5000}, "5000 vectors; at most 4096 at once"),
        ({"features": [[[0.0]] * 16]}, "features are not numbers: lists or objects"),
        ({"features": [{"temperature": 1.0}]}, "vector 0 has 1 values"),
        (b"[" * 100_000, "the body is no JSON: maximum recursion depth"),
        (b'{"features":[' + b"9" * 5000 + b"]}", "the body is no JSON: Exceeds the limit"),
        (b"\xff\xfe\xff", "the body is no JSON"),
    ],
)
def test_a_bad_request_is_answered_in_words(api, body, said):
    status, answer = ask(api, "/predict", body)

    assert status == 400
    assert said in answer["error"]


def test_what_is_infinite_is_missing_as_it_is_with_sensors(api):
    _, missing = ask(api, "/predict", {"features": [None] * 16})

    for endless in (b"Infinity", b"NaN", b"-1e400", b"1e39"):
        assert ask(api, "/predict", b'{"features":[' + b",".join([endless] * 16) + b"]}") == (200, missing)


@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(b"", id="silent"),
        pytest.param(b"POST /predict HTTP/1.1\r\nHost: x\r\n", id="a head without an end"),
        pytest.param(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{", id="a body without an end"),
    ],
)
def test_whoever_keeps_connections_open_keeps_nobody_out(api, beginning):
    before = open_files()
    held = [socket.create_connection(("127.0.0.1", api.port)) for _ in range(200)]
    for each in held:
        with contextlib.suppress(OSError):
            each.sendall(beginning)

    status, _ = ask(api, "/predict", {"features": [0.0] * 16})
    # 64 are held, and at most as many more that came in one go; the others are gone as soon as it comes to them.
    eventually(lambda: open_files() - before < 200 + 140, or_say=lambda: f"{open_files() - before} files are open")
    api.stop()

    assert status == 200
    assert api._runner.server is None, "it was not let go of all within 5 s"
    for each in held:
        each.close()


def test_a_body_that_does_not_come_is_not_waited_for(api, monkeypatch):
    monkeypatch.setattr("edge_gateway.api._BODY_WITHIN_S", 0.2)
    with socket.create_connection(("127.0.0.1", api.port), timeout=PATIENCE_S) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")

        answer = slow.recv(1000)

    assert answer.startswith(b"HTTP/1.1 408")


def test_readings_are_pushed_and_a_full_inbox_says_so(api):
    good = {"at_ms": 1, "temperature": 60, "stream": "hall"}

    first = ask(api, "/readings", [good, {"at_ms": "noon"}, 5])
    none = ask(api, "/readings", {"at_ms": 1})
    full = ask(api, "/readings", [good] * 9)

    assert first[0] == 202
    assert first[1]["taken"] == 1
    assert first[1]["refused"][0].startswith("reading 1: the time is 'noon'")
    assert none[0] == 400
    assert (full[0], full[1]["taken"], full[1]["full"]) == (429, 4, True)
    np.testing.assert_array_equal(api.inbox.poll(0)[0].values[0], [60, np.nan, np.nan, np.nan])


def test_health_and_metrics_and_docs(api):
    health = ask(api, "/health")
    _, metrics = ask(api, "/metrics")

    assert (health[0], health[1]["model_id"]) == (200, "demo/1")
    for line in (
        'inference_requests_total{outcome="ok"} 45.0',
        'model_info{model_id="demo/1",pipeline="machine/1",slot="A"} 1.0',
        'commands_total{phase="succeeded"} 1.0',
        "anomalies_detected_total",
        "model_load_time_seconds",
        "inference_request_duration_seconds_bucket",
        "spool_oldest_age_seconds",
    ):
        assert line in metrics
    assert ask(api, "/docs")[0] == 200
    assert "/predict" in ask(api, "/openapi.json")[1]["paths"]
    assert ask(api, "/nothing")[0] == 404


def test_without_a_model_it_says_so(played):
    gateway = played()
    api = Api(gateway.gateway, now_ms=lambda: gateway.now_ms, port=0)
    api.start()

    assert ask(api, "/health") == (
        503,
        {
            "status": "no model",
            "model_id": "",
            "decided": 0,
            "discarded": 0,
            "spool": {"records": 0, "bytes": 0, "dropped": 0},
        },
    )
    assert ask(api, "/predict", {"features": [1]})[0] == 503
    assert ask(api, "/readings", {})[0] == 404
    api.stop()


def test_a_port_in_use_is_named(api, played):
    second = Api(played().gateway, now_ms=lambda: 0, port=api.port)

    with pytest.raises(GatewayError, match=f"cannot listen on 127.0.0.1:{api.port}"):
        second.start()
