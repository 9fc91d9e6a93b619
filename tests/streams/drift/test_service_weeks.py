"""The drift worker over real Kafka, on weeks that are long over: days compared with a device's own past."""

import asyncio
import time
from collections import defaultdict

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from drift_fleet import MINUTE_MS, Fleet
from patience import PATIENCE_S, eventually, until

from schemas.drift_alert import AlertState
from schemas.policy import Policy
from schemas.wire import Contract
from streams.backtest.history import ClusterHistory
from streams.backtest.running import Plan, run
from streams.drift.policy import own_policy
from streams.drift.policy.wanted import Wanted
from streams.drift.service import DriftSettings, make_drift_app
from streams.kafka.producer import BatchProducer
from trust import sign_record

SOURCE = "telemetry.feature-stats"
HOUR_MS = 60 * MINUTE_MS
EVERY = "[reporting]\ncomplete_every = 1\n"
EARLIER = 'reference = "earlier"\n[alerts]\nhorizons_minutes = [1440]\n' + EVERY
DAYS, CHANGE, RESTART, DRIFT = 14, 9 * 24, 11 * 24 + 5, 12 * 24


@pytest.mark.parametrize(
    ("on_its_way_s", "restart"), [(0.0, RESTART), (8.0, DAYS * 24)], ids=["all is told", "its last hour is on its way"]
)
async def test_a_worker_finds_a_devices_past_in_the_rollups(
    cluster, publish, found_on, running, noting, signer, keyring, monkeypatch, on_its_way_s, restart
):
    """It is asked for it by a change of policy, dies, starts again, and a backtest of it all gives the same alerts."""
    fleet = Fleet(features=2, samples=300)
    publish("models.grids", [fleet.grid])
    publish("models.baselines", [fleet.baseline])
    start_ms = int(time.time() * 1000) // HOUR_MS * HOUR_MS - (DAYS + 1) * 24 * HOUR_MS
    windows = [
        fleet.window(
            "d-1", 60 * hour + 58, seq=hour, start_ms=start_ms,
            values=fleet.readings(shift=1.5 if hour >= DRIFT else 0.5),
        )
        for hour in range(DAYS * 24)
    ]  # fmt: skip
    stamp_by_producer(cluster)
    settings = DriftSettings(
        policy=own_policy("[alerts]\nhorizons_minutes = [1440]\n" + EVERY, policy_id="own"), keyring=keyring,
        # Before a checkpoint all is told.
        checkpoint_every_s=60.0 if on_its_way_s else 0.0, max_run_records=50, clock_ms=lambda: 0,
    )  # fmt: skip
    policy = Policy(
        policy_id="default", revision=1, document=EARLIER, envelope="", issued_ms=1, issued_by="ada"
    )  # fmt: skip

    heeded = noting(Wanted, "heed")
    async with running(make_drift_app(cluster, settings)):
        await asyncio.to_thread(publish_as_then, cluster, windows[: CHANGE - 1])
        await asyncio.to_thread(found_on, "drift.scores", judged(CHANGE - 1))
        held_up = hold_up_rollups(monkeypatch, on_its_way_s)
        await asyncio.to_thread(publish_as_then, cluster, windows[CHANGE - 1 : CHANGE])
        await asyncio.wait_for(held_up.wait(), PATIENCE_S)
        await asyncio.to_thread(publish, "drift.policies", [sign_record(policy, [signer])])
        await until(lambda: heeded)
        await asyncio.to_thread(publish_as_then, cluster, windows[CHANGE:restart])
        await asyncio.to_thread(found_on, "drift.scores", judged(restart))
    publish_as_then(cluster, windows[restart:])
    async with running(make_drift_app(cluster, settings)):
        await asyncio.to_thread(found_on, "drift.scores", judged(len(windows)))
    published = await asyncio.to_thread(found_on, "drift.alerts", lambda found: found)
    then = await asyncio.to_thread(run, ClusterHistory(cluster), Plan(as_then=True))

    of_the_past = [one for one in published if one.evidence.reference == "its own 7 days before"]
    assert of_the_past[0].state is AlertState.FIRING
    assert (of_the_past[0].subject, of_the_past[0].feature) == ("d-1", "f0")
    assert DRIFT <= (of_the_past[0].opened_ms - start_ms) / HOUR_MS <= DRIFT + 24
    assert by_alert(then.as_then) == by_alert(published)


def hold_up_rollups(monkeypatch, seconds):
    """Have the next delivery of roll-ups take so long; returns what says that it has begun."""
    begun, deliver = asyncio.Event(), BatchProducer.deliver

    async def late(producer, records):
        batch = list(records)
        if not begun.is_set() and any(one.topic.endswith("telemetry.feature-rollups") for one in batch):
            begun.set()
            await asyncio.sleep(seconds)
        await deliver(producer, batch)

    monkeypatch.setattr(BatchProducer, "deliver", late)
    return begun


def judged(windows):
    return lambda found: any(one.seq == windows - 1 and one.horizon_ms <= 15 * MINUTE_MS for one in found)


def by_alert(alerts):
    found = defaultdict(list)
    for alert in alerts:
        found[alert.alert_id].append(alert)
    return found


def stamp_by_producer(cluster):
    """Let records say themselves when they arrived, and keep them: a test has no weeks."""
    wanted = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
    entries = [ConfigEntry(name, one, incremental_operation=AlterConfigOpType.SET) for name, one in wanted.items()]
    resource = ConfigResource(ResourceType.TOPIC, cluster.named(SOURCE), incremental_configs=entries)
    admin = AdminClient(cluster.client_settings())
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(PATIENCE_S)
    # The broker takes a moment to heed it.
    asked = ConfigResource(ResourceType.TOPIC, cluster.named(SOURCE))
    eventually(
        lambda: (
            admin.describe_configs([asked])[asked].result(PATIENCE_S)["message.timestamp.type"].value == "CreateTime"
        )
    )
    time.sleep(0.5)


def publish_as_then(cluster, windows):
    contract, producer = Contract.connect(cluster), Producer(cluster.producer_settings())
    for one in windows:
        key, value = contract.encode(SOURCE, one)
        producer.produce(cluster.named(SOURCE), key=key, value=value, timestamp=one.window_end_ms + 1000)
    assert producer.flush(PATIENCE_S) == 0
