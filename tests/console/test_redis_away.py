"""With Redis away the console says so, and recovers by itself; what does not need Redis goes on."""

import console_fleet as made
import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe
from console_servers import Gate, Server, free_port
from page_visit import Visit
from patience import PATIENCE_S, eventually
from playwright.sync_api import expect

from console import AuthStore, ConsoleConfig, Role, make_console


@pytest.fixture
def gated(fleet_cluster, views_worker, redis_url, tmp_path):
    """A console that reaches Redis through a gate, the gate, and a key."""
    store = AuthStore(tmp_path / "console.db")
    _key_id, key = store.make_key("mara", Role.OPERATOR, by="tests", now_ms=0)
    with Gate(redis_url) as gate:
        app = make_console(fleet_cluster, gate.url, store, ConsoleConfig(answer_s=0.2))
        with (
            Server(app) as server,
            httpx2.Client(
                base_url=server.url, headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE_S
            ) as client,
        ):
            yield client, gate, key
    store.close()


def test_the_console_says_so_and_recovers(console, gated, name):
    client, gate, _key = gated
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


@pytest.mark.parametrize(("width", "light"), [(1280, "light"), (390, "dark")])
def test_the_page_says_so_in_words_and_recovers(gated, chromium, width, light, tmp_path):
    client, gate, key = gated
    visit = Visit(
        chromium, str(client.base_url).rstrip("/"), color_scheme=light, viewport={"width": width, "height": 800}
    )
    page = visit.sign_in(key)
    expect(page.get_by_text("● live")).to_be_visible()

    gate.shut()
    said = page.get_by_role("alert")
    expect(said).to_contain_text("Redis does not answer")
    expect(page.get_by_text("▲ stale")).to_be_visible()
    expect(said.locator("code")).to_have_text("driftline doctor")
    page.screenshot(path=tmp_path / "away.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [one for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")] == []
    gate.open()

    expect(page.get_by_text("● live")).to_be_visible()
    expect(said).to_have_count(0)
    assert all("503" in one for one in visit.complaints)
    visit.complaints.clear()
    visit.close()


def test_the_page_says_when_the_console_itself_is_away_and_goes_on_with_the_next_one(
    fleet_cluster, views_worker, redis_url, chromium, tmp_path
):
    store = AuthStore(tmp_path / "console.db")
    _key_id, key = store.make_key("mara", Role.OPERATOR, by="tests", now_ms=0)
    port = free_port()

    def console() -> Server:
        return Server(make_console(fleet_cluster, redis_url, store, ConsoleConfig()), port)

    with console() as server:
        visit = Visit(chromium, server.url)
        page = visit.sign_in(key)
        expect(page.get_by_text("● live")).to_be_visible()
    page.get_by_role("link", name="Alerts").click()
    expect(page.get_by_role("alert")).to_contain_text("the console cannot be reached")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Driftline", level=1)).to_be_visible()
    with console():
        expect(page.get_by_role("heading", name="Alerts", level=1)).to_be_visible()
        expect(page.get_by_text("● live")).to_be_visible()
        visit.complaints.clear()
        visit.close()
    store.close()
