"""The page in a real Chromium: found by clicking, live, without errors, and fit for those who do not see or point."""

import console_fleet as made
import pytest
from axe_playwright_python.sync_playwright import Axe
from page_visit import Visit
from patience import eventually
from playwright.sync_api import expect

from console import Role
from schemas.drift_alert import AlertState
from schemas.release import ReleaseStage
from schemas.rollouts import DeviceInRollout, RolloutDevice, RolloutPhase


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

    cell = f"feature = temperature, subject = {alert.subject}"
    expect(page.get_by_role("cell", name=cell, exact=True)).to_be_visible()
    asked = [one for one in viewer.get("/audit").json()["items"] if one["subject"] == f"alert/{alert.alert_id}"]
    assert [(one["action"], one["who"]) for one in asked] == [("asked to acknowledge", "operator")]


def test_an_alert_says_by_whose_clock_it_opened_and_when_it_was_last_told(visit, console, viewer):
    days_ago_ms = made.now_ms() - 6 * 86_400_000
    alert = made.alert(made.unique("press"), opened_ms=days_ago_ms)
    console.publish("drift.alerts", [alert])
    eventually(lambda: viewer.get(f"/alerts/{alert.alert_id}").status_code == 200)
    page = visit()
    page.goto(f"{console.url}/#/alerts")

    card = page.get_by_role("article").filter(has_text=alert.subject)
    expect(card).to_contain_text("by its device's clock, last news")
    expect(card).not_to_contain_text("days ago")
    told_ms = viewer.get(f"/alerts/{alert.alert_id}").json()["told_ms"]
    assert abs(told_ms - made.now_ms()) < 60_000


@pytest.mark.parametrize(
    ("phase", "devices", "offered"),
    [
        pytest.param(RolloutPhase.BAKING, {"succeeded": 5}, [], id="nobody failed"),
        pytest.param(RolloutPhase.BAKING, {"succeeded": 4, "failed": 1}, ["Retry failed devices"], id="one failed"),
        pytest.param(RolloutPhase.PAUSED, {"timed_out": 2}, ["Retry failed devices"], id="two were not heard of"),
        pytest.param(RolloutPhase.ABORTED, {"succeeded": 5}, ["Begin anew"], id="all of it was ended"),
    ],
)
def test_trying_again_is_offered_where_there_is_something_to_try(visit, console, viewer, phase, devices, offered):
    name = made.unique("bearings")
    console.publish("rollouts.status", [made.status(name, phase=phase, devices=devices)])
    eventually(lambda: viewer.get(f"/rollouts/{name}").status_code == 200)
    page = visit(Role.ADMIN)
    page.goto(f"{console.url}/#/rollout/{name}")
    expect(page.get_by_role("heading", name="Gates of this stage")).to_be_visible()

    shown = [text for text in page.get_by_role("button").all_inner_texts() if "Retry" in text or "anew" in text]

    assert shown == [f"{one} …" for one in offered]


def test_a_silence_is_ended_by_clicking(visit, story, console, operator):
    operator.post("/silences", json={"matchers": {"subject": f"{story}-x"}, "minutes": 30}).raise_for_status()
    page = visit(Role.OPERATOR)
    page.goto(f"{console.url}/#/alerts")

    page.get_by_role("button", name=f"End the silence of subject = {story}-x").click()
    page.get_by_label("Why").fill("it is mended")
    page.get_by_role("button", name="End it").click()

    expect(page.get_by_role("cell", name=f"subject = {story}-x", exact=True)).to_have_count(0)


def test_a_training_that_waits_is_approved_followed_and_cancelled_by_clicking(visit, story, console, viewer):
    model = made.unique("pumps")
    console.publish("training.requests", [made.training(f"{model}-1", model=model, needs_approval=True)])
    page = visit()
    page.goto(f"{console.url}/#/trainings")

    page.get_by_role("button", name=f"Approve {model}-1").click()
    page.get_by_role("dialog").get_by_label("Why").fill("seen the data")
    page.get_by_role("button", name="Approve it").click()
    row = page.get_by_role("row", name=f"{model}-1")
    expect(row.get_by_text("waiting", exact=False).first).to_be_visible()
    console.publish("audit.log", [made.training_note(f"{model}-1", "progressed", why="fitted 3 of 5")])
    expect(row).to_contain_text("fitted 3 of 5")
    expect(row).to_contain_text("running")
    page.get_by_role("button", name=f"Cancel {model}-1").click()
    page.get_by_role("dialog").get_by_label("Why").fill("wrong data")
    page.get_by_role("button", name="Cancel it").click()

    said = eventually(
        lambda: (
            len(found := viewer.get("/audit", params={"subject": f"training/{model}-1"}).json()["items"]) == 3 and found
        )
    )
    assert [(one["action"], one["who"], one["why"]) for one in said if one["who"] != "trainer"] == [
        ("asked to cancel", "approver", "wrong data"), ("asked to approve", "approver", "seen the data"),
    ]  # fmt: skip


def test_a_training_is_asked_for_by_clicking(visit, story, console):
    model = made.unique("pumps")
    page = visit(Role.OPERATOR)
    page.goto(f"{console.url}/#/trainings")

    page.get_by_label("Model", exact=True).fill(model)
    page.get_by_label("Pipeline").fill("machine/1")
    page.get_by_label("Why").fill("new pumps")
    page.get_by_role("button", name="Ask", exact=True).click()

    expect(page.get_by_role("row", name=model)).to_contain_text("new pumps")


