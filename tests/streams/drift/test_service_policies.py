"""The drift worker over real Kafka: signed policies, labels of devices, and what operators ask of alerts."""

import asyncio
import json
import time

import pytest
from drift_fleet import MINUTE_MS, Fleet, asked, device, policy
from patience import until

from schemas.drift_alert import AlertState
from streams.drift.policy import own_policy, timelines
from streams.drift.policy.wanted import Wanted
from streams.drift.service import DriftSettings, make_drift_app
from trust import sign_record

SOURCE = "telemetry.feature-stats"


@pytest.fixture
def fleet(publish):
    fleet = Fleet()
    publish("models.grids", [fleet.grid])
    publish("models.baselines", [fleet.baseline])
    return fleet


def lately(minutes):
    now_ms = int(time.time() * 1000)
    return now_ms - now_ms % MINUTE_MS - minutes * MINUTE_MS


EVERY = "[reporting]\ncomplete_every = 1\n"


@pytest.mark.parametrize(
    "change", ["[floors]\npsi = 0.3\n", "horizons_minutes = [5, 30, 1440]\n"], ids=["its floors", "its horizons"]
)
async def test_a_signed_policy_counts_from_the_offset_that_is_noted(
    cluster, publish, found_on, running, noting, fleet, signer, keyring, change
):
    """Also over a restart, and with a policy of other horizons, for which the rings are filled anew."""
    start_ms, settings = lately(40), DriftSettings(policy=own_policy(EVERY, policy_id="own"), keyring=keyring)
    windows = [fleet.window("d-1", minute, start_ms=start_ms) for minute in range(40)]

    publish(SOURCE, windows[:10])
    async with running(make_drift_app(cluster, settings)):
        await asyncio.to_thread(found_on, "drift.scores", told(10))
        await asyncio.to_thread(publish, "drift.policies", [sign_record(policy(1, change + EVERY), [signer])])
        await asyncio.to_thread(publish, "drift.policies", [policy(2, EVERY)])
        forged = await asyncio.to_thread(found_on, "dead-letters", lambda found: found)
        await asyncio.to_thread(publish, SOURCE, windows[10:20])
        await asyncio.to_thread(found_on, "drift.scores", told(20))
    publish(SOURCE, windows[20:30])
    heeded = noting(Wanted, "heed")
    async with running(make_drift_app(cluster, settings)):
        await asyncio.to_thread(found_on, "drift.scores", told(30))
        await asyncio.to_thread(publish, "drift.policies", [sign_record(policy(3, "", withdrawn=True), [signer])])
        await until(lambda: any(one.revision == 3 for (one,) in heeded))
        await asyncio.to_thread(publish, SOURCE, windows[30:])
        scores = await asyncio.to_thread(found_on, "drift.scores", told(40))

    (line,) = timelines(cluster, SOURCE).values()
    assert [(offset, one.policy_id, one.revision) for offset, one in line.spans] == [
        (0, "own", 0),
        (10, "default", 1),
        (30, "own", 0),
    ]
    for one in scores:
        counted = line.at(one.seq)
        assert (one.policy_id, one.policy_revision) == (counted.policy_id, counted.revision)
        assert one.horizon_ms in counted.rules.horizons_ms
    assert forged[0].source_topic == "drift.policies"
    audit = await asyncio.to_thread(found_on, "audit.log", lambda found: found)
    assert {(entry.subject, entry.action) for entry in audit} == {("policy/default", "refused")}


async def test_a_policy_that_does_not_verify_is_told_once(cluster, publish, found_on, running, fleet, keyring):
    """By one of several workers, and not again when they start again."""
    start_ms, settings = lately(20), DriftSettings(policy=own_policy(EVERY, policy_id="own"), keyring=keyring)
    windows = [fleet.window("d-1", minute, start_ms=start_ms) for minute in range(20)]
    publish("drift.policies", [policy(2, EVERY)])

    for first in (0, 10):
        publish(SOURCE, windows[first : first + 10])
        async with running(make_drift_app(cluster, settings)), running(make_drift_app(cluster, settings)):
            letters = await asyncio.to_thread(found_on, "dead-letters", lambda found: found)
            await asyncio.to_thread(found_on, "drift.scores", told(first + 10))
            await asyncio.sleep(3)

    audit = await asyncio.to_thread(found_on, "audit.log", lambda found: found)
    assert [letter.source_topic for letter in letters] == ["drift.policies"]
    assert [(entry.subject, entry.action) for entry in audit] == [("policy/default", "refused")]


