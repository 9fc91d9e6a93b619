import itertools

import pytest

from schemas.rollouts import AckPhase, RolloutPhase
from streams.rollouts import events as told
from streams.rollouts.effects import CommandDevice, NoteDevice, RaiseAlert, RefuseRequest, ResolveAlert, WriteAudit
from streams.rollouts.machine import decide
from streams.rollouts.member import Member, State
from streams.rollouts.members import Members
from streams.rollouts.plan import parse_plan
from streams.rollouts.rings import NO_STAGE
from streams.rollouts.rollout import LIVE, SETTLED, Rollout

ONE = {"strategy": "all-at-once", "limits": {"bake_s": 60, "retries": 0}}
TWO = {"strategy": {"kind": "canary", "percent": [50, 100]}, "limits": {"bake_s": 60, "retries": 0}}
GATED = {**ONE, "gates": {"drift": {}}}

OLD, NEW = "bearings/1", "bearings/2"


# ---- one device ----

SAME = object()
UNDER_WAY = dict.fromkeys(("received", "postponed", "downloading", "installed", "trial"), "in_progress")
BAD = dict.fromkeys(("failed", "fell_back", "refused"), "failed")
DEAF = {}
TRANSITIONS = {
    "waiting": DEAF,
    "offline": DEAF,
    "held": DEAF,
    "commanded": {**UNDER_WAY, **BAD, "succeeded": "succeeded"},
    "in_progress": {**BAD, "succeeded": "succeeded"},
    "absent": {**UNDER_WAY, **BAD, "succeeded": "succeeded"},
    "backing_off": DEAF,
    "succeeded": BAD,
    "failed": DEAF,
    "timed_out": {**BAD, "succeeded": "succeeded"},
    "returning": {"succeeded": "rolled_back", **dict.fromkeys(BAD, "stranded")},
    "stranded": {"succeeded": "rolled_back"},
    "rolled_back": DEAF,
    "superseded": DEAF,
    "quarantined": DEAF,
    "left": DEAF,
}


@pytest.mark.parametrize("report", [phase.value for phase in AckPhase])
@pytest.mark.parametrize("state", TRANSITIONS)
def test_each_report_moves_a_device_as_the_table_says(state, report):
    plan = parse_plan({"rollout": "r1", "model": NEW, **ONE, "limits": {"retries": 0, "failure_threshold": 1.0}})
    members = Members()
    members.add(Member("d1", State[state.upper()], stage=0, attempts=1, previous=OLD, touched=True, online=True))
    members.add(Member("busy", State.COMMANDED, stage=0, attempts=1, touched=True, at_ms=1_000))
    phase = RolloutPhase.ROLLING_BACK if state in ("returning", "stranded", "rolled_back") else RolloutPhase.PAUSED
    rollout = Rollout(plan=plan, members=members, phase=phase, taken_back=True)

    after, _ = decide(rollout, told.Acked("d1", AckPhase(report), 1_000))

    assert after.members.member(0).state.name.lower() == TRANSITIONS[state].get(report, state)


def test_the_table_is_complete():
    assert set(TRANSITIONS) == {state.name.lower() for state in State} - {"unknown"}


def test_a_device_counts_once_however_often_it_reports(story):
    rollout = story(ONE, a=0, b=0).begin()

    rollout.ack("a", "succeeded", "succeeded", "succeeded")

    assert rollout.rollout.members.totals() == {"commanded": 1, "succeeded": 1}
    assert rollout.phase == "running"


def test_in_progress_after_succeeded_is_late_news(story):
    rollout = story(ONE, a=0, b=0).begin().ack("a", "received", "succeeded")

    effects = rollout.tell(told.Acked("a", AckPhase.DOWNLOADING, rollout.now_ms))

    assert (rollout.state("a"), effects) == ("succeeded", ())


def test_a_fallback_takes_the_success_back(story):
    rollout = story({**ONE, "limits": {"failure_threshold": 0.5}}, a=0, b=0).begin().ack("a", "succeeded")

    rollout.ack("a", "fell_back", reason="it crashed")

    assert rollout.state("a") == "failed"
    assert rollout.phase == "running"


def test_a_fallback_during_the_bake_is_judged_again(story):
    rollout = story(ONE, a=0, b=0).begin().all_succeed()
    assert rollout.phase == "baking"

    rollout.ack("b", "fell_back")

    assert rollout.phase == "rolling_back"


def test_a_device_that_has_the_model_already_needs_no_command(story):
    rollout = story(ONE)
    rollout.tell(told.DeviceJoined("a", rollout.now_ms, stage=0, previous=NEW))

    rollout.begin()

    assert rollout.commands() == []
    assert rollout.state("a") == "succeeded"


def test_a_report_of_a_stranger_is_nothing(story):
    rollout = story(ONE, a=0).begin()

    assert rollout.tell(told.Acked("nobody", AckPhase.FAILED, rollout.now_ms)) == ()


# ---- retries and timeouts ----


def test_a_failed_device_is_tried_again_after_its_back_off_and_then_has_failed(story):
    rollout = story({**ONE, "limits": {"retries": 1, "backoff_s": 30, "failure_threshold": 1}}, a=0).begin()
    rollout.ack("a", "failed")

    rollout.wait(29)
    waiting = rollout.state("a")
    rollout.wait(1)

    assert (waiting, rollout.state("a")) == ("backing_off", "commanded")
    assert rollout.commands("a") == [NEW, NEW]
    rollout.ack("a", "failed")
    assert rollout.state("a") == "failed"


def test_whose_back_off_ends_while_it_is_away_is_noted_so_that_a_successor_knows_it(story):
    rollout = story({**ONE, "limits": {"retries": 1, "backoff_s": 30, "failure_threshold": 1}}, a=0).begin()
    rollout.ack("a", "failed")
    rollout.tell(told.DeviceSeen("a", False, rollout.now_ms))

    effects = rollout.wait(30)

    assert rollout.state("a") == "offline"
    assert NoteDevice("a") in effects


def test_the_back_off_doubles(story):
    rollout = story({**ONE, "limits": {"retries": 3, "backoff_s": 10, "failure_threshold": 1}}, a=0).begin()

    delays = []
    for _ in range(3):
        rollout.ack("a", "failed")
        row = rollout.rollout.members.row("a")
        delays.append(rollout.rollout.members.member(row).at_ms - rollout.now_ms)
        rollout.wait(100)

    assert delays == [10_000, 20_000, 40_000]


