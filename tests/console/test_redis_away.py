"""With Redis away the console says so, and recovers by itself; what does not need Redis goes on."""

import console_fleet as made
import httpx2
import pytest
from console_servers import Gate, Server, eventually

from console import AuthStore, ConsoleConfig, Role, make_console


@pytest.fixture
def gated(fleet_cluster, views_worker, redis_url, tmp_path):
    """A console that reaches Redis through a gate, and the gate."""
    store = AuthStore(tmp_path / "console.db")
    _key_id, key = store.make_key("mara", Role.OPERATOR, by="tests", now_ms=0)
    with Gate(redis_url) as gate:
        app = make_console(fleet_cluster, gate.url, store, ConsoleConfig(answer_s=0.2))
        with (
            Server(app) as server,
            httpx2.Client(base_url=server.url, headers={"Authorization": f"Bearer {key}"}, timeout=20) as client,
        ):
            yield client, gate
    store.close()


def test_the_console_says_so_and_recovers(console, gated, name):
    client, gate = gated
    console.publish("fleet.devices", [made.device(name)])
    eventually(lambda: client.get(f"/devices/{name}").status_code == 200)

    gate.shut()
    away = client.get(f"/devices/{name}")
    # What was read a moment ago may still be told.
    eventually(lambda: client.get("/devices").status_code == 503)
    ready = client.get("/ready")
    alive = client.get("/health")
    silenced = client.post("/silences", json={"matchers": {"subject": name}, "minutes": 5})
    gate.open()

    assert (away.status_code, away.json()["type"]) == (503, "urn:driftline:problem:redis-away")
    assert away.headers["retry-after"]
    assert ready.status_code == 503
    # Neither the process nor the way to the topics depends on it.
    assert (alive.status_code, silenced.status_code) == (200, 202)
    eventually(lambda: client.get(f"/devices/{name}").status_code == 200)
    eventually(lambda: client.get("/ready").status_code == 200)
