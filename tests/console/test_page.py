"""The page in a real Chromium: found by clicking, live, without errors, and fit for those who do not see or point."""

import shutil
from collections.abc import Iterator

import console_fleet as made
import pytest
from axe_playwright_python.sync_playwright import Axe
from console_servers import eventually
from playwright.sync_api import Browser, Page, expect, sync_playwright

from console import Role
from schemas.drift_alert import AlertState
from schemas.rollouts import DeviceInRollout, RolloutDevice

_FLAGS = [
    f"--{flag}"
    for flag in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-sync",
    )
]  # fmt: skip
CHROMIUM = shutil.which("chromium")

# Others may be at work on the machine.
expect.set_options(timeout=20_000)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (apt-get install chromium)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def story(console):
    """A small fleet with everything in it, under names of its own."""
    name = made.unique("hall")
    base = made.baseline()
    console.publish("models.grids", [made.GRID])
    console.publish("models.baselines", [base])
    devices = [
        made.device(f"{name}-{i:02}", labels={"site": ("north", "south")[i % 2], "hall": name}) for i in range(24)
    ]
    console.publish("fleet.devices", devices)
    now = made.now_ms()
    for i, device in enumerate(devices):
        drift = max(0.02, 0.5 - 0.04 * i)
        points = [
            made.scores(
                device.device_id,
                {"temperature": drift * step / 8, "pressure": drift * 0.4, "vibration": 0.02},
                at_ms=now - (8 - step) * 60_000,
                baseline_id=base.baseline_id,
            )
            for step in range(1, 9)
        ]
        console.publish("drift.scores", points)
    console.publish("telemetry.feature-stats", [made.window(device.device_id, [10, 20, 25, 45]) for device in devices])
    console.publish("drift.alerts", [made.alert(f"{name}-00"), made.alert(f"{name}-01", state=AlertState.PENDING)])
    console.publish("rollouts.status", [made.status(f"{name}-r1")])
    console.publish(
        "rollouts.devices",
        [
            RolloutDevice(
                rollout_id=f"{name}-r1", device_id=device.device_id, state=DeviceInRollout.SUCCEEDED, stage=0,
                revision=1, attempts=1, previous_model_id="bearings/1", reason="", changed_ms=now,
            )
            for device in devices[:5]
        ],
    )  # fmt: skip
    console.publish("models.releases", [made.release("1"), made.release("2", metrics={"auc": 0.95, "f1": 0.8})])
    with console.client(Role.VIEWER) as viewer:
        found = {"label": f"hall={name}", "verdict": "drift"}
        eventually(lambda: viewer.get("/devices", params=found).json()["total"] == 8)
        eventually(lambda: viewer.get(f"/devices/{name}-23/distributions").status_code == 200)
        eventually(lambda: viewer.get(f"/rollouts/{name}-r1").status_code == 200)
        eventually(lambda: viewer.get("/models/bearings/2").status_code == 200)
    return name