def test_a_success_reported_late_does_not_undo_a_failure_that_is_tried_again(story):
    rollout = story({**ONE, "limits": {"retries": 1}}, a=0).begin().ack("a", "failed")

    rollout.ack("a", "succeeded")

    assert rollout.state("a") == "backing_off"


def test_a_refusal_is_not_tried_again(story):
    rollout = story({**ONE, "limits": {"retries": 5, "failure_threshold": 1}}, a=0).begin().ack("a", "refused")

    assert rollout.state("a") == "failed"


def test_a_silent_device_times_out(story):
    rollout = story({**ONE, "limits": {"retries": 0, "timeout_s": 60, "failure_threshold": 1}}, a=0).begin()

    rollout.wait(59.999)
    before = rollout.state("a")
    rollout.wait(0.001)

    assert (before, rollout.state("a")) == ("commanded", "timed_out")


def test_a_postponed_device_has_a_day_for_its_window_to_come(story):
    rollout = story({**ONE, "limits": {"retries": 0, "timeout_s": 60, "failure_threshold": 1}}, a=0, b=0).begin()
    rollout.wait(50)
    rollout.ack("a", "postponed")

    rollout.wait(86_400)

    assert (rollout.state("a"), rollout.state("b")) == ("in_progress", "timed_out")
    rollout.wait(60)
    assert rollout.state("a") == "timed_out"


def test_a_postponed_device_that_goes_to_work_has_its_time_anew(story):
    rollout = story({**ONE, "limits": {"retries": 0, "timeout_s": 60, "failure_threshold": 1}}, a=0).begin()
    rollout.ack("a", "postponed").wait(3_600)
    rollout.ack("a", "downloading")

    rollout.wait(59)
    before = rollout.state("a")
    rollout.wait(1)

    assert (before, rollout.state("a")) == ("in_progress", "timed_out")


def test_stages_keep_their_own_timeouts(story):
    document = {**TWO, "stages": [{"timeout_s": 1_000}, {"timeout_s": 10}], "limits": {"retries": 0, "bake_s": 0}}
    rollout = story(document, a=0, b=1).begin()
    rollout.tell(told.Promoted("eve", "hurry", rollout.now_ms))
    assert rollout.in_flight() == ["a", "b"]

    rollout.wait(10)

    assert (rollout.state("a"), rollout.state("b")) != ("timed_out", "timed_out")
    assert rollout.phase == "rolling_back"


def test_a_device_that_goes_offline_after_its_command_is_absent_not_failed(story):
    rollout = story({**ONE, "limits": {"timeout_s": 60, "retries": 0, "offline_share": 0.5}}, a=0, b=0).begin()
    rollout.ack("b", "succeeded")
    rollout.tell(told.DeviceSeen("a", False, rollout.now_ms))

    rollout.wait(60)

    assert rollout.state("a") == "absent"
    assert rollout.phase == "baking"
    rollout.tell(told.DeviceSeen("a", True, rollout.now_ms))
    assert rollout.state("a") == "in_progress"
    rollout.ack("a", "succeeded")
    assert rollout.state("a") == "succeeded"


# ---- thresholds ----


@pytest.mark.parametrize(
    ("failed", "phase"),
    [
        pytest.param(1, "running", id="exactly the failure threshold has not failed"),
        pytest.param(2, "rolling_back", id="more than the failure threshold has failed"),
    ],
)
def test_failure_is_strictly_more_than_the_threshold(story, failed, phase):
    limits = {"failure_threshold": 0.1, "retries": 0, "concurrency": 10}
    rollout = story({**ONE, "limits": limits}, **{f"d{n}": 0 for n in range(10)}).begin()

    for number in range(failed):
        rollout.ack(f"d{number}", "failed")

    assert rollout.phase == phase


@pytest.mark.parametrize(
    ("succeeded", "phase"),
    [
        pytest.param(9, "baking", id="exactly the success threshold has passed"),
        pytest.param(8, "paused", id="less than the success threshold pauses"),
    ],
)
def test_success_is_at_least_the_threshold(story, succeeded, phase):
    limits = {"success_threshold": 0.9, "failure_threshold": 0.2, "retries": 0, "concurrency": 10}
    rollout = story({**ONE, "limits": limits}, **{f"d{n}": 0 for n in range(10)}).begin()

    for number in range(10):
        rollout.ack(f"d{number}", "succeeded" if number < succeeded else "failed")

    assert rollout.phase == phase


def test_both_thresholds_in_one_moment_is_a_failure(story):
    limits = {"success_threshold": 0.5, "failure_threshold": 0.4, "retries": 0}
    rollout = story({**ONE, "limits": limits}, a=0, b=0).begin().ack("a", "succeeded")

    rollout.ack("b", "failed")

    assert rollout.phase == "rolling_back"


def test_too_few_successes_never_advance_even_when_resumed(story):
    limits = {"success_threshold": 0.9, "failure_threshold": 0.5, "retries": 0}
    rollout = story({**ONE, "limits": limits}, a=0, b=0).begin().ack("a", "succeeded").ack("b", "failed")

    rollout.tell(told.Resumed("eve", "let it", rollout.now_ms))

    assert rollout.phase == "paused"
    assert "1 of 2 devices of stage 'all' succeeded, too few" in rollout.rollout.reason


@pytest.mark.parametrize(
    "reports", list(itertools.permutations([("a", "succeeded"), ("b", "failed"), ("c", "succeeded")]))
)
def test_the_outcome_does_not_depend_on_the_order_of_reports(story, reports):
    rollout = story(ONE, a=0, b=0, c=0).begin()

    for device_id, report in reports:
        rollout.ack(device_id, report)
    for device_id in "abc":
        rollout.ack(device_id, "succeeded")

    assert rollout.phase == "rolled_back"
    assert {device_id: rollout.commands(device_id)[-1] for device_id in "abc"} == dict.fromkeys("abc", OLD)


# ---- stages, bake and gates ----


def test_a_good_release_goes_through_its_stages(story):
    rollout = story(TWO, a=0, b=1).begin()
    assert rollout.commands() == [("a", NEW)]

    rollout.all_succeed().wait(59)
    still = rollout.phase, rollout.rollout.stage
    rollout.wait(1)
    assert still == ("baking", 0)
    assert rollout.commands() == [("a", NEW), ("b", NEW)]
    rollout.all_succeed().wait(60)

    assert rollout.phase == "succeeded"
    assert [audit.action for audit in rollout.of(WriteAudit)] == ["started", "advanced", "succeeded"]


