"""A backtest of what was is what was: alert for alert, over a real Kafka."""

import asyncio
import json
import time
from dataclasses import replace

import numpy as np
import pytest
from drift_fleet import MINUTE_MS, Fleet, asked, boot_of, device, health, policy
from patience import PATIENCE_S, eventually, until

from schemas import feeds
from schemas.drift_alert import AlertState
from streams.backtest.exporting import NEEDED, export_file, export_folder
from streams.backtest.history import ClusterHistory, FileHistory
from streams.backtest.running import Plan, run
from streams.backtest.span import EVER
from streams.drift.labels import Labels
from streams.drift.policy import own_policy
from streams.drift.policy.wanted import Wanted
from streams.drift.service import GROUP, DriftSettings, make_drift_app
from streams.health.partition import HEALTH
from streams.health.service import GROUP as HEALTH_GROUP
from streams.health.service import HealthSettings, make_health_app
from trust import sign_record

SOURCE = "telemetry.feature-stats"
OWN = "[alerts]\nresolve_after_windows = 3\nflap_minutes = 1\n"
FLOORS = OWN + "[floors]\nmean_shift = 0.7\npsi = 1.5\n"
HORIZONS = "horizons_minutes = [5, 30, 1440]\n" + OWN


def log(fleet, *, minutes, devices=5):
    """Windows of devices that drift now and then, with late, repeated and swapped ones among them."""
    now_ms = int(time.time() * 1000)
    start_ms = now_ms - now_ms % MINUTE_MS - minutes * MINUTE_MS
    rng = np.random.default_rng(7)
    windows = []
    for minute in range(minutes):
        for number in range(devices):
            values = fleet.readings(samples=200)
            if number and (minute // 15 + number) % 3 == 0:
                values[:, number % 3] += (0.5, 1.0, 3.0)[number % 3]
            windows.append(
                fleet.window(f"d-{number}", minute, values=values, start_ms=start_ms, boot=boot_of(f"d-{number}"))
            )
    repeated = [windows[i] for i in rng.integers(0, len(windows), 40)]
    late = windows[10:25]
    rest = windows[:10] + windows[25:200] + late + windows[200:]
    for one in repeated:
        rest.insert(int(rng.integers(len(rest) // 2, len(rest))), one)
    for i in rng.integers(0, len(rest) - 1, 30).tolist():
        rest[i], rest[i + 1] = rest[i + 1], rest[i]
    return rest


def all_on(cluster, topic):
    with feeds.follow(cluster, topic, from_ms=0, until_current=True) as log:
        return [event.value for event in log if isinstance(event, feeds.Changed)]


def by_alert(alerts):
    found = {}
    for alert in alerts:
        found.setdefault(alert.alert_id, []).append(alert)
    return found


# Three rounds of a worker on a busy machine.
@pytest.mark.timeout(600)
async def test_the_replay_as_then_gives_exactly_the_alerts_that_were_published(
    cluster, publish, found_on, running, noting, signer, keyring, tmp_path
):
    """Over two changes of policy, one of them of its horizons; from the cluster, a file and a folder."""
    fleet = Fleet()
    publish("models.grids", [fleet.grid])
    publish("models.baselines", [fleet.baseline])
    windows = log(fleet, minutes=90)
    settings = DriftSettings(policy=own_policy(OWN, policy_id="own"), keyring=keyring, max_run_records=50)
    thirds = [windows[:150], windows[150:300], windows[300:]]
    # Nobody has a baseline for this one: it is a dead letter then, and must not count now.
    stranger = replace(windows[0], model_id="stranger/1", seq=10_000)

    heeded = noting(Wanted, "heed")
    async with running(make_drift_app(cluster, replace(settings, wait_for_baseline_s=0.2))):
        for revision, (some, document) in enumerate(zip(thirds, (None, FLOORS, HORIZONS), strict=True)):
            if document is not None:
                signed = sign_record(policy(revision, document), [signer])
                await asyncio.to_thread(publish, "drift.policies", [signed])
                await until(lambda wanted=revision: any(one.revision == wanted for (one,) in heeded))
            await asyncio.to_thread(publish, SOURCE, some)
            await judged(cluster, sum(map(len, thirds[: revision + 1])))
        await asyncio.to_thread(publish, SOURCE, [stranger])
        await asyncio.to_thread(found_on, "dead-letters", lambda found: found)
    published = await asyncio.to_thread(all_on, cluster, "drift.alerts")

    await asyncio.to_thread(publish, "models.baselines", [fleet.baseline_of("stranger/1")])
    histories = await asyncio.to_thread(histories_of, cluster, tmp_path)
    for history in histories:
        found = await asyncio.to_thread(run, history, Plan(as_then=True))
        assert by_alert(found.as_then) == by_alert(published), history.name

    assert {alert.policy_revision for alert in published} == {0, 1, 2}
    assert {alert.state for alert in published} >= {AlertState.FIRING, AlertState.RESOLVED}
    assert found.counts.tally.repeated == 40


RULES = (
    'mode = "thresholds"\n'
    + OWN
    + '[[override]]\nmodel = "calm/*"\n[override.rules]\nmode = "calibrated"\n'
    + '[[override]]\ncohort = "site=b"\n[override.rules.limits.psi]\nhigh = 3.0\n'
)


@pytest.mark.timeout(600)
async def test_labels_and_operators_count_from_when_they_did(cluster, publish, found_on, running, noting, tmp_path):
    """Fixed limits, overrides by model and by cohort; devices change their labels, people acknowledge and silence."""
    fleet = Fleet()
    publish("models.grids", [fleet.grid])
    publish("models.baselines", [fleet.baseline, fleet.baseline_of("calm/1")])
    publish("fleet.devices", [device("d-0", site="a"), device("d-1", site="b"), device("d-3", site="a")])
    now_ms = int(time.time() * 1000)
    start_ms = now_ms - now_ms % MINUTE_MS - 60 * MINUTE_MS
    rounds = [
        [window_of(fleet, number, minute, start_ms) for minute in range(first, first + 12) for number in range(4)]
        for first in range(0, 48, 12)
    ]

    labels = noting(Labels, "put")
    async with running(make_drift_app(cluster, DriftSettings(policy=own_policy(RULES, policy_id="own")))):

        async def ask(request, topic, shown):
            await asyncio.to_thread(publish, "operators.requests", [request])
            await asyncio.to_thread(found_on, topic, lambda found: any(map(shown, found)))

        async def move(name, site):
            await asyncio.to_thread(publish, "fleet.devices", [device(name, site=site)])
            await until(lambda: (name, {"site": site}) in labels)

        async def play(number):
            await asyncio.to_thread(publish, SOURCE, rounds[number])
            await judged(cluster, sum(map(len, rounds[: number + 1])))

        await play(0)
        first = await asyncio.to_thread(found_on, "drift.alerts", lambda found: fires_on(found, "d-0"))
        fired = next(one for one in first if fires_on([one], "d-0"))
        await ask(asked(f"alert/{fired.alert_id}", "acknowledge"), "drift.alerts", lambda one: one.by == "ada")
        # From here on the first device is judged as the second was, and the second as the first.
        await move("d-0", "b")
        await move("d-1", "a")
        await play(1)
        end_ms = str(int(time.time() * 1000) + 3_600_000)
        silence = asked("silence/works", "silence", until_ms=end_ms, matchers=json.dumps({"site": "a"}))
        await ask(silence, "drift.alerts", lambda one: one.silenced)
        await play(2)
        await ask(asked("silence/works", "unsilence"), "audit.log", lambda one: one.action == "unsilenced")
        await play(3)
        await asyncio.to_thread(publish, "operators.requests", [asked("silence/none", "silence", until_ms="soon")])
    published = await asyncio.to_thread(all_on, cluster, "drift.alerts")

    for history in await asyncio.to_thread(histories_of, cluster, tmp_path):
        found = await asyncio.to_thread(run, history, Plan(as_then=True))
        assert by_alert(found.as_then) == by_alert(published), history.name
        assert any("until_ms: found 'soon'" in note for note in found.notes)
    assert {one.subject for one in published if one.state is AlertState.FIRING} == {"d-0", "d-1", "d-2", "d-3"}
    assert {one.labels.get("site") for one in published} == {"a", "b", None}
    assert {one.by for one in published} == {"", "ada"}
    assert {one.silenced for one in published} == {True, False}


@pytest.mark.timeout(600)
async def test_a_request_counts_from_where_a_busy_worker_took_it_up(cluster, publish, found_on, running):
    """It comes while the worker is behind its log: many records arrived before it, and are judged after it."""
    fleet = Fleet()
    publish("models.grids", [fleet.grid])
    publish("models.baselines", [fleet.baseline])
    now_ms = int(time.time() * 1000)
    start_ms = now_ms - now_ms % MINUTE_MS - 600 * MINUTE_MS
    windows = [
        fleet.window("d-0", minute, start_ms=start_ms, values=fleet.readings(shift=3.0 * (minute % 40 < 20)))
        for minute in range(580)
    ]

    async with running(
        make_drift_app(cluster, DriftSettings(policy=own_policy(OWN, policy_id="own"), max_run_records=5))
    ):
        await asyncio.to_thread(publish, SOURCE, windows[:12])
        first = await asyncio.to_thread(found_on, "drift.alerts", lambda found: fires_on(found, "d-0"))
        silence = asked("silence/works", "silence", until_ms=str(2**50), matchers=json.dumps({"subject": "d-0"}))
        await asyncio.to_thread(publish, SOURCE, windows[12:])
        await asyncio.to_thread(
            publish, "operators.requests", [asked(f"alert/{first[0].alert_id}", "acknowledge"), silence]
        )
        await judged(cluster, len(windows))
        audit = await asyncio.to_thread(
            found_on, "audit.log", lambda found: any(one.action == "heeded" for one in found)
        )
    published = await asyncio.to_thread(all_on, cluster, "drift.alerts")

    found = await asyncio.to_thread(run, ClusterHistory(cluster), Plan(as_then=True))
    assert by_alert(found.as_then) == by_alert(published)
    heeded_from = {int(offset) for one in audit if one.action == "heeded" for offset in one.evidence.values()}
    assert any(12 < offset < len(windows) for offset in heeded_from), heeded_from
    assert {one.silenced for one in published} == {True, False}


@pytest.mark.timeout(600)
async def test_alerts_of_health_are_told_as_then(cluster, publish, found_on, running, tmp_path):
    fleet = Fleet()
    publish("models.grids", [fleet.grid])
    publish("models.baselines", [fleet.baseline])
    now_ms = int(time.time() * 1000)
    start_ms = now_ms - now_ms % MINUTE_MS - 180 * MINUTE_MS
    publish(SOURCE, [fleet.window(f"d-{number}", 0, start_ms=start_ms) for number in range(3)])
    told = [
        health(f"d-{number}", minute, start_ms=start_ms, errors=300 if number and 60 <= minute < 120 else 0)
        for minute in range(160)
        for number in range(3)
    ]

    async with running(make_health_app(cluster, HealthSettings(policy=own_policy(OWN, policy_id="own")))):
        await asyncio.to_thread(publish, HEALTH, told[:300])
        fired = await asyncio.to_thread(found_on, "drift.alerts", lambda found: fires_on(found, "d-1"))
        await judged(cluster, 300, topic=HEALTH, group=HEALTH_GROUP)
        request = asked(f"alert/{fired[0].alert_id}", "acknowledge")
        await asyncio.to_thread(publish, "operators.requests", [request])
        await asyncio.to_thread(found_on, "drift.alerts", lambda found: any(one.by for one in found))
        await asyncio.to_thread(publish, HEALTH, [*told[300:], *told[150:170]])
        await judged(cluster, 500, topic=HEALTH, group=HEALTH_GROUP)
    published = await asyncio.to_thread(all_on, cluster, "drift.alerts")
    export_folder(ClusterHistory(cluster), NEEDED, EVER, tmp_path / "archive")

    for history in (ClusterHistory(cluster), FileHistory(tmp_path / "archive")):
        found = await asyncio.to_thread(run, history, Plan(as_then=True))
        assert by_alert(found.as_then) == by_alert(published), history.name
    assert {one.by for one in published} == {"", "ada"}


def window_of(fleet, number, minute, start_ms):
    values = fleet.readings(samples=200)
    if minute % 12 < 8:
        values[:, number % 3] += (2.0, 6.0, 2.0, 1.5)[number]
    model = "calm/1" if number == 3 else "pump/1"
    return fleet.window(f"d-{number}", minute, values=values, start_ms=start_ms, model_id=model)


def fires_on(alerts, device_id):
    return any(one.subject == device_id and one.state is AlertState.FIRING for one in alerts)


def histories_of(cluster, folder):
    live = ClusterHistory(cluster)
    export_file(live, SOURCE, EVER, folder / "stats.avro")
    export_folder(live, NEEDED, EVER, folder / "archive")
    return [live, FileHistory(folder / "stats.avro"), FileHistory(folder / "archive")]


async def judged(cluster, count, *, topic=SOURCE, group=GROUP):
    """Wait until a worker has committed so many records."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({**cluster.client_settings(), "group.id": cluster.named(group), "enable.auto.commit": False})
    places = [TopicPartition(cluster.named(topic), number) for number in range(12)]

    def found():
        return sum(max(place.offset, 0) for place in consumer.committed(places, timeout=PATIENCE_S))

    await asyncio.to_thread(eventually, lambda: found() >= count, 150, lambda: f"{found()} of {count} are judged")
    consumer.close()
