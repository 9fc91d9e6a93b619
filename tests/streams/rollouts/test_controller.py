"""The controller without Kafka: who is told what, across rollouts, devices and operators."""

import json
import uuid

import pytest
from rollout_records import ack_of, asked, heartbeat, release

from schemas.drift_alert import AlertState
from schemas.fleet import DeviceState
from schemas.record import changed
from schemas.release import ReleaseStage
from streams.rollouts.controller import Controller, ControllerOptions
from streams.rollouts.restore import Published, restore
from streams.rollouts.rings import ring_position

BOOT = "00000000-0000-4000-8000-000000000000"
QUICK = {"strategy": "all-at-once", "limits": {"bake_s": 0, "retries": 0, "concurrency": 100}}


class Desk:
    """Plays everything around a controller, and keeps what it wrote."""

    def __init__(self, **options):
        self.controller = Controller(ControllerOptions(**{"default_plan": None, **options}))
        self.now_ms = 1_000_000
        self.written = {}
        self.audit = []
        self.commands = []

    def hear(self, record):
        self.controller.digest(record, self.now_ms)
        return self.turn()

    def turn(self):
        while self.controller.pass_time(self.now_ms):
            self.collect()
        self.collect()
        return self

    def collect(self):
        for write in self.controller.take_writes({}):
            self.written[write.topic, write.key] = write.record
            if write.topic == "audit.log":
                self.audit.append(write.record)
            if write.topic == "rollouts.commands":
                self.commands.append((write.key, write.record and write.record.model_id))

    def wait(self, seconds, *, beating=()):
        for _ in range(seconds // 60):
            self.now_ms += 60_000
            for device_id in beating:
                self.beat(device_id)
            self.turn()
        return self

    def beat(self, device_id, model_id="bearings/1", **labels):
        known = self.controller.fleet.get(device_id)
        model_id = known.model_id if known is not None and known.model_id else model_id
        return self.hear(heartbeat(device_id, model_id, labels=labels or (dict(known.labels) if known else {})))

    def release(self, model_id, stage=ReleaseStage.STAGING, pipeline="vibration/1"):
        return self.hear(release(model_id, stage, pipeline=pipeline))

    def ask(self, subject, action, request_id=None, **arguments):
        named = {"request_id": request_id} if request_id else {}
        return self.hear(asked(subject, action, arguments, **named))

    def start(self, rollout_id, model_id, **document):
        document = {**QUICK, "rollout": rollout_id, "model": model_id, **document}
        return self.ask(f"rollout/{rollout_id}", "start", document=document)

    def ack(self, device_id, phase="succeeded", *, revision=None, rollout_id=None):
        command = self.written["rollouts.commands", device_id]
        revision = command.revision if revision is None else revision
        return self.hear(ack_of(device_id, revision, phase, rollout_id or command.rollout_id))

    def phase(self, rollout_id):
        return self.written["rollouts.status", rollout_id].phase.value

    def row(self, rollout_id, device_id):
        return self.written["rollouts.devices", f"{rollout_id}/{device_id}"].state.value

    def told(self, device_id):
        return [model for device, model in self.commands if device == device_id]

    def alert(self, alert_id):
        return self.written["drift.alerts", alert_id].state

    def heir(self):
        """Return a desk whose controller has taken over from what was written."""
        heir = Desk()
        heir.controller, heir.now_ms = Controller(self.controller.options), self.now_ms
        restore(heir.controller, published(self), now_ms=self.now_ms)
        return heir


@pytest.fixture
def desk():
    desk = Desk()
    for number in (1, 2, 3):
        desk.release(f"bearings/{number}")
    return desk.beat("a").beat("b")


def test_a_command_says_what_to_fetch_and_how(desk):
    desk.start("r1", "bearings/2", limits={**QUICK["limits"], "device_bake_s": 7, "window": "02:00-04:00"})

    command = desk.written["rollouts.commands", "a"]
    assert (command.revision, command.bundle_url) == (1, "https://models.example/2")
    assert command.settings == {"bake_s": "7", "maintenance": "02:00-04:00"}


def test_a_newer_plan_takes_a_device_over_in_mid_download(desk):
    desk.start("r2", "bearings/2").ack("a", "downloading")
    old = desk.written["rollouts.commands", "a"].revision

    desk.start("r3", "bearings/3")
    desk.ack("a", "succeeded", revision=old, rollout_id="r2")

    assert desk.told("a") == ["bearings/2", "bearings/3"]
    assert (desk.phase("r2"), desk.row("r2", "a"), desk.row("r3", "a")) == ("superseded", "superseded", "commanded")
    assert desk.controller.ignored["ack of an older command"] == 1
    # It never ran 2 soundly: what 3 would go back to is 1.
    desk.ack("a", "failed").ack("b", "failed")
    assert desk.told("a")[-1] == "bearings/1"


def test_a_broken_rollout_does_not_block_its_fix(desk):
    desk.start("r2", "bearings/2").ack("a", "failed")
    assert desk.phase("r2") == "rolling_back"

    desk.start("r3", "bearings/3").ack("a").ack("b")

    assert desk.phase("r3") == "succeeded"
    assert desk.told("b") == ["bearings/2", "bearings/1", "bearings/3"]


def test_devices_return_to_what_each_of_them_ran(desk):
    desk.start("r2", "bearings/2", cohort=["a"]).ack("a")
    assert desk.phase("r2") == "succeeded"

    desk.start("r3", "bearings/3").ack("a").ack("b", "failed")

    assert (desk.told("a")[-1], desk.told("b")[-1]) == ("bearings/2", "bearings/1")
    revisions = [desk.written["rollouts.commands", device_id].revision for device_id in "ab"]
    assert revisions == [3, 2]


def test_an_absentee_takes_what_counts_when_it_returns(desk):
    desk.wait(180, beating=["a"])
    assert desk.written["fleet.devices", "b"].state is DeviceState.OFFLINE
    desk.start("r2", "bearings/2", limits={**QUICK["limits"], "offline_share": 0.5}).ack("a")
    assert (desk.phase("r2"), desk.told("b")) == ("succeeded", [])

    desk.beat("b")

    assert desk.told("b") == ["bearings/2"]
    desk.ack("b")
    assert (desk.phase("r2"), desk.row("r2", "b")) == ("succeeded", "succeeded")


def test_an_absentee_of_two_rollouts_takes_only_the_newer(desk):
    desk.wait(180, beating=["a"])
    limits = {**QUICK["limits"], "offline_share": 0.5}
    desk.start("r2", "bearings/2", limits=limits).ack("a")
    desk.start("r3", "bearings/3", limits=limits).ack("a")
    assert (desk.phase("r2"), desk.phase("r3")) == ("succeeded", "succeeded")

    desk.beat("b").ack("b")

    assert desk.told("b") == ["bearings/3"]


def test_a_new_device_takes_the_model_of_the_last_rollout(desk):
    desk.start("r2", "bearings/2").ack("a").ack("b")

    desk.beat("late")

    assert desk.told("late") == ["bearings/2"]


def test_a_silent_device_raises_an_alert_that_ends_when_it_is_heard(desk):
    desk.wait(120, beating=["a"])
    assert ("drift.alerts", "device/b/device_offline") not in desk.written
    desk.wait(60, beating=["a"])
    fires = desk.alert("device/b/device_offline")
    desk.ask("alert/device/b/device_offline", "acknowledge")
    acknowledged = desk.alert("device/b/device_offline")

    desk.beat("b")

    assert (fires, acknowledged) == (AlertState.FIRING, AlertState.ACKNOWLEDGED)
    assert desk.alert("device/b/device_offline") is AlertState.RESOLVED


def test_a_failed_rollout_raises_an_alert(desk):
    desk.start("r2", "bearings/2").ack("a", "failed")

    assert desk.alert("rollout/r2/rollout_failed") is AlertState.FIRING


def test_a_device_that_cannot_run_the_pipeline_is_not_in_the_rollout(desk):
    desk.release("other/1", pipeline="weather/1").start("r9", "other/1")

    assert desk.commands == []
    assert desk.phase("r9") == "scheduled"


def test_a_revoked_device_is_told_nothing_any_more(desk):
    desk.ask("device/b", "revoke").start("r2", "bearings/2")

    assert (desk.told("a"), desk.told("b")) == (["bearings/2"], [])
    desk.beat("b")
    assert desk.written["fleet.devices", "b"].state is DeviceState.REVOKED


def test_a_device_that_is_revoked_in_mid_rollout_is_not_even_rolled_back(desk):
    desk.start("r2", "bearings/2").ask("device/b", "revoke").ack("a", "failed")

    assert desk.told("b") == ["bearings/2"]


def test_labels_decide_at_any_time_who_belongs(desk):
    desk.start("r2", "bearings/2", cohort="site:north")
    assert desk.commands == []

    desk.ask("device/b", "label", site="north")

    assert desk.commands == [("b", "bearings/2")]
    assert desk.written["fleet.devices", "b"].operator_labels == {"site": "north"}


def test_what_operators_say_wins_over_what_the_device_says(desk):
    desk.ask("device/a", "label", hw="rev9").beat("a", hw="rev2", region="eu")

    assert desk.written["fleet.devices", "a"].labels == {"hw": "rev9", "region": "eu"}
    desk.ask("device/a", "label", hw="").beat("a", hw="rev2")
    assert desk.written["fleet.devices", "a"].labels == {"hw": "rev2"}


def test_the_higher_priority_goes_first_and_the_other_waits(desk):
    desk.release("other/1").start("low", "other/1", limits={**QUICK["limits"], "concurrency": 1})
    first = desk.commands[0][0]
    second = {"a": "b", "b": "a"}[first]

    desk.start("high", "bearings/2", priority=5)

    assert desk.told(second) == ["bearings/2"]
    assert desk.row("low", first) == "superseded"
    desk.ack(first).ack(second)
    assert desk.phase("high") == "succeeded"


def test_equal_priority_is_first_come(desk):
    desk.release("other/1").start("first", "other/1").start("second", "bearings/2")
    assert desk.told("a") == ["other/1"]

    desk.ack("a").ack("b")

    assert desk.phase("first") == "succeeded"
    assert desk.told("a") == ["other/1", "bearings/2"]


@pytest.mark.parametrize(("auto_updates", "told"), [(True, ["bearings/4"]), (False, [])])
def test_a_standing_plan_starts_by_itself_unless_it_says_not_to(desk, auto_updates, told):
    desk.start("always", "bearings", standing=True, auto_updates=auto_updates)

    desk.release("bearings/4", ReleaseStage.STAGING).release("bearings/4", ReleaseStage.PRODUCTION)
    desk.release("bearings/4", ReleaseStage.PRODUCTION)

    assert desk.told("a") == told


def test_a_release_whose_version_no_rollout_can_be_named_after_is_left_alone_and_said_so(desk):
    desk.start("standing", "bearings", standing=True)

    desk.hear(release("bearings/9", ReleaseStage.PRODUCTION, version="9/9"))

    assert (desk.audit[-1].subject, desk.audit[-1].action) == ("model/bearings", "left alone")
    assert "found 'standing-9/9', wanted a name without '/'" in desk.audit[-1].why


def test_a_release_that_comes_before_any_device_waits_for_one_and_then_goes_by_its_plan():
    desk = Desk().release("bearings/1")
    desk.start("always", "bearings", standing=True, strategy={"kind": "canary", "percent": [50, 100]})
    desk.release("bearings/2", ReleaseStage.PRODUCTION)
    assert desk.phase("always-2") == "scheduled"

    # These two stand on the two halves of the ring of this plan.
    first, second = sorted(("a", "b", "c", "d"), key=lambda device_id: ring_position("always-2", device_id))[::3]
    desk.beat(second).beat(first)

    assert desk.told(first) == desk.told(second) == ["bearings/2"]
    desk.ack(first).ack(second)
    assert (desk.phase("always-2"), desk.written["rollouts.status", "always-2"].stage) == ("succeeded", 1)


def test_of_two_releases_that_come_before_any_device_the_newer_counts():
    desk = Desk().start("always", "bearings", standing=True)
    desk.release("bearings/2", ReleaseStage.PRODUCTION).release("bearings/3", ReleaseStage.PRODUCTION)

    desk.beat("a")

    assert (desk.phase("always-2"), desk.told("a")) == ("superseded", ["bearings/3"])


def test_a_settled_rollout_leaves_the_memory_when_nothing_of_it_is_awaited(desk):
    desk.start("r2", "bearings/2").ack("a", "failed")
    desk.ack("b").ack("a")
    assert desk.phase("r2") == "rolled_back"
    desk.wait(86_400, beating=["a", "b"])

    assert "r2" not in desk.controller.rollouts
    desk.ask("rollout/r2", "retry")
    assert "was settled and put away" in desk.audit[-1].why
    desk.start("r2", "bearings/2")
    assert "is there already" in desk.audit[-1].why
    desk.ack("a", "trial")
    assert desk.controller.ignored["ack of an unknown device or rollout"] == 1


def test_what_succeeded_stays_for_late_joiners_until_a_newer_one_takes_them(desk):
    desk.start("r2", "bearings/2").ack("a").ack("b").wait(90_000, beating=["a", "b"])
    assert "r2" in desk.controller.rollouts
    desk.beat("late").ack("late")
    assert desk.told("late") == ["bearings/2"]

    desk.start("r3", "bearings/3").ack("a").ack("b").ack("late").wait(60, beating=["a", "b", "late"])

    assert list(desk.controller.rollouts) == ["r3"]


def test_what_succeeded_for_others_stays_beside_a_newer_one(desk):
    desk.start("r2", "bearings/2", cohort=["b"]).ack("b")
    desk.start("r3", "bearings/3", cohort=["a"]).ack("a").wait(90_000, beating=["a", "b"])

    assert list(desk.controller.rollouts) == ["r2", "r3"]


def test_a_release_that_succeeds_resolves_the_alerts_of_those_that_failed(desk):
    desk.start("r2", "bearings/2").ack("a", "failed")

    desk.start("r3", "bearings/3").ack("a").ack("b")

    assert desk.alert("rollout/r2/rollout_failed") is AlertState.RESOLVED


def test_who_goes_back_does_not_wait_for_a_maintenance_window(desk):
    desk.start("r2", "bearings/2", limits={**QUICK["limits"], "window": True}).ack("a")
    there = desk.written["rollouts.commands", "a"].settings
    desk.ack("b", "failed")

    back = desk.written["rollouts.commands", "a"].settings
    assert (there["maintenance"], "maintenance" in back) == ("02:00-04:00", False)


def test_without_a_standing_plan_the_default_one_counts():
    desk = Desk(default_plan=QUICK).beat("a").release("bearings/2", ReleaseStage.PRODUCTION)

    assert desk.told("a") == ["bearings/2"]
    assert desk.phase("bearings-2") == "running"


def test_a_repeated_request_is_done_once(desk):
    once = str(uuid.uuid4())
    desk.start("r2", "bearings/2").ask("rollout/r2", "pause", once).ask("rollout/r2", "resume")

    desk.ask("rollout/r2", "pause", once)

    assert desk.phase("r2") == "running"


@pytest.mark.parametrize(
    ("subject", "action", "arguments", "why"),
    [
        ("rollout/nobody", "pause", {}, "no rollout 'nobody' is known"),
        ("rollout/r2", "explode", {}, "unknown action 'explode'; known: start, pause"),
        ("rollout/r2", "promote", {"full": "maybe"}, "full is 'maybe', wanted true or false"),
        ("rollout/r2", "resume", {}, "cannot resume a rollout that is running"),
        ("rollout/r2", "start", {"document": "{"}, "the plan is no JSON"),
        ("rollout/r2", "start", {"document": "[" * 100_000}, "the plan is no JSON"),
        ("rollout/r8", "start", {"document": '{"rollout": "r8", "salt": "\\ud800"}'}, "wanted valid Unicode"),
        ("rollout/r2", "start", {"document": '{"rollout": "r7"}'}, "the plan is not that of rollout 'r2'"),
        ("rollout/r8", "start", {"document": '{"rollout": "r8", "model": "x/1"}'}, "no release 'x/1' is known"),
        ("rollout/r2", "start", {"document": '{"rollout": "r2", "model": "bearings/2"}'}, "is there already"),
        ("device/nobody", "label", {"a": "b"}, "no device 'nobody' is registered"),
        ("device/a", "explode", {}, "unknown action 'explode'; known: register"),
        ("device/", "register", {}, "the device is '', wanted 1 to 200 characters, none of them a slash"),
        ("device/../a", "register", {}, "the device is '../a', wanted 1 to 200 characters, none of them a slash"),
        ("alert/rollout/r2/rollout_failed", "acknowledge", {}, "does not fire"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_reason(desk, subject, action, arguments, why):
    desk.start("r2", "bearings/2")

    desk.ask(subject, action, **arguments)

    assert desk.audit[-1].action == f"refused to {action}"
    assert why in desk.audit[-1].why
    assert desk.audit[-1].evidence == {"asked_by": "eve"}


def test_strangers_are_not_taken_in_where_registration_is_wanted():
    desk = Desk(admit_unknown=False).beat("a")
    assert ("fleet.devices", "a") not in desk.written

    desk.ask("device/a", "register", hw="rev2").beat("a")

    assert desk.written["fleet.devices", "a"].state is DeviceState.ONLINE


def test_every_decision_is_in_the_audit_log_with_its_evidence(desk):
    desk.start("r2", "bearings/2").ack("a").ack("b", "failed").ack("a").ack("b")

    told = [(entry.action, entry.who) for entry in desk.audit if entry.subject == "rollout/r2"]
    assert told == [
        ("accepted", "eve"),
        ("started", "rollouts"),
        ("rolling back", "rollouts"),
        ("rolled back", "rollouts"),
    ]
    rolling = next(entry for entry in desk.audit if entry.action == "rolling back")
    assert rolling.evidence == {"stage": "all", "succeeded": "1", "failed": "1"}


def test_the_same_records_give_the_same_writes():
    def history():
        desk = Desk().release("bearings/2").beat("a").beat("b").start("r2", "bearings/2").ack("a").ack("b", "failed")
        return desk.written

    assert history() == history()


def test_a_successor_does_not_catch_a_new_device_up_on_an_older_rollout(desk):
    desk.start("r2", "bearings/2").ack("a").ack("b").start("r3", "bearings/3").ack("a").ack("b")
    desk.beat("late").ack("late")
    assert desk.told("late") == ["bearings/3"]

    heir = Desk()
    records = {}
    for (topic, _), record in desk.written.items():
        records.setdefault(topic, []).append(record)
    restore(
        heir.controller,
        Published(
            devices=records["fleet.devices"],
            plans=records["rollouts.plans"],
            statuses={status.rollout_id: status for status in records["rollouts.status"]},
            rows=records["rollouts.devices"],
            releases=desk.controller.releases.values(),
        ),
        now_ms=desk.now_ms,
    )
    heir.turn()

    assert heir.commands == []


def test_of_two_successes_the_later_one_counts_for_a_successor_too(desk):
    desk.release("other/1").wait(300)
    desk.start("r1", "bearings/2").start("r2", "other/1")
    for rollout_id in ("r2", "r1"):
        desk.now_ms += 1
        desk.ask(f"rollout/{rollout_id}", "promote")

    heir = desk.heir()

    assert [desk.phase("r1"), desk.phase("r2")] == ["succeeded", "succeeded"]
    for each in (desk, heir):
        each.beat("a").beat("late")
        assert (each.told("a"), each.told("late")) == (["bearings/2"], ["bearings/2"])


def test_who_comes_into_a_newer_success_is_not_waited_for_by_an_older_one(desk):
    desk.release("other/1").wait(300)
    for rollout_id, model_id, cohort in (("r1", "other/1", "all"), ("r2", "bearings/2", "site:north")):
        desk.now_ms += 1
        desk.ask("device/b", "label", site="north")
        desk.start(rollout_id, model_id, cohort=cohort).ask(f"rollout/{rollout_id}", "promote")

    desk.ask("device/a", "label", site="north")

    heir = desk.heir()
    for each in (desk, heir):
        assert each.beat("a").told("a") == ["bearings/2"]


def test_a_rollout_that_is_tried_again_has_the_devices_that_belong_to_it_by_then(desk):
    desk.ask("device/b", "label", site="north")
    desk.start("r1", "bearings/2", cohort="site:north").ask("rollout/r1", "abort", rollback="false")
    desk.ask("device/b", "label", site="").ask("device/a", "label", site="north")

    desk.ask("rollout/r1", "retry")

    assert desk.commands[-1] == ("a", "bearings/2")
    assert desk.phase("r1") == "running"
    assert desk.written["rollouts.status", "r1"].devices == {"commanded": 1, "left": 1}


# ---- labels that change while a rollout goes on ----

RINGS = {"kind": "rings", "rings": [{"name": "lab", "where": "ring:lab"}, {"name": "full", "percent": 100}]}


def stages(desk, rollout_id="r1"):
    return {member.device_id: member.stage for member in desk.controller.rollouts[rollout_id].members}


def test_who_is_labelled_anew_takes_the_ring_that_its_labels_now_say(desk):
    desk.ask("device/a", "label", ring="lab").start("r1", "bearings/2", strategy=RINGS)

    desk.ask("device/b", "label", ring="lab")

    assert stages(desk) == stages(desk.heir()) == {"a": 0, "b": 0}
    assert desk.commands == [("a", "bearings/2"), ("b", "bearings/2")]


def test_who_was_told_stays_in_its_stage_whatever_it_is_labelled(desk):
    desk.ask("device/a", "label", ring="lab").start("r1", "bearings/2", strategy=RINGS)

    desk.ask("device/a", "label", ring="office")

    assert stages(desk) == stages(desk.heir()) == {"a": 0, "b": 1}


@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param({"limits": {"min_devices": 2, "concurrency": 1}}, id="for the least number"),
        pytest.param({"stratify": ["hw"]}, id="for its kind"),
    ],
)
def test_a_successor_knows_whom_a_stage_took_beyond_its_share(desk, chosen):
    desk.ask("device/a", "label", hw="rev1").ask("device/b", "label", hw="rev2")
    desk.start("r1", "bearings/2", strategy={"kind": "canary", "percent": [0, 100]}, **chosen)
    # Before either of them on the ring, where a fresh reckoning would put it first.
    first = min(ring_position("r1", "a"), ring_position("r1", "b"))
    early = next(f"n{number}" for number in range(1_000) if ring_position("r1", f"n{number}") < first)
    desk.beat(early, hw="rev1")

    assert stages(desk) == stages(desk.heir()) == {"a": 0, "b": 0, early: 1}


def test_a_successor_counts_revisions_on_though_only_the_rows_say_how_far_they_came(desk):
    desk.start("r1", "bearings/2")
    assert desk.written["fleet.devices", "a"].revision == 0

    heir = desk.heir().start("r2", "bearings/3")

    assert heir.written["rollouts.commands", "a"].revision == 2


# ---- rows that are over ----


def rows(desk):
    return sorted(key for (topic, key), record in desk.written.items() if topic == "rollouts.devices" and record)


def published(desk):
    def of(topic):
        return {key: record for (name, key), record in desk.written.items() if name == topic and record is not None}

    return Published(
        devices=of("fleet.devices").values(),
        plans=of("rollouts.plans").values(),
        statuses=of("rollouts.status"),
        rows=of("rollouts.devices").values(),
        releases=list(desk.controller.releases.values()),
        alerts=of("drift.alerts").values(),
    )


def test_what_devices_did_in_an_old_rollout_is_forgotten_and_its_audit_stays(desk):
    desk.start("r1", "bearings/2").ask("rollout/r1", "abort", rollback="false")
    assert rows(desk) == ["r1/a", "r1/b"]

    desk.wait(2 * 86_400, beating="ab")

    assert rows(desk) == []
    assert desk.written["rollouts.devices", "r1/a"] is None
    assert desk.phase("r1") == "aborted"
    assert sum(desk.written["rollouts.status", "r1"].devices.values()) == 2
    assert [entry.action for entry in desk.audit if entry.subject == "rollout/r1"][:2] == ["accepted", "started"]


def test_rows_of_a_success_stay_until_a_newer_one_has_taken_its_place(desk):
    desk.start("r1", "bearings/2").ack("a").ack("b").wait(2 * 86_400, beating="ab")
    kept = rows(desk)

    desk.start("r2", "bearings/3").ack("a").ack("b").wait(2 * 86_400, beating="ab")

    assert kept == ["r1/a", "r1/b"]
    assert rows(desk) == ["r2/a", "r2/b"]


def test_revisions_outlive_the_rows_that_said_them(desk):
    # Registered and never heard from: nothing else has it published.
    desk.ask("device/c", "register").start("r1", "bearings/2", cohort="device_id:c")
    desk.ask("rollout/r1", "abort", rollback="false").wait(2 * 86_400)
    assert rows(desk) == []

    heir = desk.heir().start("r2", "bearings/3", cohort="device_id:c")

    assert heir.written["rollouts.commands", "c"].revision == 2


def test_a_successor_forgets_what_its_predecessor_had_no_time_to(desk):
    desk.start("r1", "bearings/2").ask("rollout/r1", "abort", rollback="false")
    desk.start("r2", "bearings/3").ack("a").ack("b")
    left = published(desk)

    desk.controller = Controller(desk.controller.options)
    desk.now_ms += 2 * 86_400_000
    restore(desk.controller, left, now_ms=desk.now_ms)
    desk.turn()

    assert rows(desk) == ["r2/a", "r2/b"]
    assert list(desk.controller.rollouts) == ["r2"]


def test_a_plan_that_todays_rules_refuse_ends_its_rollout_and_no_other(desk):
    desk.release("other/1").start("r1", "bearings/2", cohort="device_id:a").start("r2", "other/1", cohort="device_id:b")
    plan = desk.written["rollouts.plans", "r1"]
    desk.written["rollouts.plans", "r1"] = changed(plan, document=json.dumps({**json.loads(plan.document), "old": 1}))

    heir = desk.heir().turn()

    assert list(heir.controller.rollouts) == ["r2"]
    assert heir.phase("r1") == "aborted"
    assert heir.written["rollouts.status", "r1"].reason.startswith("plan: old: found a key that is not")
    assert [(entry.subject, entry.action) for entry in heir.audit] == [("rollout/r1", "given up")]
    assert "there already" in heir.start("r1", "bearings/2").audit[-1].why
    # The next one finds it ended.
    desk.written |= heir.written
    assert desk.heir().turn().audit == []


def test_a_rollout_that_was_put_away_is_not_restored_by_what_is_left_of_its_rows(desk):
    desk.start("r1", "bearings/2").ack("a").ack("b")
    rows_of_r1 = {key: record for (topic, key), record in desk.written.items() if topic == "rollouts.devices"}
    desk.start("r2", "bearings/3").ack("a").ack("b").wait(2 * 86_400, beating="ab")
    desk.written["rollouts.devices", "r1/b"] = rows_of_r1["r1/b"]
    left = published(desk)

    desk.controller = Controller(desk.controller.options)
    restore(desk.controller, left, now_ms=desk.now_ms)
    before = len(desk.commands)
    desk.turn()

    assert list(desk.controller.rollouts) == ["r2"]
    assert rows(desk) == ["r2/a", "r2/b"]
    assert len(desk.commands) == before