def test_an_empty_stage_neither_fails_nor_wedges(story):
    rollout = story({**TWO, "strategy": {"kind": "canary", "percent": [1, 50, 100]}}, b=1).begin()

    assert (rollout.commands(), rollout.rollout.stage) == ([("b", NEW)], 1)
    rollout.all_succeed().wait(60)
    assert rollout.phase == "succeeded"


def test_a_rollout_of_nobody_waits_for_its_first_device(story):
    rollout = story({**TWO, "limits": {"bake_s": 60, "deadline_s": 600}}).begin()
    rollout.wait(6_000)
    assert (rollout.phase, rollout.rollout.reason) == ("scheduled", "waits for its first device")

    rollout.tell(told.DeviceJoined("late", rollout.now_ms, stage=1, position=0.9, previous=OLD))
    rollout.wait(1)

    assert (rollout.phase, rollout.commands(), rollout.rollout.stage) == ("running", [("late", NEW)], 1)
    rollout.wait(599)
    assert rollout.phase == "running", "its deadline counts from its first device"


def test_devices_that_no_stage_takes_are_nobody_to_begin_with(story):
    rollout = story(TWO, a=NO_STAGE).begin()

    assert (rollout.phase, rollout.commands()) == ("scheduled", [])


@pytest.mark.parametrize(
    ("verdict", "phase"),
    [
        ("pass", "succeeded"),
        ("fail", "rolling_back"),
        ("hold", "baking"),
        ("inconclusive", "paused"),
        ("no_data", "baking"),
        ("unknown", "baking"),
    ],
)
def test_a_gate_decides_after_the_bake(story, verdict, phase):
    rollout = story(GATED, a=0).begin().all_succeed().judge(drift=verdict)

    rollout.wait(60)

    assert rollout.phase == phase


@pytest.mark.parametrize("heard", [{}, {"drfit": "pass"}, {"drift": "no_data"}])
def test_a_gate_without_data_never_passes_and_pauses_in_the_end(story, heard):
    rollout = story(GATED, a=0).begin().all_succeed().judge(**heard)

    rollout.wait(60 + 3_599)
    patient = rollout.phase
    rollout.wait(1)

    assert (patient, rollout.phase) == ("baking", "paused")
    rollout.tell(told.Resumed("eve", "wait for it", rollout.now_ms))
    assert rollout.phase == "baking"
    rollout.judge(drift="pass")
    assert rollout.phase == "succeeded"


@pytest.mark.parametrize("where", ["running", "baking", "awaiting_approval", "paused"])
def test_a_breach_rolls_back_wherever_the_rollout_waits(story, where):
    rollout = story({**GATED, "stages": [{"approval": True}]}, a=0, b=0).begin().ack("a", "succeeded")
    if where == "paused":
        rollout.tell(told.Paused("eve", "lunch", rollout.now_ms))
    elif where != "running":
        rollout.ack("b", "succeeded")
    if where == "awaiting_approval":
        rollout.judge(drift="pass").wait(60)
    assert rollout.phase == where

    rollout.judge(drift="fail")

    assert rollout.phase == "rolling_back"
    assert rollout.commands("a") == [NEW, OLD]


def test_inconclusive_pauses_once_and_is_not_paused_for_again(story):
    rollout = story({**TWO, "gates": {"drift": {}, "latency": {}}}, a=0, b=1).begin().all_succeed()
    rollout.judge(drift="inconclusive", latency="pass").wait(60)
    assert rollout.phase == "paused"

    rollout.tell(told.Resumed("eve", "seen worse", rollout.now_ms))
    rollout.judge(drift="inconclusive", latency="pass")

    assert (rollout.phase, rollout.rollout.stage) == ("running", 1)
    rollout.all_succeed().judge(drift="inconclusive", latency="pass").wait(60)
    assert rollout.phase == "paused", "another step is another question"


def test_inconclusive_for_another_gate_pauses_again(story):
    rollout = story({**ONE, "gates": {"drift": {}, "latency": {}}}, a=0).begin().all_succeed()
    rollout.judge(drift="inconclusive", latency="no_data").wait(60)
    rollout.judge(drift="inconclusive", latency="pass")
    assert rollout.phase == "paused"
    rollout.tell(told.Resumed("eve", "fine", rollout.now_ms))
    assert rollout.phase == "succeeded"

    again = story({**ONE, "gates": {"drift": {}, "latency": {}}}, a=0).begin().all_succeed()
    again.judge(drift="inconclusive", latency="pass").wait(60)
    again.judge(drift="inconclusive", latency="inconclusive")
    again.tell(told.Resumed("eve", "fine", again.now_ms))
    assert again.phase == "paused"
    assert "latency" in again.rollout.reason


def test_an_accepted_gate_still_rolls_back_when_it_fails(story):
    rollout = story({**TWO, "gates": {"drift": {}}}, a=0, b=1).begin().all_succeed().judge(drift="inconclusive")
    rollout.wait(60)
    rollout.tell(told.Paused("eve", "hm", rollout.now_ms))
    rollout.tell(told.Resumed("eve", "ok", rollout.now_ms))

    rollout.judge(drift="fail")

    assert rollout.phase == "rolling_back"


def test_a_changed_world_holds_and_rolls_nothing_back(story):
    limits = {"concurrency": 1, "bake_s": 60}
    rollout = story({**GATED, "limits": limits}, a=0, b=0).begin().judge(drift="hold").ack("a", "succeeded")

    rollout.wait(10_000)

    assert (rollout.phase, rollout.rollout.reason) == ("running", "held by drift")
    assert rollout.commands() == [("a", NEW)]
    rollout.judge(drift="pass")
    assert rollout.commands() == [("a", NEW), ("b", NEW)]
    assert rollout.rollout.reason == "stage 'all'"


def test_approval_is_waited_for(story):
    rollout = story({**TWO, "stages": [{"approval": True}]}, a=0, b=1).begin().all_succeed()
    rollout.wait(60)
    assert rollout.phase == "awaiting_approval"

    rollout.wait(100_000)
    assert rollout.phase == "awaiting_approval"
    rollout.tell(told.Approved("eve", "looks good", rollout.now_ms))

    assert (rollout.phase, rollout.rollout.stage) == ("running", 1)


# ---- roll-back ----


