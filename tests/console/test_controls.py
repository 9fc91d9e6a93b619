"""What people ask for reaches its topic in their name, once, and what became of it comes back."""

import threading

import console_fleet as made
import httpx2
import pytest
from console_servers import Server
from patience import PATIENCE_S, eventually

from console import ConsoleConfig, Role, make_console
from driftline.lending import lent_by_rooms
from schemas import feeds
from schemas.release import ReleaseStage
from streams.rollouts.controller import ControllerOptions
from streams.rollouts.service import RolloutService, ServiceOptions
from streams.rollouts.simulated import SimulatedFleet, SimulatedGateway
from trust import Keyring, Kind, load_signer, make_key, pin


@pytest.fixture
def patient(console, redis_url, tmp_path):
    """An administrator at a console that waits for as long as a busy machine takes to answer what is asked for."""
    config = ConsoleConfig(answer_s=PATIENCE_S)
    lent = lent_by_rooms(console.cluster, tmp_path / "backtests")
    app = make_console(console.cluster, redis_url, console.store, config, lent=lent, cache_dir=tmp_path)
    headers = {"Authorization": f"Bearer {console.keys[Role.ADMIN]}"}
    with Server(app) as server, httpx2.Client(base_url=server.url, headers=headers, timeout=2 * PATIENCE_S) as client:
        eventually(lambda: client.get("/ready").json().get("parts", {}).get("live") == "ok")
        yield client


def requests_about(cluster, subject):
    with feeds.follow(cluster, "operators.requests", from_ms=0) as feed:
        found = []
        for event in feed:
            if isinstance(event, feeds.CaughtUp):
                return found
            if event.value.subject == subject:
                found.append(event.value)
    return found


def test_a_control_is_asked_for_in_the_name_of_who_asked(console, operator, viewer, name):
    console.publish("rollouts.status", [made.status(name)])
    eventually(lambda: viewer.get(f"/rollouts/{name}").status_code == 200)

    answer = operator.post(f"/rollouts/{name}/abort", json={"why": "smells burnt", "rollback": False})

    assert (answer.status_code, answer.json()["state"]) == (202, "taken")
    (request,) = requests_about(console.cluster, f"rollout/{name}")
    assert (request.action, request.who, request.why) == ("abort", "operator", "smells burnt")
    assert request.arguments == {"rollback": "false"}


def test_what_became_of_it_is_the_answer(console, patient, name):
    console.publish("rollouts.status", [made.status(name)])
    eventually(lambda: patient.get(f"/rollouts/{name}").status_code == 200)
    answers = []

    asking = threading.Thread(
        target=lambda: answers.append(patient.post(f"/rollouts/{name}/pause", json={"why": "look"}))
    )
    asking.start()
    eventually(lambda: requests_about(console.cluster, f"rollout/{name}"))
    console.publish("audit.log", [made.entry(f"rollout/{name}", "paused", who="admin")])
    asking.join(PATIENCE_S)

    assert (answers[0].status_code, answers[0].json()["action"]) == (200, "paused")


def test_a_repeat_with_the_same_key_is_done_once_and_answered_alike(console, operator, viewer, name):
    console.publish("rollouts.status", [made.status(name)])
    eventually(lambda: viewer.get(f"/rollouts/{name}").status_code == 200)
    key = {"Idempotency-Key": name}

    first = operator.post(f"/rollouts/{name}/pause", json={"why": "look"}, headers=key)
    again = operator.post(f"/rollouts/{name}/pause", json={"why": "look"}, headers=key)
    other = operator.post(f"/rollouts/{name}/resume", json={"why": "look"}, headers=key)

    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert (other.status_code, other.json()["type"]) == (422, "urn:driftline:problem:key-reused")
    assert len(requests_about(console.cluster, f"rollout/{name}")) == 1