def test_a_better_model_takes_the_champions_place_by_clicking(visit, story, console, viewer, tmp_path):
    model = made.unique("pumps")
    releases = [
        made.release("1", model=model),
        made.release("2", model=model, stage=ReleaseStage.STAGING, metrics={"auc": 0.97}),
    ]
    console.publish("models.releases", releases)
    page = visit()
    page.goto(f"{console.url}/#/models")

    page.get_by_role("button", name=f"Promote {model}/2 to production").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("row", name="auc").get_by_role("cell").nth(3)).to_have_text("0.04")
    page.screenshot(path=tmp_path / "promote.png")
    dialog.get_by_label("Why").fill("sees the new pumps")
    dialog.get_by_role("button", name="Promote").click()
    # Not without having compared them.
    expect(dialog).to_be_visible()
    dialog.get_by_label("I have compared them").check()
    dialog.get_by_role("button", name="Promote").click()

    expect(page.get_by_role("row", name=f"{model}/2")).to_contain_text("production")
    expect(page.get_by_role("row", name=f"{model}/1")).to_contain_text("archived")


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


def test_a_class_that_was_set_apart_is_let_back_in(visit, story, console, viewer):
    rollout = made.unique("r")
    console.publish("rollouts.status", [made.status(rollout, devices={"succeeded": 5, "quarantined": 3})])
    eventually(lambda: viewer.get(f"/rollouts/{rollout}").status_code == 200)
    page = visit()
    page.goto(f"{console.url}/#/rollout/{rollout}")

    page.get_by_role("button", name="Let a class back in …").click()
    page.get_by_label("What its devices share").fill("hw=rev2")
    page.get_by_label("Why").fill("its firmware was mended")
    page.get_by_role("dialog").get_by_role("button", name="Let a class back in").click()

    (asked,) = eventually(lambda: viewer.get("/audit", params={"subject": f"rollout/{rollout}"}).json()["items"])
    assert (asked["action"], asked["evidence"]["trait"]) == ("asked to lift", "hw=rev2")
    page.goto(f"{console.url}/#/rollout/{story}-r1")
    expect(page.get_by_role("button", name="Pause …")).to_be_visible()
    expect(page.get_by_role("button", name="Let a class back in …")).to_have_count(0)


def test_only_what_one_may_do_is_offered(visit, story, console):
    page = visit(Role.VIEWER)
    page.goto(f"{console.url}/#/rollout/{story}-r1")
    expect(page.get_by_role("cell", name="no drift in the canaries")).to_be_visible()

    expect(page.get_by_role("button", name="Pause …")).to_have_count(0)


def test_the_skip_link_leads_into_the_page_that_is_open(visit, story, console):
    page = visit()
    page.goto(f"{console.url}/#/devices")
    expect(page.get_by_role("heading", name="Devices", level=1)).to_be_visible()

    link = page.get_by_role("link", name="Skip to the content")
    link.focus()
    assert link.evaluate("link => link.getBoundingClientRect().left") >= 0
    page.keyboard.press("Enter")

    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "q"
    expect(page.get_by_role("heading", name="Devices", level=1)).to_be_visible()


@pytest.mark.parametrize("path", ["nowhere", "nowhere/%E0%A4%A"])
def test_an_address_that_was_typed_badly_is_answered_in_words(visit, console, path):
    page = visit(Role.VIEWER)

    page.goto(f"{console.url}/#/{path}")

    expect(page.get_by_text("There is no such page.")).to_be_visible()


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


def test_a_policy_that_is_being_changed_is_not_issued_over_what_somebody_else_issued(chromium, console, name):
    one = Visit(chromium, console.url)
    with console.client(Role.APPROVER) as other:
        issue = lambda document: other.put(f"/policies/{name}", json={"document": document}).json()["revision"]  # noqa: E731
        issue("[floors]\npsi = 0.06")
        page = one.sign_in(console.keys[Role.APPROVER])
        page.goto(f"{console.url}/#/policies")
        page.get_by_text(f"What {name} says").click()
        page.get_by_role("button", name=f"Change {name}").click()
        expect(page.get_by_label("Policy, TOML")).to_have_value("[floors]\npsi = 0.06")
        page.get_by_label("Policy, TOML").fill("[floors]\npsi = 0.07")
        page.get_by_role("button", name="Issue").click()
        expect(page.get_by_role("status")).to_contain_text("Issued as revision 2")
        assert issue("[floors]\npsi = 0.02") == 3

        page.get_by_label("Policy, TOML").fill("[floors]\npsi = 0.08")
        page.get_by_role("button", name="Issue").click()

        expect(page.get_by_role("status")).to_contain_text("somebody else has issued it meanwhile")
        assert other.get(f"/policies/{name}").json()["document"] == "[floors]\npsi = 0.02"
    # Chromium tells of every refusal.
    assert [complaint for complaint in one.complaints if "412" not in complaint] == []
    one.complaints.clear()
    one.close()


def test_the_first_link_leads_to_a_key_and_in(chromium, console):
    invitation = console.store.invite("newcomer", Role.VIEWER, by="tests", expires_ms=made.now_ms() + 60_000)
    one = Visit(chromium, console.url)
    one.page.goto(f"{console.url}/#/welcome/{invitation}")

    one.page.get_by_role("button", name="Come in").click()
    expect(one.page.locator("code.key")).to_contain_text("dl_")
    one.page.get_by_role("button", name="I have put it away").click()

    expect(one.page.get_by_text("newcomer (viewer)")).to_be_visible()
    assert invitation not in one.page.url
    one.close()


PAGES = (
    "", "devices", "device/{story}-00", "alerts", "rollouts", "rollout/{story}-r1", "models", "trainings", "policies",
    "audit",
)  # fmt: skip


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