def test_a_roll_back_restores_what_each_device_ran_before(story):
    rollout = story(ONE)
    for device_id, previous in (("a", "bearings/1"), ("b", "bearings/0"), ("c", "")):
        rollout.tell(told.DeviceJoined(device_id, rollout.now_ms, stage=0, previous=previous))
    rollout.begin().ack("a", "succeeded")

    rollout.ack("b", "failed")

    assert rollout.commands()[3:] == [("a", "bearings/1"), ("b", "bearings/0"), ("c", "")]
    assert rollout.phase == "rolling_back"
    rollout.ack("a", "succeeded").ack("b", "succeeded")
    assert rollout.phase == "rolled_back"
    assert rollout.rollout.members.totals() == {"rolled_back": 3}


def test_nobody_who_was_not_reached_is_rolled_back(story):
    rollout = story({**ONE, "limits": {"concurrency": 1, "retries": 0}}, a=0, b=0).begin().ack("a", "failed")

    assert rollout.commands("b") == []
    assert rollout.state("b") == "waiting"


def test_a_roll_back_ends_though_a_device_stays_silent(story):
    rollout = story({**ONE, "limits": {"timeout_s": 60, "retries": 0}}, a=0, b=0).begin().ack("a", "failed")
    rollout.ack("a", "succeeded")

    rollout.wait(60)

    assert (rollout.phase, rollout.state("b")) == ("rolled_back", "stranded")
    rollout.ack("b", "succeeded")
    assert (rollout.phase, rollout.state("b")) == ("rolled_back", "rolled_back")


def test_a_device_that_cannot_go_back_is_tried_again_and_then_left(story):
    rollout = story({**ONE, "limits": {"retries": 1}}, a=0).begin()
    rollout.tell(told.Aborted("eve", "no", rollout.now_ms))

    rollout.ack("a", "failed", "failed", reason="disk full")

    assert rollout.commands("a") == [NEW, OLD, OLD]
    assert (rollout.phase, rollout.state("a")) == ("aborted", "stranded")


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        pytest.param(lambda rollout: rollout.ack("a", "succeeded"), "rolled_back", id="it goes back"),
        pytest.param(lambda rollout: rollout.ack("a", "failed", "failed"), "stranded", id="it cannot go back"),
        pytest.param(lambda rollout: rollout.wait(60), "stranded", id="it stays silent"),
    ],
)
def test_who_ran_the_model_and_came_back_into_no_stage_is_taken_back_like_others(story, ending, state):
    rollout = story({**ONE, "limits": {"retries": 1, "timeout_s": 60}}, a=0, b=0).begin().ack("a", "trial")
    rollout.tell(told.DeviceLeft("a", rollout.now_ms))
    rollout.tell(told.DeviceJoined("a", rollout.now_ms, stage=NO_STAGE, previous=OLD))
    rollout.tell(told.Aborted("eve", "wrong model", rollout.now_ms))
    assert rollout.state("a") == "returning"

    ending(rollout)

    assert rollout.state("a") == state


def test_on_failure_pause_leaves_the_decision_to_people(story):
    rollout = story({**ONE, "on_failure": "pause"}, a=0, b=0).begin().ack("a", "failed")

    assert rollout.phase == "paused"
    assert rollout.commands("b") == [NEW]
    assert [alert.kind for alert in rollout.of(RaiseAlert)] == ["rollout_paused"]


# ---- control ----


@pytest.mark.parametrize(
    ("event", "may"),
    [
        (told.Paused, {"running", "baking", "awaiting_approval"}),
        (told.Resumed, {"paused"}),
        (told.Promoted, {phase.value for phase in LIVE}),
        (told.BakeSkipped, {"baking"}),
        (told.Approved, {"awaiting_approval"}),
        (told.Aborted, {phase.value for phase in LIVE}),
        (told.Cancelled, {"scheduled"}),
        (told.Retried, {phase.value for phase in LIVE} | {"aborted"}),
    ],
)
@pytest.mark.parametrize("phase", [phase for phase in RolloutPhase if phase is not RolloutPhase.UNKNOWN])
def test_what_people_may_do_depends_on_the_phase(event, may, phase):
    plan = parse_plan({"rollout": "r1", "model": NEW, "strategy": "all-at-once"})
    members = Members()
    state = State.RETURNING if phase is RolloutPhase.ROLLING_BACK else State.COMMANDED
    members.add(Member("d1", state, stage=0, attempts=1, previous=OLD, touched=True, at_ms=1_000))
    rollout = Rollout(plan=plan, members=members, phase=phase, started_ms=1_000, bake_ms=1_000, taken_back=True)

    after, effects = decide(rollout, event("eve", "because", 2_000))

    refused = [effect for effect in effects if isinstance(effect, RefuseRequest)]
    assert bool(refused) == (phase.value not in may)
    if refused:
        assert after == rollout
        assert phase.value in refused[0].why
    else:
        assert any(isinstance(effect, WriteAudit) and effect.who == "eve" for effect in effects)


def test_a_paused_rollout_commands_nobody_but_hears_everybody(story):
    limits = {"concurrency": 1, "retries": 0, "bake_s": 60}
    rollout = story({**ONE, "limits": limits}, a=0, b=0).begin()
    rollout.tell(told.Paused("eve", "lunch", rollout.now_ms))

    rollout.ack("a", "succeeded")
    rollout.wait(100)
    assert rollout.commands() == [("a", NEW)]
    rollout.tell(told.Resumed("eve", "back", rollout.now_ms))

    assert rollout.commands() == [("a", NEW), ("b", NEW)]


def test_promote_goes_one_stage_on_without_waiting(story):
    rollout = story({**GATED, **TWO}, a=0, b=1).begin()

    rollout.tell(told.Promoted("eve", "hurry", rollout.now_ms))

    assert rollout.rollout.stage == 1
    assert rollout.commands() == [("a", NEW), ("b", NEW)]
    rollout.all_succeed().wait(60)
    assert rollout.phase == "baking", "the next stage is watched as ever"


def test_promote_full_goes_everywhere_unwatched_but_failure_still_counts(story):
    document = {**TWO, "strategy": {"kind": "canary", "percent": [10, 50, 100]}, "gates": {"drift": {}}}
    rollout = story(document, a=0, b=1, c=2).begin()

    rollout.tell(told.Promoted("eve", "hurry", rollout.now_ms, full=True))
    assert rollout.in_flight() == ["a", "b", "c"]
    good = story(document, a=0, b=1, c=2).begin()
    good.tell(told.Promoted("eve", "hurry", good.now_ms, full=True))
    good.all_succeed()

    assert good.phase == "succeeded"
    assert rollout.ack("b", "failed").phase == "rolling_back"


