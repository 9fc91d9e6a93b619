"""A backtest of what was is what was: alert for alert, over a real Kafka."""

import asyncio
import time
from dataclasses import replace

import numpy as np
import pytest
from drift_fleet import MINUTE_MS, Fleet, boot_of

from schemas import feeds
from schemas.drift_alert import AlertState
from schemas.policy import Policy
from streams.backtest.exporting import NEEDED, export_file, export_folder
from streams.backtest.history import ClusterHistory, FileHistory
from streams.backtest.running import Plan, run
from streams.backtest.span import EVER
from streams.drift.policy import own_policy
from streams.drift.service import DriftSettings, make_drift_app
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
        for device in range(devices):
            values = fleet.readings(samples=200)
            if device and (minute // 15 + device) % 3 == 0:
                values[:, device % 3] += (0.5, 1.0, 3.0)[device % 3]
            windows.append(
                fleet.window(f"d-{device}", minute, values=values, start_ms=start_ms, boot=boot_of(f"d-{device}"))
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
    cluster, publish, found_on, running, signer, keyring, tmp_path
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

    async with running(make_drift_app(cluster, replace(settings, wait_for_baseline_s=0.2))):
        for revision, (some, document) in enumerate(zip(thirds, (None, FLOORS, HORIZONS), strict=True)):
            if document is not None:
                signed = sign_record(policy(revision, document), [signer])
                await asyncio.to_thread(publish, "drift.policies", [signed])
                await asyncio.sleep(3)
            await asyncio.to_thread(publish, SOURCE, some)
            await judged(cluster, sum(map(len, thirds[: revision + 1])), found_on)
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


def policy(revision, document):
    return Policy(
        policy_id="default", revision=revision, document=document, envelope="", issued_ms=revision, issued_by="ada"
    )


def histories_of(cluster, folder):
    live = ClusterHistory(cluster)
    export_file(live, SOURCE, EVER, folder / "stats.avro")
    export_folder(live, NEEDED, EVER, folder / "archive")
    return [live, FileHistory(folder / "archive")]


async def judged(cluster, count, found_on):
    """Wait until the worker has committed so many records."""
    from confluent_kafka import Consumer, TopicPartition

    from streams.drift.service import GROUP

    consumer = Consumer({**cluster.client_settings(), "group.id": cluster.named(GROUP), "enable.auto.commit": False})
    places = [TopicPartition(cluster.named(SOURCE), number) for number in range(12)]
    deadline = time.monotonic() + 150
    while True:
        found = await asyncio.to_thread(consumer.committed, places, timeout=10)
        if sum(max(place.offset, 0) for place in found) >= count:
            break
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.3)
    consumer.close()
