"""Many alerts with one cause become one, rule by rule, and over real Kafka."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.drift_alert import AlertState, DriftAlert, Evidence, Severity
from schemas.operators import OperatorRequest
from streams.drift.cohort_service import CohortSettings, make_cohort_app
from streams.drift.grouping import Groups
from streams.drift.policy import own_policy
from streams.drift.silences import Silence

POLICY = own_policy('cohorts = ["region", "model"]\n[alerts]\ngroup_from = 4\n', policy_id="p")


def alert(device, *, at_ms=1000, state=AlertState.FIRING, severity=Severity.HIGH, feature="heat", region="eu"):
    return DriftAlert(
        alert_id=f"{device}/{feature}/mean_shift/1000",
        kind="mean_shift",
        subject=device,
        subject_is_cohort=False,
        feature=feature,
        model_id="pump/1",
        state=state,
        severity=severity,
        opened_ms=1000,
        changed_ms=at_ms,
        summary="",
        evidence=Evidence(scores={"psi": 0.4}, samples=600, reference="b", horizon_ms=900_000),
        policy_id="p",
        policy_revision=0,
        labels={"region": region},
    )


def grouped(alerts, groups=None, *, is_mine=lambda cohort: cohort.startswith("region=")):
    groups = groups or Groups(POLICY)
    changes = []
    for one in alerts:
        groups.take(one)
        changes += groups.changes(is_mine)
    return groups, changes


def test_so_many_devices_with_the_same_alert_are_one_alert_that_lists_them():
    _, changes = grouped(alert(f"d-{i}") for i in range(5))

    assert [one.members for one in changes] == [tuple(f"d-{i}" for i in range(n)) for n in (4, 5)]
    assert {one.alert_id for one in changes} == {"cohort/region=eu/heat/mean_shift/1000"}
    assert changes[-1].summary == "high mean shift in heat of 5 devices with region=eu"
    assert (changes[0].state, changes[0].subject_is_cohort) == (AlertState.FIRING, True)


@pytest.mark.parametrize("other", [{"feature": "load"}, {"region": "us"}, {"state": AlertState.PENDING}])
def test_other_features_other_cohorts_and_what_does_not_fire_count_by_themselves(other):
    _, changes = grouped([*(alert(f"d-{i}") for i in range(3)), alert("d-9", **other)])

    assert changes == []


def test_a_model_is_a_cohort_too():
    _, changes = grouped((alert(f"d-{i}") for i in range(4)), is_mine=lambda cohort: cohort == "model=pump/1")

    assert [one.subject for one in changes] == ["model=pump/1"]


def test_it_resolves_when_half_are_left_and_the_next_group_is_another():
    groups, _ = grouped(alert(f"d-{i}") for i in range(4))

    _, ended = grouped((alert(f"d-{i}", state=AlertState.RESOLVED, at_ms=2000) for i in range(2)), groups)
    _, again = grouped((replace(alert(f"e-{i}", at_ms=3000), opened_ms=3000) for i in range(2)), groups)

    assert [one.state for one in ended] == [AlertState.FIRING, AlertState.RESOLVED]
    assert [one.opened_ms for one in again] == [3000]


def test_severity_rises_and_never_falls():
    _, changes = grouped(
        [
            *(alert(f"d-{i}") for i in range(4)),
            alert("d-4", severity=Severity.CRITICAL),
            alert("d-4", state=AlertState.RESOLVED),
        ]
    )

    assert [one.severity for one in changes] == [Severity.HIGH, Severity.CRITICAL, Severity.CRITICAL]


def test_an_acknowledged_group_stays_so_as_members_come():
    groups, (first,) = grouped(alert(f"d-{i}") for i in range(4))

    heard = groups.acknowledge(first.alert_id, "ada", 5000)
    _, changes = grouped([alert("d-7", at_ms=6000)], groups)

    assert (heard.state, heard.by) == (AlertState.ACKNOWLEDGED, "ada")
    assert (changes[0].state, len(changes[0].members)) == (AlertState.ACKNOWLEDGED, 5)


def test_a_silence_covers_a_cohort():
    groups, _ = grouped(alert(f"d-{i}") for i in range(4))
    groups.silences = {"s": Silence(silence_id="s", until_ms=9000, matchers={"region": "eu"})}

    assert [one.silenced for one in groups.changes(lambda _: True) if one.subject == "region=eu"] == [True]


EVENTS = st.lists(
    st.builds(
        lambda device, state, severity: (device, state, severity),
        st.integers(0, 7),
        st.sampled_from([AlertState.FIRING, AlertState.ACKNOWLEDGED, AlertState.RESOLVED]),
        st.sampled_from([Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL]),
    ),
    max_size=40,
)


@given(EVENTS, st.integers(0, 40))
def test_whoever_takes_over_says_what_the_one_before_would_have_said(events, cut):
    log = [
        alert(f"d-{device}", state=state, severity=severity, at_ms=1000 + number)
        for number, (device, state, severity) in enumerate(events)
    ]
    unharmed, before = grouped(log[:cut])
    successor = Groups(POLICY)
    # A compacted topic: the newest record of each alert, in whatever order.
    for one in [*{one.alert_id: one for one in log[:cut]}.values(), *{one.alert_id: one for one in before}.values()]:
        successor.take(one)

    assert successor.changes(lambda cohort: cohort.startswith("region=")) == []
    assert grouped(log[cut:], successor)[1] == grouped(log[cut:], unharmed)[1]


async def test_a_cohorts_alert_is_told_once_over_a_restart_and_acknowledged(cluster, publish, found_on, running):
    settings = CohortSettings(policy=POLICY)
    publish("drift.alerts", [alert(f"d-{i}") for i in range(4)])
    async with running(make_cohort_app(cluster, settings)):
        await asyncio.to_thread(found_on, "drift.alerts", lambda found: len(of_region(found)) == 1)
    publish("drift.alerts", [alert("d-4")])
    async with running(make_cohort_app(cluster, settings)):
        (_, fifth) = of_region(
            await asyncio.to_thread(found_on, "drift.alerts", lambda found: len(of_region(found)) == 2)
        )
        request = OperatorRequest(
            request_id="11111111-2222-4333-8444-555555555555", subject=f"alert/{fifth.alert_id}", action="acknowledge",
            who="ada", why="", at_ms=5000,
        )  # fmt: skip
        await asyncio.to_thread(publish, "operators.requests", [request])
        heard = of_region(await asyncio.to_thread(found_on, "drift.alerts", lambda found: len(of_region(found)) == 3))
        audit = await asyncio.to_thread(found_on, "audit.log", lambda found: any(one.who == "ada" for one in found))

    assert fifth.members == ("d-0", "d-1", "d-2", "d-3", "d-4")
    assert {one.state for one in heard} == {AlertState.FIRING, AlertState.ACKNOWLEDGED}
    assert {one.who for one in audit} == {"cohort worker", "ada"}


def of_region(alerts):
    return [one for one in alerts if one.subject == "region=eu"]