def test_skipping_the_bake_still_asks_the_gates(story):
    rollout = story(GATED, a=0).begin().all_succeed()
    rollout.tell(told.BakeSkipped("eve", "hurry", rollout.now_ms))
    assert rollout.phase == "baking"

    rollout.judge(drift="pass")

    assert rollout.phase == "succeeded"


def test_abort_brings_back_those_who_were_reached(story):
    rollout = story(ONE, a=0, b=0).begin().ack("a", "succeeded").ack("b", "trial")

    rollout.tell(told.Aborted("eve", "wrong model", rollout.now_ms))

    assert (rollout.phase, rollout.commands("a"), rollout.commands("b")) == ("rolling_back", [NEW, OLD], [NEW, OLD])
    rollout.all_succeed(["a", "b"])
    assert rollout.phase == "aborted"


def test_abort_may_leave_devices_as_they_are(story):
    rollout = story(ONE, a=0, b=0).begin().ack("a", "succeeded")

    rollout.tell(told.Aborted("eve", "enough", rollout.now_ms, rollback=False))

    assert (rollout.phase, rollout.commands("a")) == ("aborted", [NEW])


def test_an_aborted_rollout_can_be_retried(story):
    rollout = story(ONE, a=0, b=0).begin().ack("a", "succeeded")
    rollout.tell(told.Aborted("eve", "wait", rollout.now_ms))
    rollout.all_succeed(["a", "b"])
    assert rollout.phase == "aborted"

    rollout.tell(told.Retried("eve", "now", rollout.now_ms))

    assert rollout.phase == "running"
    assert rollout.commands("a") == rollout.commands("b") == [NEW, OLD, NEW]


@pytest.mark.parametrize(
    ("pace", "told_at_once"),
    [
        pytest.param({"concurrency": 1}, ["b"], id="none while as many as allowed are under way"),
        pytest.param({"concurrency": 2}, ["a", "b"], id="one more where one more is allowed"),
        pytest.param({"batch": 1}, ["b"], id="no batch while somebody is under way"),
    ],
)
def test_what_an_abort_left_under_way_in_a_later_stage_counts_when_it_is_tried_again(story, pace, told_at_once):
    limits = {"retries": 0, "failure_threshold": 1, **pace}
    rollout = story({**TWO, "limits": limits}, a=0, b=1).begin().ack("a", "failed")
    rollout.tell(told.Promoted("eve", "hurry", rollout.now_ms))
    rollout.tell(told.Aborted("eve", "leave them", rollout.now_ms, rollback=False))

    rollout.tell(told.Retried("eve", "again", rollout.now_ms))

    assert (rollout.rollout.stage, rollout.in_flight()) == (0, told_at_once)
    rollout.ack("b", "succeeded")
    assert rollout.in_flight() == ["a"]
    assert rollout.commands("b") == [NEW]


def test_whoever_waits_for_another_try_is_noted_though_nobody_is_commanded_yet(story):
    rollout = story({**ONE, "limits": {"concurrency": 1, "failure_threshold": 0}}, a=0, b=0).begin()
    rollout.ack("a", "succeeded").ack("b", "succeeded")
    rollout.tell(told.Aborted("eve", "stop", rollout.now_ms))
    rollout.ack("a", "succeeded").ack("b", "succeeded")
    assert rollout.phase == "aborted"

    effects = rollout.tell(told.Retried("eve", "again", rollout.now_ms))

    assert [rollout.state("a"), rollout.state("b")] == ["commanded", "waiting"]
    assert {effect.device_id for effect in effects if isinstance(effect, NoteDevice)} == {"a", "b"}


def test_whoever_is_to_switch_is_noted_though_nobody_is_commanded_yet(story):
    document = {"strategy": "blue-green", "limits": {"bake_s": 0, "concurrency": 1}}
    rollout = story(document, a=0, b=0).begin()
    rollout.ack("a", "installed")

    effects = rollout.tell(told.Acked("b", AckPhase.INSTALLED, rollout.now_ms))

    assert [rollout.state("a"), rollout.state("b")] == ["commanded", "waiting"]
    assert {effect.device_id for effect in effects if isinstance(effect, NoteDevice)} == {"a", "b"}


def test_failed_devices_are_retried(story):
    limits = {"failure_threshold": 0.5, "success_threshold": 1, "retries": 0, "bake_s": 60}
    rollout = story({**ONE, "limits": limits}, a=0, b=0).begin().ack("a", "succeeded").ack("b", "failed")
    assert rollout.phase == "paused"

    rollout.tell(told.Retried("eve", "again", rollout.now_ms))

    assert (rollout.phase, rollout.commands("b")) == ("running", [NEW, NEW])
    rollout.ack("b", "succeeded")
    assert rollout.phase == "baking"


def test_a_start_is_waited_for_and_can_be_cancelled(story):
    rollout = story({**ONE, "starts": "1970-01-01T00:20:00Z"}, a=0)
    rollout.wait(199.999)
    assert rollout.phase == "scheduled"
    rollout.wait(0.001)
    assert rollout.phase == "running"

    other = story({**ONE, "starts": "1970-01-01T00:20:00Z"}, a=0)
    other.tell(told.Cancelled("eve", "never mind", other.now_ms))
    other.wait(10_000)
    assert (other.phase, other.commands()) == ("cancelled", [])


# ---- supersede and other rollouts ----


def test_a_superseded_rollout_commands_nobody_and_hears_nothing_of_those_taken_over(story):
    rollout = story(TWO, a=0, b=1).begin().ack("a", "downloading")

    rollout.tell(told.Superseded("r2", rollout.now_ms))
    rollout.tell(told.DeviceTaken("a", "r2", True, rollout.now_ms))
    rollout.wait(10_000)

    assert (rollout.phase, rollout.state("a"), rollout.commands()) == ("superseded", "superseded", [("a", NEW)])


def test_a_roll_back_goes_on_for_those_the_successor_has_not_taken(story):
    rollout = story(ONE, a=0, b=0, c=0).begin().ack("a", "failed")
    rollout.tell(told.Superseded("r2", rollout.now_ms))
    assert rollout.phase == "rolling_back"

    rollout.tell(told.DeviceTaken("b", "r2", True, rollout.now_ms))
    rollout.ack("a", "succeeded").ack("c", "succeeded")

    assert rollout.phase == "rolled_back"
    assert rollout.rollout.members.totals() == {"rolled_back": 2, "superseded": 1}


