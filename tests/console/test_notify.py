"""Notifications: the plan by itself, and then real mail, real HTTP and a real Kafka."""

import email
import json
import threading
from email import policy as email_policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import console_fleet as made
import pytest
from aiosmtpd.controller import Controller
from console_servers import free_port
from patience import PATIENCE_S, eventually

from console.notify import Notifier, NotifyConfig, Planner, Route
from console.notify.config import RoutesError, read_routes
from schemas.drift_alert import AlertState, Severity
from schemas.errors import DriftlineError

S = 1000
T0 = 1_780_000_000_000


def planner(**route):
    return Planner(NotifyConfig(routes=(Route(name="r", to=("json://x",), **{"wait_s": 10, **route}),)))


def alert(subject="press-1", state=AlertState.FIRING, **more):
    return made.alert(subject, state=state, opened_ms=T0, **more)


def whys(due):
    return [(one.why, [alert.subject for alert in one.alerts]) for one in due]


def test_alerts_of_a_group_are_one_message_after_they_gathered():
    plan = planner(group_by=("site",))
    plan.take(alert("press-1"), T0)
    plan.take(alert("press-2"), T0 + 5 * S)
    plan.take(alert("press-3", labels={"site": "south"}), T0 + 5 * S)

    assert plan.due(T0 + 9 * S) == []
    assert whys(plan.due(T0 + 10 * S)) == [("news", ["press-1", "press-2"])]
    assert whys(plan.due(T0 + 15 * S)) == [("news", ["press-3"])]


def test_what_was_told_is_not_told_again_until_it_repeats():
    plan = planner(repeat_s=3600)
    plan.take(alert(), T0)
    plan.due(T0 + 10 * S)
    plan.take(alert(), T0 + 60 * S)

    assert plan.due(T0 + 3000 * S) == []
    assert whys(plan.due(T0 + 3610 * S)) == [("repeat", ["press-1"])]
    assert plan.due(T0 + 3611 * S) == []


def test_the_end_of_what_was_told_is_told_and_of_the_rest_is_not():
    plan = planner()
    plan.take(alert("press-1"), T0)
    plan.due(T0 + 10 * S)

    plan.take(alert("press-1", state=AlertState.RESOLVED), T0 + 20 * S)
    plan.take(alert("press-2", state=AlertState.FIRING), T0 + 20 * S)
    plan.take(alert("press-2", state=AlertState.RESOLVED), T0 + 21 * S)

    assert whys(plan.due(T0 + 40 * S)) == [("end", ["press-1"])]
    assert plan.due(T0 + 999_999 * S) == []


@pytest.mark.parametrize(
    "quiet",
    [
        pytest.param({"state": AlertState.ACKNOWLEDGED}, id="acknowledged"),
        pytest.param({"state": AlertState.PENDING}, id="pending"),
        pytest.param({"silenced": True}, id="silenced"),
        pytest.param({"severity": Severity.LOW}, id="less grave than the route wants"),
        pytest.param({"labels": {"site": "south"}}, id="of another site"),
    ],
)
def test_nobody_is_woken_for_what_is(quiet):
    plan = planner(severity=Severity.MEDIUM, match={"site": "north*"}, escalate_to=("json://boss",), repeat_s=60)
    plan.take(alert(**quiet), T0)

    assert plan.due(T0 + 100_000 * S) == []


def test_a_silence_that_ends_lets_the_alert_be_told():
    plan = planner()
    plan.take(alert(silenced=True), T0)
    plan.due(T0 + 60 * S)
    plan.take(alert(), T0 + 3600 * S)

    assert whys(plan.due(T0 + 3610 * S)) == [("news", ["press-1"])]


def test_what_nobody_acknowledges_escalates_once():
    plan = planner(escalate_to=("json://boss",), escalate_after_s=900)
    plan.take(alert("press-1"), T0)
    plan.take(alert("press-2"), T0)
    plan.due(T0 + 10 * S)
    plan.take(alert("press-2", state=AlertState.ACKNOWLEDGED), T0 + 60 * S)

    due = plan.due(T0 + 900 * S)

    assert whys(due) == [("escalation", ["press-1"])]
    assert due[0].to == ("json://boss",)
    assert plan.due(T0 + 1800 * S) == []


