"""Live updates: who follows hears of every change, once, or is told that something was missed."""

import json
import threading

import console_fleet as made
import httpx2
from patience import PATIENCE_S, eventually

from console import Role
from console.live import Hub


class Stream:
    """One reader of /events, in a thread."""

    def __init__(self, console, role=Role.VIEWER, key=None, headers=None, **params):
        self.events, self.ended = [], threading.Event()
        self._client = httpx2.Client(
            base_url=console.url,
            headers={"Authorization": f"Bearer {key or console.keys[role]}", **(headers or {})},
            timeout=None,
        )
        self._params = params
        self._open = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._open.wait(PATIENCE_S)
        return self

    def __exit__(self, *_error):
        self._client.close()

    def _read(self):
        try:
            with self._client.stream("GET", "/events", params=self._params) as answer:
                event = {}
                for line in answer.iter_lines():
                    self._open.set()
                    name, _, value = line.partition(": ")
                    if name in ("id", "event", "data"):
                        event[name] = value
                    elif not line and event:
                        self.events.append(event)
                        event = {}
        except httpx2.HTTPError:
            pass
        finally:
            self._open.set()
            self.ended.set()

    def heard(self, kind, key):
        return [
            json.loads(event["data"])["value"]
            for event in self.events
            if event["event"] == kind and json.loads(event["data"])["key"] == key
        ]


def test_a_change_is_heard_as_the_api_would_show_it(console, viewer, name):
    alert = made.alert(name)
    with Stream(console) as stream:
        console.publish("drift.alerts", [alert])

        (heard,) = eventually(lambda: stream.heard("alert", alert.alert_id))

    eventually(lambda: viewer.get(f"/alerts/{alert.alert_id}").status_code == 200)
    assert heard == viewer.get(f"/alerts/{alert.alert_id}").json()


def test_only_what_was_asked_for_is_heard(console, name):
    with Stream(console, kinds="rollout") as stream:
        console.publish("drift.alerts", [made.alert(name)])
        console.publish("rollouts.status", [made.status(name)])
        eventually(lambda: stream.heard("rollout", name))

    assert {event["event"] for event in stream.events} == {"rollout"}


def test_scores_are_heard_by_those_who_look_at_the_device(console, name):
    other = made.unique("press")
    with Stream(console, device=name) as stream, Stream(console) as everybody:
        console.publish("drift.scores", [made.scores(other, {"x": 0.1}), made.scores(name, {"x": 0.3})])
        eventually(lambda: stream.heard("scores", name))
        console.publish("rollouts.status", [made.status(name)])
        eventually(lambda: everybody.heard("rollout", name))

    assert not stream.heard("scores", other)
    assert not any(event["event"] == "scores" for event in everybody.events)


def test_who_comes_back_hears_what_was_missed(console, name):
    with Stream(console, kinds="rollout") as stream:
        console.publish("rollouts.status", [made.status(f"{name}-1")])
        eventually(lambda: stream.heard("rollout", f"{name}-1"))
        last = stream.events[-1]["id"]
    console.publish("rollouts.status", [made.status(f"{name}-2")])
    with Stream(console, kinds="rollout") as witness:
        # Somebody else has heard it, so it is known to have passed.
        console.publish("rollouts.status", [made.status(f"{name}-3")])
        eventually(lambda: witness.heard("rollout", f"{name}-3"))

    with Stream(console, kinds="rollout", headers={"Last-Event-ID": last}) as again:
        eventually(lambda: again.heard("rollout", f"{name}-3"))

    assert len(again.heard("rollout", f"{name}-2")) == 1
    assert "reset" not in {event["event"] for event in again.events}


def test_an_id_of_another_life_of_the_console_is_answered_by_a_reset(console):
    with Stream(console, headers={"Last-Event-ID": "deadbeef-7"}) as stream:
        eventually(lambda: stream.events)

    assert stream.events[0]["event"] == "reset"


def test_who_loses_the_right_to_listen_is_cut_off(console, admin, name, monkeypatch):
    monkeypatch.setattr("console.api.events._BEAT_S", 0.3)
    key = admin.post("/keys", json={"name": name, "role": "viewer"}).json()
    with Stream(console, key=key["key"], kinds="policy") as stream:
        assert not stream.ended.wait(1.0)

        admin.delete(f"/keys/{key['key_id']}")

        assert stream.ended.wait(PATIENCE_S)


def test_unknown_kinds_are_answered_with_the_known_ones(viewer):
    answer = viewer.get("/events", params={"kinds": "weather"})

    assert answer.status_code == 422
    assert "known: alert, rollout" in answer.json()["detail"]


async def test_a_slow_reader_is_told_once_that_it_missed_something_and_goes_on(fleet_cluster):
    hub = Hub(fleet_cluster, cache_dir=None)
    with hub.listener(frozenset({"alert"})) as slow:
        for number in range(300):
            hub.tell("alert", str(number), "", {})
        frames = hub.frames(slow, beat_s=0.1)
        await anext(frames)

        told = await anext(frames)
        hub.tell("alert", "after", "", {})
        then = await anext(frames)

    assert b"event: reset" in told
    assert b'"key":"after"' in then