def test_an_alert_is_found_by_its_id_and_only_a_firing_one_is_acknowledged(console, operator, viewer, name):
    alert = made.alert(f"{name}/odd name?#")
    console.publish("drift.alerts", [alert])
    from urllib.parse import quote

    path = f"/alerts/{quote(alert.alert_id, safe='')}"
    eventually(lambda: viewer.get(path).status_code == 200)

    taken = operator.post(f"{path}/acknowledge", json={})
    unknown = operator.post("/alerts/none/acknowledge", json={})

    assert (taken.status_code, unknown.status_code) == (202, 404)
    (request,) = requests_about(console.cluster, f"alert/{alert.alert_id}")
    assert request.action == "acknowledge"


def test_a_silence_is_listed_until_it_ends(console, operator, viewer, name):
    wanted = {"matchers": {"subject": f"{name}*"}, "minutes": 30, "why": "refitting"}

    operator.post("/silences", json=wanted)

    def mine():
        return [one for one in viewer.get("/silences").json()["items"] if one["matchers"] == wanted["matchers"]]

    (silence,) = eventually(mine)
    assert (silence["who"], silence["why"]) == ("operator", "refitting")


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        pytest.param("/rollouts", {"plan": {"rollout": "x"}}, "model", id="a plan without a model"),
        pytest.param("/silences", {"matchers": {}, "minutes": 5}, "matchers", id="a silence for everything"),
        pytest.param("/policies/check", {"document": "[floors]\npsi = 'x'"}, "floors.psi", id="a policy with a text"),
        pytest.param(
            "/policies/check", {"document": "[health.latency_ms]\ndetector = 'adwim'"}, "adwim", id="a policy of health"
        ),
        pytest.param("/rollouts/x/pause", {"wy": "typo"}, "wy", id="a field that nobody reads"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(operator, path, body, told):
    answer = operator.post(path, json=body)

    assert answer.status_code in (409, 422)
    assert told in answer.json()["detail"]


def test_a_silence_is_ended_before_its_time(console, operator, viewer, name):
    operator.post("/silences", json={"matchers": {"subject": name}, "minutes": 60}).raise_for_status()

    def held():
        return [one for one in viewer.get("/silences").json()["items"] if one["matchers"] == {"subject": name}]

    (silence,) = eventually(held)
    ended = operator.post(f"/silences/{silence['silence_id']}/end", json={"why": "it is mended"})

    assert ended.status_code == 202
    eventually(lambda: not held())
    (_, request) = requests_about(console.cluster, f"silence/{silence['silence_id']}")
    assert (request.action, request.who, request.why) == ("unsilence", "operator", "it is mended")
    assert operator.post("/silences/none/end", json={}).status_code == 404


def test_a_training_is_told_as_far_as_it_is(console, operator, viewer, name):
    asked = operator.post("/training", json={"model": name, "pipeline": "machine/1", "days": 7, "why": "new pumps"})
    request_id = asked.json()["request_id"]

    def state():
        answer = viewer.get(f"/training/{request_id}")
        return answer.json()["state"] if answer.status_code == 200 else None

    eventually(lambda: state() == "waiting")
    for action, why in (("started", "new pumps"), ("progressed", "fitted 3 of 5")):
        console.publish("audit.log", [made.training_note(request_id, action, why=why)])
    eventually(lambda: viewer.get(f"/training/{request_id}").json()["news"] == "fitted 3 of 5")
    assert state() == "running"

    operator.post(f"/training/{request_id}/cancel", json={"why": "wrong data"})
    console.publish("audit.log", [made.training_note(request_id, "cancelled", why="cancelled by operator")])

    eventually(lambda: state() == "cancelled")
    listed = viewer.get("/training", params={"state": "cancelled"}).json()["items"]
    assert [one["attempt"] for one in listed if one["request_id"] == request_id] == [1]


def test_a_release_goes_on_by_an_approvers_word_and_takes_the_champions_place(console, operator, viewer, name):
    releases = [made.release("1", model=name), made.release("2", model=name, stage=ReleaseStage.STAGING)]
    console.publish("models.releases", releases)
    eventually(lambda: viewer.get(f"/models/{name}/2").status_code == 200)
    with console.client(Role.APPROVER) as approver:
        refused = approver.post(f"/models/{name}/2/promote", json={"why": "better"})
        moved = approver.post(f"/models/{name}/2/promote", json={"why": "better", "insist": True})
        archived = approver.post(f"/models/{name}/2/archive", json={})

    assert operator.post(f"/models/{name}/2/promote", json={}).status_code == 403
    assert (refused.status_code, "was not compared" in refused.json()["detail"]) == (409, True)
    assert moved.json() == {"stages": {f"{name}/1": "archived", f"{name}/2": "production"}}
    assert "is in production" in archived.json()["detail"]
    eventually(lambda: viewer.get(f"/models/{name}/2").json()["stage"] == "production")
    noted = eventually(lambda: viewer.get("/audit", params={"subject": f"model/{name}/2"}).json()["items"])
    assert [(one["action"], one["who"], one["why"]) for one in noted] == [("moved_to_production", "approver", "better")]


def test_internals_of_the_controller_stay_inside(console, viewer, name):
    console.publish("rollouts.status", [made.status(name)])
    eventually(lambda: viewer.get(f"/rollouts/{name}").status_code == 200)

    assert "secret" not in viewer.get(f"/rollouts/{name}").text


def test_releases_are_compared_metric_by_metric(console, viewer, name):
    console.publish(
        "models.releases",
        [
            made.release("1", model=name, metrics={"auc": 0.91}),
            made.release("2", model=name, metrics={"auc": 0.95, "f1": 0.8}),
        ],
    )
    eventually(lambda: viewer.get(f"/models/{name}/2").status_code == 200)
    eventually(lambda: viewer.get(f"/models/{name}/1").status_code == 200)

    found = viewer.get("/models/compare", params={"a": f"{name}/1", "b": f"{name}/2"}).json()

    assert found["metrics"] == [{"name": "auc", "a": 0.91, "b": 0.95}, {"name": "f1", "a": None, "b": 0.8}]


def test_a_real_controller_starts_pauses_resumes_and_promotes_by_the_api(console, patient, tmp_path):
    """The whole way: a plan through the API, a controller that decides, gateways that obey, the view that shows it."""
    key = make_key(tmp_path / "controller.pem")
    signer = load_signer(f"file:{tmp_path / 'controller.pem'}", environ={})
    keyring = Keyring(keys=(pin("controller", key, Kind.COMMAND),))
    rollout = made.unique("r")
    site = made.unique("site")
    gateways = [SimulatedGateway(f"{rollout}-{i}", "bearings/1", {"site": site}) for i in range(4)]
    service = RolloutService(
        console.cluster,
        [signer],
        ServiceOptions(turn_s=0.05, controller=ControllerOptions(judge_every_ms=200, default_plan=None)),
    )
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        with SimulatedFleet(console.cluster, gateways, keyring):
            console.publish("models.releases", [made.release("7", model=rollout)])
            assert service.leads.wait(PATIENCE_S)
            eventually(lambda: patient.get("/devices", params={"label": f"site={site}"}).json()["total"] == 4)
            plan = {
                "rollout": rollout, "model": f"{rollout}/7", "strategy": "all-at-once", "cohort": f"site = '{site}'",
                "limits": {"bake_s": 600, "device_bake_s": 1},
            }  # fmt: skip

            foreseen = patient.post("/rollouts/foresee", json={"plan": plan})
            started = patient.post("/rollouts", json={"plan": plan, "why": "better"})
            eventually(
                lambda: patient.get(f"/rollouts/{rollout}").json().get("phase") == "baking", or_say=lambda: started.text
            )
            paused = patient.post(f"/rollouts/{rollout}/pause", json={"why": "look"})
            twice = patient.post(f"/rollouts/{rollout}/pause", json={"why": "look"})
            resumed = patient.post(f"/rollouts/{rollout}/resume", json={"why": "fine"})
            lifted = patient.post(f"/rollouts/{rollout}/lift", json={"trait": "hw=rev2", "why": "mended"})
            skipped = patient.post(f"/rollouts/{rollout}/skip-bake", json={"why": "in a hurry"})
            eventually(lambda: patient.get(f"/rollouts/{rollout}").json()["phase"] == "succeeded")
            devices = patient.get(f"/rollouts/{rollout}/devices").json()
    finally:
        service.stop()
        thread.join(PATIENCE_S)

    assert [len(stage["devices"]) for stage in foreseen.json()["stages"]] == [4]
    assert [answer.status_code for answer in (started, paused, resumed, skipped)] == [200] * 4, started.text
    assert (paused.json()["action"], paused.json()["who"]) == ("paused", "admin")
    assert (twice.status_code, twice.json()["type"]) == (409, "urn:driftline:problem:refused")
    assert (lifted.status_code, "set apart: none" in lifted.text) == (409, True)
    assert {one["state"] for one in devices["items"]} == {"succeeded"}


def test_a_policy_that_somebody_else_changed_meanwhile_is_not_issued_over(console, viewer, name):
    weak, strong = {"document": "[floors]\npsi = 0.06"}, {"document": "[floors]\npsi = 0.02"}
    with console.client(Role.APPROVER) as approver:
        unread = approver.put(f"/policies/{name}", json=weak, headers={"If-Match": "*"})
        approver.put(f"/policies/{name}", json=weak).raise_for_status()
        eventually(lambda: viewer.get(f"/policies/{name}").status_code == 200)
        read = viewer.get(f"/policies/{name}").headers["etag"]
        seen = viewer.get(f"/policies/{name}", headers={"If-None-Match": read})
        first = approver.put(f"/policies/{name}", json=strong, headers={"If-Match": read, "Idempotency-Key": name})
        eventually(lambda: viewer.get(f"/policies/{name}").json()["revision"] == 2)
        second = approver.put(f"/policies/{name}", json=weak, headers={"If-Match": read})
        again = approver.put(f"/policies/{name}", json=strong, headers={"If-Match": read, "Idempotency-Key": name})

    assert (read, seen.status_code) == ('"revision-1"', 304)
    assert (unread.status_code, first.json()["revision"], second.status_code) == (412, 2, 412)
    assert second.json()["type"] == "urn:driftline:problem:changed-meanwhile"
    # A repeat of what was done is no change.
    assert (again.status_code, again.json()["revision"]) == (200, 2)


def test_a_policy_is_issued_signed_and_named_in_the_audit_log(console, viewer, name):
    with console.client(Role.APPROVER) as approver:
        first = approver.put(f"/policies/{name}", json={"document": "[floors]\npsi = 0.06", "why": "less noise"})
        second = approver.put(f"/policies/{name}", json={"document": "[floors]\npsi = 0.07", "why": "even less"})

    assert [answer.json()["revision"] for answer in (first, second)] == [1, 2], first.text
    shown = eventually(lambda: (found := viewer.get(f"/policies/{name}").json()).get("revision") == 2 and found)
    assert (shown["issued_by"], shown["document"]) == ("approver", "[floors]\npsi = 0.07")
    about = {"subject": f"policy/{name}"}
    entries = eventually(lambda: viewer.get("/audit", params=about).json()["items"][1:] and viewer.get(
        "/audit", params=about).json()["items"])  # fmt: skip
    assert {one["who"] for one in entries} == {"approver"}


def test_a_backtest_is_started_followed_and_read(console, operator, name):
    """Over whatever the topics hold; that its verdicts are right is for the tests of backtests."""
    console.publish("models.grids", [made.GRID])
    console.publish("models.baselines", [made.baseline()])
    console.publish("telemetry.feature-stats", [made.window(name, [50, 50, 50, 50])])
    order = {"policies": {"stricter": "[floors]\npsi = 0.03"}, "hours": 1, "why": "late alarms"}

    started = operator.post("/backtests", json=order)
    meanwhile = operator.post("/backtests", json=order)
    found = eventually(lambda: (one := operator.get(started.headers["location"]).json())["state"] != "running" and one)

    assert (started.status_code, meanwhile.status_code) == (202, 409)
    assert found["state"] == "done", found
    assert found["summary"]["policies"]
    report = operator.get(f"{started.headers['location']}/report")
    assert report.text.lstrip().lower().startswith("<!doctype html")
    assert operator.get("/backtests/../keys").status_code in (403, 404)
