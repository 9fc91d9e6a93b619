"""The drift worker over real Kafka: from windows on one topic to scores, alerts and dead letters on others."""

import asyncio
import time
import uuid

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from drift_fleet import MINUTE_MS, Fleet
from feed_reading import records_on
from patience import PATIENCE_S, eventually
from prometheus_client import generate_latest
from worker_processes import WorkerProcesses

from schemas.drift_alert import AlertState
from schemas.drift_scores import Verdict
from schemas.operators import OperatorRequest
from schemas.wire import Contract
from streams.drift.desk import SOURCE, open_run
from streams.drift.known import Known
from streams.drift.partition import Outcome, Partition
from streams.drift.policy import own_policy
from streams.drift.replay import replayed
from streams.drift.service import GROUP, DriftSettings, make_drift_app
from streams.drift.warming import warm_up
from streams.kafka import figures


def acknowledgement(alert):
    return OperatorRequest(
        request_id=str(uuid.uuid4()),
        subject=f"alert/{alert.alert_id}",
        action="acknowledge",
        who="ada",
        why="looking at it",
        at_ms=int(time.time() * 1000),
    )


def told(app):
    lines = [line for line in generate_latest(figures(app).registry).decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def lately(minutes):
    """A start such that so many windows end by now: the broker stamps arrivals with its own time."""
    now_ms = int(time.time() * 1000)
    return now_ms - now_ms % MINUTE_MS - minutes * MINUTE_MS


async def test_a_shift_becomes_an_alert_with_its_evidence(cluster, publish, running):
    fleet, start_ms = Fleet(), lately(12)
    publish("models.grids", [fleet.grid])
    publish("models.baselines", [fleet.baseline])
    shifted = [fleet.readings(shift=1.0, feature=1) for _ in range(6)]
    windows = [fleet.window("d-1", minute, start_ms=start_ms) for minute in range(6)]
    windows += [fleet.window("d-1", 6 + i, values=values, start_ms=start_ms) for i, values in enumerate(shifted)]
    windows += [fleet.window("d-2", minute, start_ms=start_ms) for minute in range(12)]
    publish("telemetry.feature-stats", windows)

    app = make_drift_app(cluster)
    async with running(app):
        alerts = await asyncio.to_thread(records_on, cluster, "drift.alerts", lambda found: found)
        scores = await asyncio.to_thread(
            records_on, cluster, "drift.scores", lambda found: {"d-1", "d-2"} <= {one.device_id for one in found}
        )
        audit = await asyncio.to_thread(records_on, cluster, "audit.log", lambda found: found)
        await asyncio.to_thread(publish, "operators.requests", [acknowledgement(alerts[0])])
        told_of = await asyncio.to_thread(
            records_on, cluster, "drift.alerts", lambda found: any(one.by for one in found)
        )
        metrics = told(app)

    (heard,) = (one for one in told_of if one.by)
    assert (heard.alert_id, heard.state, heard.by) == (alerts[0].alert_id, AlertState.ACKNOWLEDGED, "ada")
    assert metrics["drift_detected"] == metrics["features_with_drift"] == 1
    assert metrics['data_drift_score{feature="f1"}'] > metrics['data_drift_score{feature="f0"}']
    assert metrics["drift_detection_duration_seconds_count"] >= 1
    (alert,) = {one.alert_id: one for one in alerts}.values()
    assert (alert.subject, alert.feature, alert.kind, alert.state) == ("d-1", "f1", "mean_shift", AlertState.FIRING)
    assert alert.opened_ms <= start_ms + 9 * MINUTE_MS
    assert alert.evidence.reference == fleet.baseline.baseline_id
    assert alert.evidence.ranked == ("f1",)
    assert alert.evidence.top_bins[0].live != alert.evidence.top_bins[0].reference
    assert audit[0].subject == f"alert/{alert.alert_id}"
    assert scores[0].complete
    assert {one.verdict for one in scores if one.device_id == "d-2"} <= {Verdict.STABLE, Verdict.NOT_ENOUGH_DATA}


async def test_an_alert_escalates_though_nothing_arrives_any_more(cluster, publish, running):
    fleet, start_ms, later_ms = Fleet(), lately(12), 0
    publish("models.grids", [fleet.grid])
    publish("models.baselines", [fleet.baseline])
    publish("telemetry.feature-stats", [fleet.window("d-1", minute, start_ms=start_ms) for minute in range(6)])
    shifted = [fleet.readings(shift=1.0, feature=1) for _ in range(6)]
    publish(SOURCE, [fleet.window("d-1", 6 + i, values=one, start_ms=start_ms) for i, one in enumerate(shifted)])

    settings = DriftSettings(clock_ms=lambda: int(time.time() * 1000) + later_ms)
    async with running(make_drift_app(cluster, settings)):
        (fired, *_) = await asyncio.to_thread(records_on, cluster, "drift.alerts", lambda found: found)
        later_ms = 25 * 3_600_000
        alerts = await asyncio.to_thread(
            records_on, cluster, "drift.alerts", lambda found: any(one.escalated for one in found)
        )

    assert [(one.alert_id, one.escalated) for one in alerts[-1:]] == [(fired.alert_id, True)]
    # At the first hour that is a day after it was opened.
    assert alerts[-1].changed_ms == -(-(fired.opened_ms + 24 * 3_600_000) // 3_600_000) * 3_600_000


async def test_what_cannot_be_used_is_a_dead_letter_and_the_rest_goes_on(cluster, publish, running):
    fleet, start_ms = Fleet(), lately(3)
    publish("models.grids", [fleet.grid])
    publish("models.baselines", [fleet.baseline])
    publish("telemetry.feature-stats", [fleet.window("d-1", 0, start_ms=start_ms)])
    publish_raw(cluster, b"d-1", b"no record at all")
    publish("telemetry.feature-stats", [fleet.window("d-1", 1, start_ms=start_ms, model_id="nobody/1")])
    publish("telemetry.feature-stats", [fleet.window("d-1", 200, start_ms=start_ms)])
    publish("telemetry.feature-stats", [fleet.window("d-3", 0, start_ms=start_ms)])

    async with running(make_drift_app(cluster, DriftSettings(wait_for_baseline_s=0.5))):
        dead = await asyncio.to_thread(records_on, cluster, "dead-letters", lambda found: len(found) == 3)
        await asyncio.to_thread(
            records_on, cluster, "drift.scores", lambda found: {"d-1", "d-3"} <= {one.device_id for one in found}
        )

    reasons = " | ".join(sorted(letter.reason for letter in dead))
    assert "magic byte: found 0x6e, wanted 0x00" in reasons
    assert "model 'nobody/1': found no baseline, wanted one on models.baselines" in reasons
    assert "s after its arrival, wanted at most 3600 s" in reasons


async def test_windows_wait_for_a_baseline_that_comes_late(cluster, publish, running):
    fleet = Fleet()
    publish("models.grids", [fleet.grid])
    publish("telemetry.feature-stats", [fleet.window("d-1", 0, start_ms=lately(1))])

    async with running(make_drift_app(cluster, DriftSettings(wait_for_baseline_s=60))):
        await asyncio.sleep(3)
        await asyncio.to_thread(publish, "models.baselines", [fleet.baseline])
        scores = await asyncio.to_thread(records_on, cluster, "drift.scores", lambda found: found)

    assert scores[0].baseline_id == fleet.baseline.baseline_id


def test_what_cannot_be_told_ends_a_worker_though_nothing_arrives_and_is_told_by_the_next(cluster, publish, tmp_path):
    fleet, start_ms = Fleet(), lately(12)
    publish("models.grids", [fleet.grid])
    publish("models.baselines", [fleet.baseline])
    publish(SOURCE, [fleet.window("d-1", minute, start_ms=start_ms) for minute in range(3)])
    shifted = [fleet.readings(shift=1.0, feature=1) for _ in range(9)]

    warm_up()
    with WorkerProcesses(cluster, "drift", tmp_path) as workers:
        committed(cluster, 3)
        set_config(cluster, "drift.alerts", "max.message.bytes", "100")
        publish(SOURCE, [fleet.window("d-1", 3 + i, values=one, start_ms=start_ms) for i, one in enumerate(shifted)])
        code, words = workers.first_end()
        offsets = committed(cluster, 3)
        set_config(cluster, "drift.alerts", "max.message.bytes", "1000000")
        alerts = records_on(cluster, "drift.alerts", lambda found: found)

    assert code == 1
    assert "Crashed reason=DeliveryError" in words
    assert "error: 1 of" in words
    assert "Message size too large" in words
    assert sum(max(one.offset, 0) for one in offsets) == 3
    assert alerts[0].feature == "f1"


def set_config(cluster, topic, name, value):
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, cluster.named(topic), incremental_configs=[entry])
    admin = AdminClient(cluster.client_settings())
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(PATIENCE_S)
    # The controller answers before the broker heeds it.
    asked = ConfigResource(ResourceType.TOPIC, cluster.named(topic))
    eventually(lambda: admin.describe_configs([asked])[asked].result(PATIENCE_S)[name].value == value)


async def test_after_a_crash_all_goes_on_as_if_there_had_been_none(cluster, publish, running):
    """What two workers published, the second of which took up where the first was lost, is what one would have."""
    fleet, start_ms = Fleet(), lately(60)
    publish("models.grids", [fleet.grid])
    publish("models.baselines", [fleet.baseline])
    shifted = {"d-1": 0.5}
    log = [
        fleet.window(
            device, minute, values=fleet.readings(shift=shifted.get(device, 0) * (minute > 25)), start_ms=start_ms
        )
        for minute in range(60)
        for device in ("d-1", "d-2", "d-3")
    ]
    often = DriftSettings(checkpoint_every_s=0, max_run_records=7, policy=own_policy("[reporting]\ncomplete_every = 5"))
    ends = {}

    for first, last in ((0, 50), (50, 85), (85, len(log))):
        publish("telemetry.feature-stats", log[first:last])
        async with running(make_drift_app(cluster, often)):
            ends[last] = await asyncio.to_thread(committed, cluster, last)
        if first == 0:
            # This worker's last commit is lost, as when it is killed after it has published.
            await asyncio.to_thread(forget_commits, cluster, ends[last])

    expected = await asyncio.to_thread(unharmed, cluster, fleet, often.policy.rules)
    scores = await asyncio.to_thread(
        records_on, cluster, "drift.scores", lambda found: len(found) >= len(expected.scores)
    )
    alerts = await asyncio.to_thread(
        records_on, cluster, "drift.alerts", lambda found: len(found) >= len(expected.alerts)
    )
    assert expected.alerts
    assert by_window(scores) == by_window(expected.scores)
    assert {one.alert_id: one for one in alerts} == {one.alert_id: one for one in expected.alerts}


def committed(cluster, count):
    """Wait until the group has committed so many records; the offsets."""
    consumer = group_of(cluster)
    places = [TopicPartition(cluster.named("telemetry.feature-stats"), number) for number in range(12)]

    def found():
        offsets = consumer.committed(places, timeout=PATIENCE_S)
        return offsets if sum(max(place.offset, 0) for place in offsets) >= count else None

    offsets = eventually(found, or_say=lambda: consumer.committed(places, timeout=PATIENCE_S))
    consumer.close()
    return offsets


def forget_commits(cluster, places):
    consumer = group_of(cluster)
    back = [TopicPartition(one.topic, one.partition, max(one.offset - 3, 0)) for one in places if one.offset > 0]
    consumer.commit(offsets=back, asynchronous=False)
    consumer.close()


def group_of(cluster):
    return Consumer(
        {"bootstrap.servers": cluster.bootstrap, "group.id": cluster.named(GROUP), "enable.auto.commit": False}
    )


def unharmed(cluster, fleet, rules):
    """What one worker makes of the log that the broker has, undisturbed."""
    contract = Contract.connect(cluster)
    known = Known({fleet.grid.grid_id: fleet.grid}, {fleet.baseline.baseline_id: fleet.baseline})
    whole = Outcome()
    for number in range(12):
        partition = Partition(rules)
        for run in replayed(cluster, SOURCE, number, 0, end_of(cluster, number)):
            outcome = partition.work(open_run(contract, run, known, {}, now_ms=0).stretches)
            whole.scores += outcome.scores
            whole.alerts += outcome.alerts
    return whole


def end_of(cluster, number):
    consumer = group_of(cluster)
    _, end = consumer.get_watermark_offsets(TopicPartition(cluster.named(SOURCE), number), timeout=PATIENCE_S)
    consumer.close()
    return end


def by_window(scores):
    return {(one.device_id, one.boot_id, one.seq, one.horizon_ms): one for one in scores}


def publish_raw(cluster, key, value):
    producer = Producer(cluster.client_settings())
    producer.produce(cluster.named(SOURCE), key=key, value=value)
    assert producer.flush(PATIENCE_S) == 0