def test_a_device_that_another_rollout_has_is_waited_for(story):
    rollout = story(ONE, a=0, b=0)
    rollout.tell(told.DeviceTaken("a", "r9", False, rollout.now_ms))
    rollout.begin().ack("b", "succeeded")
    assert (rollout.phase, rollout.commands("a")) == ("running", [])

    rollout.tell(told.DeviceFreed("a", rollout.now_ms))

    assert rollout.commands("a") == [NEW]


# ---- who is there ----


def test_offline_devices_may_be_left_behind_and_take_the_model_when_they_return(story):
    document = {**ONE, "limits": {"offline_share": 0.5, "bake_s": 60}}
    rollout = story(document, a=0)
    rollout.tell(told.DeviceJoined("b", rollout.now_ms, stage=0, previous=OLD, online=False))
    rollout.begin().ack("a", "succeeded")
    rollout.wait(60)
    assert (rollout.phase, rollout.commands("b")) == ("succeeded", [])

    rollout.tell(told.DeviceSeen("b", True, rollout.now_ms))

    assert rollout.commands("b") == [NEW]
    rollout.ack("b", "failed")
    assert rollout.phase == "succeeded"


def test_too_many_offline_devices_are_waited_for_and_then_asked_about(story):
    rollout = story({**ONE, "limits": {"offline_share": 0.4, "patience_s": 100}}, a=0)
    rollout.tell(told.DeviceJoined("b", rollout.now_ms, stage=0, previous=OLD, online=False))
    rollout.begin().ack("a", "succeeded")
    assert rollout.phase == "running"
    assert "1 of 2 devices of stage 'all' are away" in rollout.rollout.reason

    rollout.wait(100)

    assert rollout.phase == "paused"


def test_a_late_joiner_is_taken_by_the_stage_of_its_hash(story):
    rollout = story(TWO, a=0, c=1).begin().ack("a", "succeeded")
    rollout.tell(told.DeviceJoined("b", rollout.now_ms, stage=0, position=0.1, previous=OLD))
    rollout.tell(told.DeviceJoined("d", rollout.now_ms, stage=1, position=0.9, previous=OLD))

    assert rollout.commands() == [("a", NEW), ("b", NEW)]
    rollout.wait(60)
    assert rollout.rollout.stage == 0, "the stage waits for its late joiner"
    rollout.ack("b", "succeeded").wait(60)
    assert rollout.rollout.stage == 1


def test_a_device_that_leaves_is_forgotten_in_the_denominator(story):
    limits = {"failure_threshold": 0.3, "success_threshold": 0.9, "retries": 0, "bake_s": 60}
    rollout = story({**ONE, "limits": limits}, a=0, b=0, c=0, d=0).begin().ack("a", "failed")
    assert rollout.phase == "running"

    rollout.tell(told.DeviceLeft("b", rollout.now_ms))

    assert rollout.phase == "rolling_back", "1 of 3 is more than 0.3, 1 of 4 was not"


def test_a_settled_stage_is_not_waited_for_by_who_left(story):
    rollout = story(ONE, a=0, b=0).begin().ack("a", "succeeded")

    rollout.tell(told.DeviceLeft("b", rollout.now_ms))

    assert rollout.phase == "baking"


def test_a_class_that_fails_is_set_apart_and_the_rest_goes_on(story):
    document = {**ONE, "quarantine": {"min_failures": 2}, "limits": {"failure_threshold": 0.5, "retries": 0}}
    rollout = story(document)
    for place, (device_id, hardware) in enumerate({"a": 2, "b": 2, "c": 3, "d": 3, "e": 2}.items()):
        kin = f"hw=rev{hardware}|firmware=1.0"
        rollout.tell(told.DeviceJoined(device_id, rollout.now_ms, stage=0, position=place / 10, previous=OLD, kin=kin))
    rollout.begin().ack("c", "succeeded").ack("d", "succeeded")

    rollout.ack("a", "failed").ack("b", "failed")

    assert rollout.rollout.quarantined == {"hw=rev2"}
    assert rollout.commands("a") == rollout.commands("b") == [NEW, OLD]
    rollout.ack("e", "succeeded")
    assert rollout.phase == "baking"


def test_a_class_is_what_the_policy_goes_by_and_nothing_else(story):
    policy = {"min_failures": 2, "by": ["firmware"]}
    rollout = story({**ONE, "quarantine": policy, "limits": {"failure_threshold": 0.5, "retries": 0}})
    for place, (device_id, hardware) in enumerate({"a": 2, "b": 2, "c": 3, "d": 3}.items()):
        kin = f"hw=rev{hardware}|firmware=1.0"
        rollout.tell(told.DeviceJoined(device_id, rollout.now_ms, stage=0, position=place / 10, previous=OLD, kin=kin))
    rollout.begin().ack("c", "succeeded").ack("d", "succeeded")

    rollout.ack("a", "failed").ack("b", "failed")

    assert rollout.rollout.quarantined == frozenset()


def test_whoever_is_of_a_class_set_apart_is_recalled_and_none_is_told_any_more(story):
    document = {**ONE, "quarantine": {"min_failures": 2}, "limits": {"failure_threshold": 0.6, "retries": 0}}
    rollout = story(document)
    for place, device_id in enumerate("abcd"):
        kin = "hw=rev3" if device_id == "c" else "hw=rev2"
        rollout.tell(told.DeviceJoined(device_id, rollout.now_ms, stage=0, position=place / 10, previous=OLD, kin=kin))
    rollout.begin().ack("c", "succeeded").ack("d", "trial")

    rollout.ack("a", "failed").ack("b", "failed")
    rollout.tell(told.DeviceJoined("late", rollout.now_ms, stage=0, previous=OLD, kin="hw=rev2"))
    rollout.wait(1)

    assert [rollout.state(device_id) for device_id in ("a", "b", "d", "late")] == ["quarantined"] * 4
    assert (rollout.commands("d"), rollout.commands("late")) == ([NEW, OLD], [])
    assert rollout.of(RaiseAlert)[0].kind == "rollout_quarantine"
    assert (rollout.phase, rollout.state("c")) == ("baking", "succeeded")