def test_the_first_route_that_fits_takes_it_unless_it_lets_it_go_on():
    first = Route(name="first", to=("json://a",), wait_s=0, go_on=True, severity=Severity.CRITICAL)
    rest = [Route(name=name, to=("json://b",), wait_s=0) for name in ("second", "third")]
    plan = Planner(NotifyConfig(routes=(first, *rest)))
    plan.take(alert(severity=Severity.CRITICAL), T0)

    assert [one.route for one in plan.due(T0)] == ["first", "second"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("", "route: found [], wanted at least one", id="nothing"),
        pytest.param('[[route]]\nname = "a"', "route 1: found ['name'], wanted name and to", id="nobody to tell"),
        pytest.param('[[route]]\nname="a"\nto=["json://x"]\nseverty="high"', "route 1.severty", id="a typing slip"),
        pytest.param('[[route]]\nname="a"\nto=["x"]\nseverity="huge"', "wanted one of low, medium", id="severity"),
        pytest.param('[[route]]\nname="a"\nto=["x"]\nwait_s=-1', "wanted seconds, 0 or more", id="negative time"),
        pytest.param("][", "file: found", id="no TOML"),
    ],
)  # fmt: skip
def test_a_routes_file_that_cannot_be_meant_is_refused_by_key(text, told):
    with pytest.raises(RoutesError) as refused:
        read_routes(text)

    assert told in str(refused.value)


def test_addresses_are_checked_at_the_start_and_never_printed(fleet_cluster):
    config = NotifyConfig(routes=(Route(name="night", to=("nosuch://bot:hunter2@x",)),))

    with pytest.raises(DriftlineError) as refused:
        Notifier(fleet_cluster, config)

    assert "route 'night', address 1" in str(refused.value)
    assert "hunter2" not in str(refused.value) + repr(config)


class Inbox:
    """A mail server that keeps what it gets."""

    def __init__(self):
        self.mails = []
        self._controller = Controller(self, hostname="127.0.0.1", port=free_port())
        self._controller.start()
        self.port = self._controller.port

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - aiosmtpd's name.
        self.mails.append(email.message_from_bytes(envelope.content, policy=email_policy.default))
        return "250 OK"

    def close(self):
        self._controller.stop()


class Hook:
    """A web server that keeps what is posted, after failing as often as it is told to."""

    def __init__(self, failures=0):
        self.posts, self.failures = [], failures
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                failed = hook.failures > 0
                hook.failures -= failed
                if not failed:
                    hook.posts.append(body)
                self.send_response(500 if failed else 200)
                self.end_headers()

            def log_message(self, *_args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def inbox():
    inbox = Inbox()
    yield inbox
    inbox.close()


@pytest.fixture
def hook():
    hook = Hook(failures=1)
    yield hook
    hook.close()


def test_mail_and_webhook_and_a_handler_of_ones_own_are_told_and_failures_tried_again(
    console, fleet_cluster, viewer, inbox, hook, name
):
    handled = []
    routes = f"""
        url = "http://console.plant7:8000"
        [[route]]
        name = "night"
        match = {{ subject = "{name}*" }}
        group_by = []
        wait_s = 0
        to = ["mailto://127.0.0.1:{inbox.port}?from=bot@plant.example&to=night@plant.example&mode=insecure",
              "json://127.0.0.1:{hook.port}/alerts", "handler://own"]
    """
    notifier = Notifier(
        fleet_cluster, read_routes(routes), handlers={"own": lambda due, title, _text: handled.append(title) or True}
    )
    thread = threading.Thread(target=notifier.run)
    thread.start()
    try:
        console.publish("drift.alerts", [made.alert(f"{name}<b>")])
        eventually(lambda: inbox.mails and hook.posts and handled)
        said = eventually(
            lambda: [
                one
                for one in viewer.get("/audit", params={"who": "notify"}).json()["items"]
                if one["subject"].startswith(f"alert/{name}")
            ]
        )
    finally:
        notifier.stop()
        thread.join(PATIENCE_S)

    assert not thread.is_alive()
    assert inbox.mails[0]["subject"].startswith(f"[driftline] high mean_shift of {name}")
    assert inbox.mails[0]["to"] == "night@plant.example"
    assert f"/#/device/{name}%3Cb%3E" in hook.posts[0]["message"]
    assert len(handled) == len(inbox.mails) == len(hook.posts) == 1
    assert {one["action"] for one in said} == {"notified"}
    assert notifier.given_up == 0


def test_a_restart_does_not_tell_again_what_was_told_long_ago(console, fleet_cluster, hook, name, monkeypatch):
    monkeypatch.setattr("console.notify.worker._FRESH_MS", 0)
    hook.failures = 0
    console.publish("drift.alerts", [made.alert(f"{name}-old")])
    route = Route(name="r", to=(f"json://127.0.0.1:{hook.port}",), match={"subject": f"{name}*"}, wait_s=0)
    notifier = Notifier(fleet_cluster, NotifyConfig(routes=(route,)))
    thread = threading.Thread(target=notifier.run)
    thread.start()
    try:
        eventually(lambda: notifier.waiting() == [])
        console.publish("drift.alerts", [made.alert(f"{name}-new")])
        eventually(lambda: hook.posts)
    finally:
        notifier.stop()
        thread.join(PATIENCE_S)

    assert [f"{name}-new" in post["title"] for post in hook.posts] == [True]
