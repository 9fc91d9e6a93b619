"""`driftline console` as its users start it: as a process, from the first link to its end by a signal."""

import os
import re
import signal
import socket
import subprocess
import sys

import httpx2
import pytest
from console_servers import free_port
from patience import PATIENCE_S, eventually

from driftline.commands.console import listen


@pytest.fixture
def started(fleet_cluster, redis_url, tmp_path):
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "driftline", "console", "--port", str(port), "--bootstrap", fleet_cluster.bootstrap,
         "--registry", fleet_cluster.registry_url, "--prefix", fleet_cluster.prefix],
        env={**os.environ, "DRIFTLINE_REDIS": redis_url, "DRIFTLINE_DATA": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    yield process, f"http://127.0.0.1:{port}"
    process.kill()
    process.wait(PATIENCE_S)
    process.stdout.close()


def answers(url):
    try:
        return httpx2.get(f"{url}/health").status_code == 200
    except httpx2.TransportError:
        return False


def test_the_first_start_prints_a_link_that_lets_an_admin_in_and_a_signal_ends_it(started):
    process, url = started
    said = [process.stdout.readline() for _ in range(2)]
    invitation = re.search(r"#/welcome/(\S+)", said[1])[1]
    eventually(lambda: answers(url))

    welcomed = httpx2.post(f"{url}/session/welcome", json={"invitation": invitation}, timeout=PATIENCE_S)
    process.send_signal(signal.SIGTERM)

    assert said[0] == f"console: {url}\n"
    assert (welcomed.status_code, welcomed.json()["role"]) == (200, "admin")
    assert process.wait(PATIENCE_S) == 0


def test_who_guesses_cannot_choose_the_address_that_is_throttled(started):
    _process, url = started
    eventually(lambda: answers(url))

    tries = [
        httpx2.post(
            f"{url}/session", json={"key": f"dl_0_{i}"}, headers={"X-Forwarded-For": f"10.0.0.{i}"}, timeout=PATIENCE_S
        )
        for i in range(6)
    ]

    assert [one.status_code for one in tries] == [401] * 5 + [429]


def test_after_a_kill_keys_are_still_good(started, fleet_cluster, redis_url, tmp_path):
    process, url = started
    process.stdout.readline()
    invitation = re.search(r"#/welcome/(\S+)", process.stdout.readline())[1]
    eventually(lambda: answers(url))
    key = httpx2.post(f"{url}/session/welcome", json={"invitation": invitation}, timeout=PATIENCE_S).json()["key"]
    process.kill()
    process.wait(PATIENCE_S)

    from console import AuthStore

    store = AuthStore(tmp_path / "console" / "console.db")
    found = store.check_key(key)
    store.close()

    assert found.role.value == "admin"


def test_a_body_does_not_wait_for_its_head_to_be_acknowledged():
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()

        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