def test_a_class_that_falls_silent_is_set_apart_like_one_that_fails(story):
    limits = {"failure_threshold": 0.6, "retries": 0, "timeout_s": 60}
    rollout = story({**ONE, "quarantine": {"min_failures": 2}, "limits": limits})
    for device_id in "abc":
        kin = "hw=rev3" if device_id == "c" else "hw=rev2"
        rollout.tell(told.DeviceJoined(device_id, rollout.now_ms, stage=0, previous=OLD, kin=kin))
    rollout.begin().ack("c", "succeeded").wait(60)

    assert rollout.rollout.quarantined == {"hw=rev2"}


def test_a_release_that_fails_everywhere_is_no_matter_of_class(story):
    document = {**ONE, "quarantine": {"min_failures": 2}, "limits": {"failure_threshold": 0.1, "retries": 0}}
    rollout = story(document)
    for device_id in "abc":
        rollout.tell(told.DeviceJoined(device_id, rollout.now_ms, stage=0, previous=OLD, kin="hw=rev2"))
    rollout.begin().ack("a", "failed").ack("b", "failed")

    assert rollout.rollout.quarantined == frozenset()
    assert rollout.phase == "rolling_back"


def test_a_class_that_is_let_back_in_has_its_turn_and_is_not_set_apart_again(story):
    document = {**ONE, "quarantine": {"min_failures": 2}, "limits": {"failure_threshold": 0.6, "retries": 0}}
    rollout = story(document)
    for place, device_id in enumerate("abcd"):
        kin = "hw=rev3" if device_id == "c" else "hw=rev2"
        rollout.tell(told.DeviceJoined(device_id, rollout.now_ms, stage=0, position=place / 10, previous=OLD, kin=kin))
    rollout.begin().ack("c", "succeeded").ack("d", "trial").ack("a", "failed").ack("b", "failed")
    assert rollout.rollout.quarantined == {"hw=rev2"}

    effects = rollout.tell(told.QuarantineLifted("hw=rev2", "eve", "its firmware was mended", rollout.now_ms))

    assert ResolveAlert("rollout_quarantine") in effects
    assert rollout.rollout.quarantined == frozenset()
    assert rollout.in_flight() == ["a", "b", "d"]
    rollout.ack("a", "failed").ack("b", "failed")
    assert (rollout.rollout.quarantined, rollout.state("a")) == (frozenset(), "failed")
    rollout.ack("d", "failed")
    assert rollout.phase == "rolling_back"


@pytest.mark.parametrize(
    ("trait", "phase", "why"),
    [
        pytest.param("hw=rev9", "running", "no devices with 'hw=rev9' are set apart; set apart: none", id="unknown"),
        pytest.param("hw=rev2", "aborted", "the rollout is aborted", id="over"),
    ],
)
def test_a_quarantine_that_is_none_cannot_be_lifted(story, trait, phase, why):
    rollout = story(ONE, a=0, b=0).begin()
    if phase == "aborted":
        rollout.tell(told.Aborted("eve", "enough", rollout.now_ms, rollback=False))

    (refused,) = rollout.tell(told.QuarantineLifted(trait, "eve", "why not", rollout.now_ms))

    assert refused == RefuseRequest("lift a quarantine", "eve", f"cannot lift a quarantine: {why}")
    assert rollout.phase == phase


def test_a_class_is_let_back_in_after_the_rollout_has_succeeded(story):
    document = {
        **ONE,
        "quarantine": {"min_failures": 2},
        "limits": {"failure_threshold": 0.9, "retries": 0, "bake_s": 0},
    }
    rollout = story(document)
    for place, device_id in enumerate("abc"):
        kin = "hw=rev3" if device_id == "c" else "hw=rev2"
        rollout.tell(told.DeviceJoined(device_id, rollout.now_ms, stage=0, position=place / 10, previous=OLD, kin=kin))
    rollout.begin().ack("c", "succeeded").ack("a", "failed").ack("b", "failed").wait(1)
    assert rollout.phase == "succeeded"

    rollout.tell(told.QuarantineLifted("hw=rev2", "eve", "mended", rollout.now_ms))

    assert rollout.in_flight() == ["a", "b"]


# ---- pace ----


def test_a_small_fleet_has_five_in_flight(story):
    rollout = story(ONE, **{f"d{n}": 0 for n in range(8)}).begin()
    assert rollout.in_flight() == ["d0", "d1", "d2", "d3", "d4"]

    rollout.ack("d2", "succeeded")

    assert rollout.in_flight() == ["d0", "d1", "d3", "d4", "d5"]


def test_rolling_waits_for_each_batch_and_its_delay(story):
    document = {"strategy": {"kind": "rolling", "batch": 2, "delay_s": 30}, "limits": {"bake_s": 0}}
    rollout = story(document, **{f"d{n}": 0 for n in range(5)}).begin()
    assert rollout.in_flight() == ["d0", "d1"]

    rollout.ack("d0", "succeeded")
    assert rollout.in_flight() == ["d1"]
    rollout.ack("d1", "succeeded")
    rollout.wait(29)
    assert rollout.in_flight() == []
    rollout.wait(1)
    assert rollout.in_flight() == ["d2", "d3"]
    rollout.all_succeed().wait(30)
    rollout.all_succeed()

    assert rollout.phase == "succeeded"


def test_an_exponential_rate_grows_with_success(story):
    rate = {"base_per_minute": 60, "factor": 2, "per": 2}
    document = {**ONE, "limits": {"rate": rate, "concurrency": 100, "bake_s": 0}}
    rollout = story(document, **{f"d{n}": 0 for n in range(60)}).begin()

    per_second = []
    for _ in range(4):
        before = len(rollout.commands())
        rollout.wait(1)
        per_second.append(len(rollout.commands()) - before)
        rollout.all_succeed()

    # 60 a minute; doubled for each 2 successes, of which there were 0, 2, 4 and 8.
    assert per_second == [1, 2, 4, 16]


def test_a_rate_does_not_save_up_for_a_burst(story):
    document = {**ONE, "limits": {"rate": {"base_per_minute": 60}, "concurrency": 100}}
    rollout = story(document, **{f"d{n}": 0 for n in range(20)}).begin()

    rollout.wait(600)

    assert len(rollout.commands()) == 2