class Visit:
    """One person's look at the page; whatever the browser complains of fails the test."""

    def __init__(self, browser: Browser, url: str, **kind) -> None:
        self.context = browser.new_context(locale="de-AT", timezone_id="Europe/Vienna", **kind)
        self.page: Page = self.context.new_page()
        self.url, self.complaints = url, []
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda sent: self._must_be_ours(sent.url))

    def sign_in(self, key: str) -> Page:
        self.page.goto(self.url)
        # Being asked who one is, is no complaint.
        self.page.get_by_label("Your key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("heading", name="Fleet", level=1)).to_be_visible()
        self.complaints.clear()
        return self.page

    def close(self) -> None:
        self.context.close()
        assert self.complaints == []

    def _must_be_ours(self, url: str) -> None:
        if not url.startswith((self.url, "data:", "blob:")):
            self.complaints.append(f"asked for {url}")


@pytest.fixture
def visit(browser, console):
    visits = []

    def visit(role: Role | None = Role.APPROVER, **kind) -> Page:
        visits.append(Visit(browser, console.url, **kind))
        return visits[-1].sign_in(console.keys[role]) if role else visits[-1].page

    yield visit
    for one in visits:
        one.close()


def test_from_the_map_of_the_fleet_to_what_a_device_sees(visit, story, tmp_path):
    page = visit()
    page.get_by_label("One line for each").select_option("hall")
    page.get_by_role("link", name=story, exact=True).click()
    page.get_by_role("link", name=f"{story}-00").click()

    expect(page.get_by_role("heading", name=f"{story}-00", level=1)).to_be_visible()
    expect(page.get_by_role("img", name="PSI of the most drifted features")).to_be_visible()
    expect(page.get_by_role("img", name="temperature: most moved is > 30, from 25 % to 45 %")).to_be_visible()
    expect(page.get_by_role("button", name="Acknowledge")).to_be_visible()
    page.screenshot(path=tmp_path / "device.png", full_page=True)


def test_what_changes_shows_without_reloading_and_keeps_the_focus(visit, story, console):
    page = visit()
    page.goto(f"{console.url}/#/alerts")
    expect(page.get_by_text("● live")).to_be_visible()
    page.get_by_label("Show").focus()
    late = made.alert(made.unique("late"))

    console.publish("drift.alerts", [late])

    expect(page.get_by_role("heading", name=late.summary)).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "state"


def test_an_alert_is_acknowledged_and_silenced_by_clicking(visit, story, console, viewer):
    alert = made.alert(made.unique("press"))
    console.publish("drift.alerts", [alert])
    page = visit(Role.OPERATOR)
    page.goto(f"{console.url}/#/alerts")

    page.get_by_role("button", name=f"Acknowledge: {alert.summary}").click()
    expect(page.get_by_role("status")).to_contain_text("Acknowledged: asked for")
    page.get_by_role("button", name=f"Silence: {alert.summary}").click()
    page.get_by_label("Minutes").fill("30")
    page.get_by_label("Why").fill("refitting")
    page.get_by_role("dialog").get_by_role("button", name="Silence").click()

    expect(page.get_by_role("cell", name=f"feature = temperature, subject = {alert.subject}")).to_be_visible()
    asked = [one for one in viewer.get("/audit").json()["items"] if one["subject"] == f"alert/{alert.alert_id}"]
    assert [(one["action"], one["who"]) for one in asked] == [("asked to acknowledge", "operator")]


def test_a_rollout_shows_its_gates_with_evidence_and_is_paused_by_keyboard_alone(visit, story, console, viewer):
    page = visit()
    page.goto(f"{console.url}/#/rollout/{story}-r1")
    expect(page.get_by_role("cell", name="no drift in the canaries")).to_be_visible()
    expect(page.get_by_role("cell", name="canaries 5")).to_be_visible()

    page.get_by_role("button", name="Pause …").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.type("look at it")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    expect(page.get_by_role("status")).to_contain_text("Pause")
    asked = eventually(
        lambda: [one for one in viewer.get("/audit").json()["items"] if one["subject"] == f"rollout/{story}-r1"]
    )
    assert (asked[0]["action"], asked[0]["why"], asked[0]["who"]) == ("asked to pause", "look at it", "approver")


def test_only_what_one_may_do_is_offered(visit, story, console):
    page = visit(Role.VIEWER)
    page.goto(f"{console.url}/#/rollout/{story}-r1")
    expect(page.get_by_role("cell", name="no drift in the canaries")).to_be_visible()

    expect(page.get_by_role("button", name="Pause …")).to_have_count(0)


def test_releases_are_compared_side_by_side(visit, story, console):
    page = visit()
    page.goto(f"{console.url}/#/models")
    page.locator("#a").select_option("bearings/1")
    page.locator("#b").select_option("bearings/2")
    page.get_by_role("button", name="Compare").click()

    row = page.get_by_role("region", name="bearings/1 and bearings/2").get_by_role("row", name="auc")
    expect(row.get_by_role("cell").nth(3)).to_have_text("0.02")


def test_a_policy_is_checked_before_anybody_judges_by_it(visit, story, console):
    visits = visit()
    visits.goto(f"{console.url}/#/policies")
    visits.get_by_label("Policy, TOML").fill("[floors]\npsi = 0.06")
    visits.get_by_role("button", name="Check").click()

    expect(visits.get_by_role("status")).to_contain_text("The policy is valid")


def test_the_first_link_leads_to_a_key_and_in(browser, console):
    invitation = console.store.invite("newcomer", Role.VIEWER, by="tests", expires_ms=made.now_ms() + 60_000)
    one = Visit(browser, console.url)
    one.page.goto(f"{console.url}/#/welcome/{invitation}")

    one.page.get_by_role("button", name="Come in").click()
    expect(one.page.locator("code.key")).to_contain_text("dl_")
    one.page.get_by_role("button", name="I have put it away").click()

    expect(one.page.get_by_text("newcomer (viewer)")).to_be_visible()
    assert invitation not in one.page.url
    one.close()


PAGES = ("", "devices", "device/{story}-00", "alerts", "rollouts", "rollout/{story}-r1", "models", "policies", "audit")


@pytest.mark.parametrize("light", ["light", "dark"])
def test_no_page_has_a_serious_barrier(visit, story, console, light, tmp_path):
    page = visit(color_scheme=light)
    axe, found = Axe(), {}

    for path in PAGES:
        page.goto(f"{console.url}/#/{path.format(story=story)}")
        expect(page.get_by_text("● live")).to_be_visible()
        expect(page.get_by_text("Loading …")).to_have_count(0)
        page.wait_for_timeout(300)
        page.screenshot(path=tmp_path / f"{path.partition('/')[0] or 'fleet'}.png", full_page=True)
        grave = [
            f"{one['id']}: {one['nodes'][0]['html'][:120]} {one['nodes'][0]['failureSummary'][:200]}"
            for one in axe.run(page).response["violations"]
            if one["impact"] in ("serious", "critical")
        ]
        if grave:
            found[path] = grave

    assert found == {}


def test_pages_fit_a_phone(visit, story, console, tmp_path):
    page = visit(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)

    for path in PAGES:
        page.goto(f"{console.url}/#/{path.format(story=story)}")
        expect(page.get_by_text("● live")).to_be_visible()
        page.wait_for_timeout(300)
        page.screenshot(path=tmp_path / f"{path.partition('/')[0] or 'fleet'}.png")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
