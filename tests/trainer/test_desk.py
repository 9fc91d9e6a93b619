"""Each rule of the desk."""

from dataclasses import replace

import pytest

from schemas.drift_alert import AlertState, DriftAlert, Evidence, Severity
from schemas.training import TrainingCause
from trainer.desk import Desk, DeskPolicy, file_requests, note_alert, note_label, note_request

POLICY = DeskPolicy(sustained_ms=1_000, devices=3, labels=5, accuracy_window=10, cool_down_ms=100_000)
PIPELINES = {"bearing": "machine/1"}


def alert(device: str = "d1", kind: str = "mean_shift", opened_ms: int = 0, **changes) -> DriftAlert:
    facts = {
        "alert_id": f"{device}-{kind}",
        "kind": kind,
        "subject": device,
        "subject_is_cohort": False,
        "feature": "temperature",
        "model_id": "bearing/3",
        "state": AlertState.FIRING,
        "severity": Severity.HIGH,
        "opened_ms": opened_ms,
        "changed_ms": opened_ms,
        "summary": "",
        "evidence": Evidence(scores={}, samples=1, reference="b", horizon_ms=1),
        "policy_id": "p",
        "policy_revision": 1,
    }
    return DriftAlert(**{**facts, **changes})


def desk(*alerts: DriftAlert) -> Desk:
    known = Desk()
    for one in alerts:
        known = note_alert(known, one, told_ms=one.opened_ms)
    return known


def asked(known: Desk, now_ms: int = 5_000):
    return file_requests(known, POLICY, PIPELINES, now_ms=now_ms)[1]


THREE = [alert(name) for name in ("d1", "d2", "d3")]


def test_several_devices_that_drift_are_a_new_world():
    (request,) = asked(desk(*THREE))

    assert request.cause is TrainingCause.DRIFT
    assert request.reason == "3 devices drifted for 0 min or longer in temperature"
    assert set(request.alerts) == {one.alert_id for one in THREE}
    assert (request.pipeline, request.data_to_ms) == ("machine/1", 5_000)


def test_the_world_changed_when_most_had_seen_it():
    seen = [alert(f"d{number}", opened_ms=opened_ms) for number, opened_ms in enumerate((3, 2_000, 2_010))]

    (request,) = asked(desk(*seen))

    assert request.changed_ms == 2_000


def test_one_devices_drift_is_its_own():
    assert asked(desk(alert("d1"), alert("d1", "variance_change"))) == ()


def test_a_cohorts_drift_is_the_worlds():
    assert len(asked(desk(alert("region=north", subject_is_cohort=True)))) == 1


def test_what_has_just_begun_does_not_count():
    assert asked(desk(*THREE), now_ms=999) == ()


def test_how_long_it_lasts_is_no_matter_of_a_devices_clock():
    known = Desk()
    for one in THREE:
        late = note_alert(known, replace(one, opened_ms=-7_200_000), told_ms=4_500)
        # What is told again of it began no later.
        known = note_alert(late, one, told_ms=4_900)

    assert asked(known, now_ms=5_000) == ()
    assert len(asked(known, now_ms=5_500)) == 1
    assert len(asked(desk(*THREE), now_ms=1_000)) == 1


def test_what_is_over_does_not_count():
    over = [replace(one, state=AlertState.RESOLVED) for one in THREE[:1]]

    assert asked(desk(*THREE, *over)) == ()


@pytest.mark.parametrize(
    "kind", ["dead_sensor", "stuck_bin", "missing_rate", "out_of_range", "unseen_category", "missing_rate_change"]
)
def test_a_sensors_fault_is_no_new_world(kind):
    assert asked(desk(*(replace(one, kind=kind) for one in THREE))) == ()


@pytest.mark.parametrize("kind", ["rollout_failed", "device_offline", "limit", "shift"])
def test_what_is_no_drift_of_inputs_is_no_new_world(kind):
    rollout = alert("bearing-3", kind, subject_is_cohort=True)

    assert asked(desk(rollout, *(replace(one, kind=kind) for one in THREE))) == ()


def test_devices_with_faulty_sensors_are_left_out():
    (request,) = asked(desk(*THREE, alert("d9", "missing_rate"), alert("d8", "stuck_bin", model_id="other/1")))

    assert request.excluded_devices == ("d9",)


def test_a_model_is_asked_for_once_until_its_cool_down_is_over():
    known, first = file_requests(desk(*THREE), POLICY, PIPELINES, now_ms=5_000)
    known, second = file_requests(known, POLICY, PIPELINES, now_ms=6_000)
    known, third = file_requests(known, POLICY, PIPELINES, now_ms=105_000)

    assert (len(first), len(second), len(third)) == (1, 0, 1)


def test_a_desk_that_starts_over_asks_for_the_same_thing():
    (first,), (again,) = asked(desk(*THREE)), asked(desk(*THREE[::-1]), now_ms=9_000)

    assert first.request_id == again.request_id


def labelled(known: Desk, *answers: bool, promised: float | None = 0.9, from_ms: int = 0) -> Desk:
    for at_ms, right in enumerate(answers, from_ms):
        known = note_label(known, "bearing", right=right, promised=promised, policy=POLICY, at_ms=at_ms)
    return known


def test_enough_new_labels_are_worth_a_training():
    assert asked(labelled(Desk(), *[True] * 4)) == ()
    (request,) = asked(labelled(Desk(), *[True] * 5))

    assert (request.cause, request.reason) == (TrainingCause.LABELS, "5 new labelled predictions")


def test_labels_from_before_the_last_request_are_not_new_however_late_they_are_read():
    (request,) = asked(desk(*THREE), now_ms=5_000)
    later = replace(POLICY, cool_down_ms=0)

    old = labelled(note_request(Desk(), request), *[False] * 20, from_ms=4_981)
    new = labelled(old, *[True] * 5, from_ms=5_001)

    assert old == note_request(Desk(), request)
    (again,) = file_requests(new, later, PIPELINES, now_ms=9_000)[1]
    assert (again.cause, again.reason) == (TrainingCause.LABELS, "5 new labelled predictions")


def test_accuracy_must_be_low_for_a_while():
    policy = replace(POLICY, labels=1_000)
    low = labelled(Desk(), *[False, True] * 5, from_ms=100)

    assert file_requests(low, policy, PIPELINES, now_ms=1_000)[1] == ()
    (request,) = file_requests(low, policy, PIPELINES, now_ms=1_110)[1]
    assert request.cause is TrainingCause.ACCURACY
    assert "50% over the last 10 labels" in request.reason

    healed = labelled(low, *[True] * 40, from_ms=200)
    assert file_requests(healed, policy, PIPELINES, now_ms=9_000)[1] == ()


def test_without_a_promise_there_is_no_loss_of_accuracy():
    policy = replace(POLICY, labels=1_000)

    assert file_requests(labelled(Desk(), *[False] * 20, promised=None), policy, PIPELINES, now_ms=9_000)[1] == ()


def test_an_unknown_model_is_not_asked_for():
    assert asked(desk(*(replace(one, model_id="ghost/1") for one in THREE))) == ()