async def test_a_policy_published_while_nobody_worked_counts_behind_what_was_there(
    cluster, publish, found_on, running, fleet, signer, keyring
):
    """What lay on the topic might have been judged, and told of, by a worker whose commit was lost."""
    start_ms, settings = lately(30), DriftSettings(policy=own_policy(EVERY, policy_id="own"), keyring=keyring)
    windows = [fleet.window("d-1", minute, start_ms=start_ms) for minute in range(30)]

    publish(SOURCE, windows[:10])
    async with running(make_drift_app(cluster, settings)):
        await asyncio.to_thread(found_on, "drift.scores", told(10))
    publish(SOURCE, windows[10:20])
    publish("drift.policies", [sign_record(policy(1, EVERY + "[floors]\npsi = 0.3\n"), [signer])])
    async with running(make_drift_app(cluster, settings)):
        await asyncio.to_thread(found_on, "drift.scores", told(20))
        await asyncio.to_thread(publish, SOURCE, windows[20:])
        await asyncio.to_thread(found_on, "drift.scores", told(30))

    (line,) = timelines(cluster, SOURCE).values()
    assert [(offset, one.policy_id) for offset, one in line.spans] == [(0, "own"), (20, "default")]


async def test_alerts_carry_labels_and_silences_begin_and_end(cluster, publish, found_on, running, fleet):
    start_ms = lately(30)
    publish("fleet.devices", [device("d-1", region="eu", serial="17"), device("d-2", region="us", serial="18")])
    shifted = [
        fleet.window(name, minute, values=fleet.readings(shift=1.0, feature=1), start_ms=start_ms)
        for minute in range(6)
        for name in ("d-1", "d-2")
    ]
    publish(SOURCE, shifted)

    async with running(make_drift_app(cluster)):
        alerts = await asyncio.to_thread(found_on, "drift.alerts", lambda found: len(found) >= 2)
        end_ms = str(int(time.time() * 1000) + 3_600_000)
        silence = asked("silence/eu-works", "silence", until_ms=end_ms, matchers=json.dumps({"region": "e*"}))
        await asyncio.to_thread(publish, "operators.requests", [silence])
        silenced = await asyncio.to_thread(found_on, "drift.alerts", lambda found: any(one.silenced for one in found))
        await asyncio.to_thread(publish, "operators.requests", [asked("silence/eu-works", "unsilence")])
        ended = await asyncio.to_thread(found_on, "drift.alerts", lambda found: len(found) > len(silenced))
        audit = await asyncio.to_thread(
            found_on, "audit.log", lambda found: any(one.action == "unsilenced" for one in found)
        )

    assert {one.subject: one.labels["serial"] for one in alerts} == {"d-1": "17", "d-2": "18"}
    assert [one.subject for one in silenced if one.silenced] == ["d-1"]
    assert [one.silenced for one in ended if one.subject == "d-1"] == [False, True, False]
    assert {one.state for one in ended} == {AlertState.FIRING}
    by_people = [(entry.subject, entry.action, entry.who) for entry in audit if entry.who == "ada"]
    assert by_people == [("silence/eu-works", "silenced", "ada"), ("silence/eu-works", "unsilenced", "ada")]


async def test_rules_of_a_cohort_follow_the_labels(cluster, publish, found_on, running, fleet):
    rules = EVERY + '[[override]]\ncohort = "region=eu"\n[override.rules]\nmode = "thresholds"\n'
    start_ms = lately(5)
    publish("fleet.devices", [device("d-1", region="eu"), device("d-2", region="us")])
    publish(SOURCE, [fleet.window(name, minute, start_ms=start_ms) for minute in range(3) for name in ("d-1", "d-2")])

    async with running(make_drift_app(cluster, DriftSettings(policy=own_policy(rules + "[limits.psi]\nlow = 1e-9\n")))):
        scores = await asyncio.to_thread(found_on, "drift.scores", lambda found: len(found) >= 6)

    assert {one.device_id for one in scores if one.verdict.value == "warning"} == {"d-1"}


def told(windows):
    return lambda found: len({one.seq for one in found if one.horizon_ms <= 900_000}) >= windows
