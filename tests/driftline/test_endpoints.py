"""What a worker answers to those who watch it."""

import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from types import MappingProxyType

import pytest
from patience import PATIENCE_S
from prometheus_client import CollectorRegistry, Counter
from secure_kafka import secure_kafka

from driftline.endpoints import STUCK_AFTER_S, Endpoints, EndpointsError, Watched
from schemas.cluster import Cluster
from schemas.topics import create_missing
from trust import make_key


def asked(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


@contextlib.contextmanager
def answering(watched):
    endpoints = Endpoints("127.0.0.1", 0, watched)
    try:
        yield endpoints.port
    finally:
        endpoints.close()


@pytest.mark.parametrize(
    ("silent_s", "status"),
    [pytest.param(0.0, 200, id="alive"), pytest.param(STUCK_AFTER_S, 503, id="stuck")],
)
def test_health_says_whether_the_worker_shows_life(silent_s, status):
    with answering(Watched(silent_s=lambda: silent_s)) as port:
        found, body = asked(port, "/health")

    assert found == status
    assert json.loads(body)["silent_s"] == silent_s


@pytest.mark.parametrize(
    ("waiting", "status"),
    [pytest.param([], 200, id="ready"), pytest.param(["t[3]: its lag is not known yet"], 503, id="waiting")],
)
def test_ready_says_what_is_waited_for(waiting, status):
    with answering(Watched(waiting=lambda: waiting)) as port:
        found, body = asked(port, "/ready")

    assert found == status
    assert json.loads(body)["waiting"] == waiting


def test_who_cannot_say_whether_it_is_ready_does_not_claim_it():
    with answering(Watched()) as port:
        assert asked(port, "/ready")[0] == 501


def test_metrics_are_those_of_the_process_and_of_the_worker():
    registry = CollectorRegistry()
    Counter("windows", "Windows.", registry=registry).inc(3)

    with answering(Watched(registries=[registry])) as port:
        status, body = asked(port, "/metrics")

    assert status == 200
    assert "windows_total 3.0" in body
    assert "process_cpu_seconds_total" in body


def test_other_paths_are_named_by_what_there_is():
    with answering(Watched()) as port:
        assert asked(port, "/") == (404, "there are /health, /ready and /metrics\n")


def test_a_taken_port_is_named():
    with answering(Watched()) as port, pytest.raises(EndpointsError, match=rf"127\.0\.0\.1:{port}: .*in use"):
        Endpoints("127.0.0.1", port, Watched())


@pytest.fixture
def worker(bootstrap, registry_url, redis_url, prefix, tmp_path):
    """Starts a worker by its command; gives the port at which it can be asked, once it answers."""
    started = []

    def start(*command, bootstrap=bootstrap, security=MappingProxyType({})):
        create_missing(Cluster(bootstrap=bootstrap, registry_url=registry_url, prefix=prefix, security=security))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        where = ["--bootstrap", bootstrap, "--registry", registry_url, "--prefix", prefix]
        whole = [sys.executable, "-m", "driftline", "worker", *command, *where, "--metrics-port", str(port)]
        with (tmp_path / "said").open("wb") as said:
            environment = {**os.environ, "DRIFTLINE_REDIS": redis_url}
            started.append(subprocess.Popen(whole, cwd=tmp_path, env=environment, stdout=said, stderr=said))
        return port

    yield start
    for each in started:
        each.terminate()
        each.wait(PATIENCE_S)


def until_ready(port, said, *, within_s=120):
    """Ask until the worker is ready; gives the answers that there were before."""
    before = []
    deadline = time.monotonic() + within_s
    while True:
        assert time.monotonic() < deadline, (before[-1:], said.read_text()[-3000:])
        with contextlib.suppress(urllib.error.URLError):
            status, body = asked(port, "/ready")
            if status == 200:
                return before
            before.append((status, json.loads(body)["waiting"]))
        time.sleep(0.05)


def test_a_drift_worker_gets_in_where_credentials_are_wanted(worker, tmp_path, monkeypatch):
    with secure_kafka(tmp_path / "kafka", users=["admin"]) as kafka:
        for name, value in kafka.by_password("admin").items():
            monkeypatch.setenv(f"DRIFTLINE_KAFKA_{name.upper().replace('.', '_')}", value)
        port = worker("drift", bootstrap=kafka.sasl, security=kafka.by_password("admin"))
        until_ready(port, tmp_path / "said")

        assert "driftline_worker_lag_records{" in asked(port, "/metrics")[1]


def test_a_drift_worker_becomes_ready_and_tells_its_lag(worker, tmp_path):
    port = worker("drift")

    before = until_ready(port, tmp_path / "said")
    metrics = asked(port, "/metrics")[1]

    assert before[0] == (503, ["1 of 1 agents are not open yet"])
    assert asked(port, "/health")[0] == 200
    lag = [line for line in metrics.splitlines() if line.startswith("driftline_worker_lag_records{")]
    assert len(lag) > 1
    assert all(line.endswith(" 0.0") for line in lag)
    assert "drift_detected 0.0" in metrics


_HOOKS = """
[[webhook]]
name = "line-7"
url = "http://127.0.0.1:9/"
topics = ["rollouts.status"]
secrets = ["env:HOOK_SECRET"]
"""


@pytest.mark.parametrize("name", ["health", "cohorts", "views", "rollouts", "trainer", "sink", "webhooks", "notify"])
def test_other_workers_become_ready(worker, tmp_path, name, monkeypatch):
    key = tmp_path / "controller.pem"
    make_key(key)
    (tmp_path / "webhooks.toml").write_text(_HOOKS)
    monkeypatch.setenv("HOOK_SECRET", "whsec_" + base64.b64encode(b"s" * 32).decode())
    (tmp_path / "routes.toml").write_text('[[route]]\nname = "all"\nto = ["json://127.0.0.1:9/"]\n')
    said = {
        "notify": ["--routes", str(tmp_path / "routes.toml")],
        "rollouts": ["--key", f"file:{key}"],
        "trainer": ["--key", f"file:{key}", "--store", str(tmp_path / "store"), "--url", "http://127.0.0.1:9/"],
        "sink": ["--folder", str(tmp_path / "offline")],
        "webhooks": ["--config", str(tmp_path / "webhooks.toml")],
    }

    port = worker(name, *said.get(name, []))
    before = until_ready(port, tmp_path / "said")

    assert before
    assert {status for status, _ in before} == {503}
    assert asked(port, "/health")[0] == 200
    assert "process_cpu_seconds_total" in asked(port, "/metrics")[1]