def test_nothing_new_is_commanded_during_a_freeze(story):
    freeze = [{"begins": "1970-01-01T00:16:40Z", "ends": "1970-01-01T00:18:20Z"}]
    rollout = story({**ONE, "freeze": [{**freeze[0], "why": "harvest"}]}, a=0).begin()

    rollout.wait(99.999)
    assert rollout.commands() == []
    assert rollout.rollout.reason == "frozen until 1970-01-01 00:18Z: harvest"
    rollout.wait(0.001)

    assert rollout.commands() == [("a", NEW)]
    assert rollout.rollout.reason == "stage 'all'"


def test_abort_in_the_midst_of_the_switch_brings_everybody_back(story):
    rollout = story({"strategy": "blue-green", "limits": {"bake_s": 0}}, a=0, b=0).begin()
    rollout.ack("a", "installed").ack("b", "installed")
    rollout.ack("a", "trial")

    rollout.tell(told.Aborted("eve", "stop", rollout.now_ms))
    # What it still says of the switch comes too late to count.
    rollout.ack("b", "trial")

    assert rollout.commands("a") == rollout.commands("b") == [NEW, NEW, OLD]
    rollout.ack("a", "succeeded").ack("b", "succeeded")
    assert (rollout.phase, rollout.state("a"), rollout.state("b")) == ("aborted", "rolled_back", "rolled_back")


def test_an_answer_that_was_lost_after_the_commit_is_asked_for_again(story):
    rollout = story({**ONE, "limits": {"retries": 1, "timeout_s": 60, "backoff_s": 5, "bake_s": 0}}, a=0).begin()
    rollout.ack("a", "trial").wait(60)
    rollout.wait(5)
    assert (rollout.state("a"), rollout.commands("a")) == ("commanded", [NEW, NEW])

    # A device that has it already answers at once.
    rollout.ack("a", "succeeded").wait(1)

    assert rollout.phase == "succeeded"


def test_blue_green_installs_everywhere_then_switches_all_at_once(story):
    rollout = story({"strategy": "blue-green", "limits": {"bake_s": 0}}, a=0, b=0, c=0).begin()
    assert {effect.action for effect in rollout.of(CommandDevice)} == {"install"}

    rollout.ack("a", "installed").ack("b", "installed")
    assert len(rollout.commands()) == 3
    rollout.ack("c", "installed")

    assert [effect.action for effect in rollout.of(CommandDevice)[3:]] == ["switch"] * 3
    rollout.all_succeed()
    assert rollout.phase == "succeeded"


def test_blue_green_tried_again_installs_everywhere_before_anybody_switches(story):
    document = {"strategy": "blue-green", "limits": {"bake_s": 0, "retries": 0, "concurrency": 2}}
    rollout = story(document, a=0, b=0).begin().ack("a", "installed").ack("b", "installed")
    rollout.tell(told.Aborted("eve", "wait", rollout.now_ms))
    rollout.all_succeed(["a", "b"])
    rollout.effects.clear()

    rollout.tell(told.Retried("eve", "now", rollout.now_ms))

    rollout.ack("a", "installed")
    assert [effect.action for effect in rollout.of(CommandDevice)] == ["install", "install"]
    rollout.ack("b", "installed")
    assert [effect.action for effect in rollout.of(CommandDevice)] == ["install", "install", "switch", "switch"]


def test_blue_green_takes_back_installations_too(story):
    rollout = story({"strategy": "blue-green", "limits": {"bake_s": 0, "retries": 0}}, a=0, b=0).begin()
    rollout.ack("a", "installed").ack("b", "installed").ack("a", "failed")

    assert rollout.commands()[-2:] == [("a", OLD), ("b", OLD)]


# ---- the end ----


@pytest.mark.parametrize(("on_deadline", "end"), [("rollback", "rolling_back"), ("leave", "aborted")])
@pytest.mark.parametrize("paused", [False, True])
def test_the_deadline_ends_a_rollout_wherever_it_waits(story, on_deadline, end, paused):
    rollout = story({**GATED, "on_deadline": on_deadline, "limits": {"deadline_s": 500, "timeout_s": 1_000}}, a=0)
    rollout.begin()
    if paused:
        rollout.tell(told.Paused("eve", "lunch", rollout.now_ms))

    rollout.wait(499)
    before = rollout.phase
    rollout.wait(1)

    assert before == ("paused" if paused else "running")
    assert rollout.phase == end


@pytest.mark.parametrize("phase", sorted(SETTLED))
@pytest.mark.parametrize(
    "event",
    [
        told.TimePassed(9_999_999_999),
        told.Acked("d1", AckPhase.FAILED, 2_000),
        told.Acked("d1", AckPhase.SUCCEEDED, 2_000),
        told.DeviceJoined("d2", 2_000, stage=0, previous=OLD),
        told.DeviceLeft("d1", 2_000),
        told.DeviceSeen("d1", False, 2_000),
        told.DeviceTaken("d1", "r2", True, 2_000),
        told.Superseded("r2", 2_000),
        told.Paused("eve", "", 2_000),
        told.Resumed("eve", "", 2_000),
        told.Promoted("eve", "", 2_000, full=True),
        told.Aborted("eve", "", 2_000),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_settled_rollout_never_moves_again(phase, event):
    plan = parse_plan({"rollout": "r1", "model": NEW, "strategy": "all-at-once"})
    members = Members()
    members.add(Member("d1", State.IN_PROGRESS, stage=0, attempts=1, previous=OLD, touched=True, at_ms=1_000))
    settled = Rollout(plan=plan, members=members, phase=phase)

    after, effects = decide(settled, event)

    assert after == settled
    assert not [effect for effect in effects if isinstance(effect, RaiseAlert | WriteAudit | ResolveAlert)]
    commanded = {effect.device_id for effect in effects if isinstance(effect, CommandDevice)}
    # Who comes late takes what counts: that moves the device, not the rollout.
    assert commanded <= ({"d2"} if phase is RolloutPhase.SUCCEEDED else set())


def test_a_row_is_noted_whenever_it_moves(story):
    rollout = story(ONE, a=0).begin()

    effects = rollout.tell(told.Acked("a", AckPhase.TRIAL, rollout.now_ms))

    assert effects == (NoteDevice("a"),)


def test_a_device_that_comes_by_the_model_in_another_way_needs_no_command(story):
    rollout = story({**ONE, "limits": {"concurrency": 1, "bake_s": 60}}, a=0, b=0).begin()

    rollout.tell(told.DeviceProved("b", NEW, rollout.now_ms))
    rollout.ack("a", "succeeded")

    assert rollout.commands() == [("a", NEW)]
    assert (rollout.phase, rollout.state("b")) == ("baking", "succeeded")
