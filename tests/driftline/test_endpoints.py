"""What a worker answers to those who watch it."""

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Counter

from driftline.endpoints import STUCK_AFTER_S, Endpoints, EndpointsError, Watched
from schemas.cluster import Cluster
from schemas.topics import create_missing


def asked(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
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


def test_a_worker_becomes_ready_and_tells_its_lag(bootstrap, registry_url, prefix, tmp_path):
    cluster = Cluster(bootstrap=bootstrap, registry_url=registry_url, prefix=prefix)
    create_missing(cluster)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ["--bootstrap", bootstrap, "--registry", registry_url, "--prefix", prefix]
    command = [sys.executable, "-m", "driftline", "worker", "drift", *where, "--metrics-port", str(port)]
    with (tmp_path / "said").open("wb") as said:
        worker = subprocess.Popen(command, cwd=tmp_path, stdout=said, stderr=said)
    seen = set()
    try:
        deadline = time.monotonic() + 60
        while not {("/health", 200), ("/ready", 503), ("/ready", 200)} <= seen:
            assert time.monotonic() < deadline, (seen, (tmp_path / "said").read_text()[-3000:])
            assert worker.poll() is None, (tmp_path / "said").read_text()[-3000:]
            for path in ("/health", "/ready"):
                with contextlib.suppress(urllib.error.URLError):
                    seen.add((path, asked(port, path)[0]))
            time.sleep(0.05)
        metrics = asked(port, "/metrics")[1]
    finally:
        worker.terminate()
        worker.wait(30)

    lag = [line for line in metrics.splitlines() if line.startswith("driftline_worker_lag_records{")]
    assert len(lag) > 1
    assert all(line.endswith(" 0.0") for line in lag)
    assert "drift_detected 0.0" in metrics
