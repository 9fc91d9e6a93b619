"""Workers that are killed and leave at random moments publish what one that nobody disturbs would."""

import math
import threading
import time

import pytest
from confluent_kafka import Consumer, TopicPartition
from drift_fleet import MINUTE_MS, Fleet
from patience import PATIENCE_S, eventually
from worker_processes import WorkerProcesses

from schemas import feeds
from schemas.catalogue import topic_named
from schemas.model_health import ModelHealth
from schemas.wire import Contract
from streams.drift.desk import SOURCE, open_run
from streams.drift.known import Known
from streams.drift.partition import Partition
from streams.drift.policy import own_policy
from streams.drift.replay import newest_offset, replayed
from streams.drift.warming import warm_up
from streams.health.decoding import decoded
from streams.health.partition import HEALTH, HealthPartition

DEVICES = [f"d-{i}" for i in range(6)]
POLICY = own_policy(
    "[reporting]\ncomplete_every = 4\n[health]\nwarm_up_windows = 10\n[alerts]\nresolve_after_windows = 4\n",
    policy_id="policy",
)
# One crash of a drift worker is in the usual tests (drift/test_service.py).
pytestmark = pytest.mark.nightly
MOMENTS = pytest.mark.parametrize(("times", "seed"), [(2, 1), (20, 2)], ids=["2 moments", "20 moments"])


@MOMENTS
@pytest.mark.timeout(900)
def test_the_drift_workers_scores_and_alerts_agree_window_by_window(cluster, publish, tmp_path, times, seed):
    fleet, minutes = Fleet(), 20 * times
    publish("models.grids", [fleet.grid])
    publish("models.baselines", [fleet.baseline])
    start_ms = now_ms() - minutes * MINUTE_MS
    shifts = {"d-1": range(15, minutes, 2), "d-3": range(minutes // 2, minutes)}
    log = [
        fleet.window(
            name, minute, values=fleet.readings(shift=float(minute in shifts.get(name, ()))), start_ms=start_ms
        )
        for minute in range(minutes)
        for name in DEVICES
    ]

    warm_up()
    made, words = troubled(cluster, publish, "drift", SOURCE, log, tmp_path, times, seed)

    scores, alerts = undisturbed_drift(cluster, fleet)
    expected = {(one.device_id, one.boot_id, one.seq, one.horizon_ms): one for one in scores}
    found = everything(
        cluster, "drift.scores", len(expected), lambda one: (one.device_id, one.boot_id, one.seq, one.horizon_ms), words
    )
    assert alerts
    assert made["kill"] > 0
    # Those that were told twice were told alike.
    assert all(one == expected[key] for key, one in found)
    assert {key for key, _ in found} == expected.keys()
    assert_same_alerts(cluster, alerts)


@MOMENTS
@pytest.mark.timeout(900)
def test_the_health_workers_alerts_agree(cluster, publish, tmp_path, times, seed):
    minutes = 20 * times
    worse = {"d-1": range(15, minutes), "d-3": range(20, minutes)}
    log = [
        health(name, minute, anomalies=90 if minute in worse.get(name, ()) else 10 + minute % 3)
        for minute in range(minutes)
        for name in DEVICES
    ]

    made, _ = troubled(cluster, publish, "health", HEALTH, log, tmp_path, times, seed)

    alerts = undisturbed_health(cluster)
    assert {alert.subject for alert in alerts} == {"d-1", "d-3"}
    assert made["kill"] > 0
    assert_same_alerts(cluster, alerts)


def troubled(cluster, publish, kind, topic, log, folder, times, seed):
    """Publish a log bit by bit while its workers have trouble; returns what was made, and a way to their words."""
    (folder / "policy.toml").write_text(POLICY.document)
    args = ("--policy", str(folder / "policy.toml"), "--checkpoint-every-s", "0.5")
    over = threading.Event()

    def write():
        step = max(len(log) // (4 * times), 1)
        for first in range(0, len(log), step):
            publish(topic, log[first : first + step])
            over.wait(1.0)

    writer = threading.Thread(target=write)
    with WorkerProcesses(cluster, kind, folder, *args) as workers:
        writer.start()
        made = workers.trouble(times, seed=seed)
        over.set()
        writer.join()
        wait_until_committed(cluster, f"driftline-{kind}", topic, len(log), workers.words)
        return made, workers.words


def wait_until_committed(cluster, group, topic, count, words):
    consumer = Consumer(
        {**cluster.client_settings(), "group.id": cluster.named(group), "enable.auto.commit": False}
    )  # fmt: skip
    places = [TopicPartition(cluster.named(topic), number) for number in range(topic_named(topic).partitions)]
    eventually(
        lambda: sum(max(one.offset, 0) for one in consumer.committed(places, timeout=PATIENCE_S)) >= count, 200, words
    )
    consumer.close()


def undisturbed_drift(cluster, fleet):
    contract = Contract.connect(cluster)
    known = Known({fleet.grid.grid_id: fleet.grid}, {fleet.baseline.baseline_id: fleet.baseline})
    scores, alerts = [], []
    for number in range(topic_named(SOURCE).partitions):
        partition = Partition(POLICY.rules, policy_id=POLICY.policy_id)
        for run in replayed(cluster, SOURCE, number, 0, newest_offset(cluster, SOURCE, number)):
            outcome = partition.work(open_run(contract, run, known, {}, now_ms=0).stretches)
            scores += outcome.scores
            alerts += outcome.alerts
    return scores, alerts


def undisturbed_health(cluster):
    contract, alerts = Contract.connect(cluster), []
    for number in range(topic_named(HEALTH).partitions):
        partition = HealthPartition(POLICY)
        for run in replayed(cluster, HEALTH, number, 0, newest_offset(cluster, HEALTH, number)):
            for one in decoded(contract, HEALTH, run):
                alerts += partition.take(HEALTH, one.record, arrived_ms=one.arrived_ms)
    return alerts


def assert_same_alerts(cluster, expected):
    """What was published is what was to be, in its order, but for what was said again after a crash."""
    found = [one for _, one in everything(cluster, "drift.alerts", 0, lambda one: one.alert_id, lambda: "")]
    newest = {}
    for one in found:
        newest[one.alert_id] = one
    assert newest == {one.alert_id: one for one in expected}
    told = {(one.alert_id, one.state, one.severity, one.changed_ms): one for one in expected}
    assert all(told.get((one.alert_id, one.state, one.severity, one.changed_ms)) == one for one in found)
    assert {(one.alert_id, one.state, one.severity, one.changed_ms) for one in found} == told.keys()


def everything(cluster, topic, least, key_of, words):
    """All records of a topic, with their keys, once there are as many different ones as wanted."""

    def found():
        with feeds.follow(cluster, topic, from_ms=0, until_current=True) as feed:
            records = [(key_of(event.value), event.value) for event in feed if isinstance(event, feeds.Changed)]
        return [records] if len({key for key, _ in records}) >= least else None

    return eventually(found, or_say=words)[0]


def now_ms():
    now = time.time_ns() // 1_000_000
    return now - now % MINUTE_MS


def health(name, minute, *, anomalies):
    return ModelHealth(
        device_id=name, model_id="m/1", boot_id="7b7a2c4e-5d0f-4b52-9d1c-0c8a7a9d1e11", seq=minute,
        window_start_ms=minute * MINUTE_MS, window_end_ms=(minute + 1) * MINUTE_MS, inferences=600,
        anomalies=anomalies, errors=0, score_mean=0.1, score_m2=0.0, confidence_mean=0.9, latency_p50_ms=0.5,
        latency_p99_ms=1.0, cpu_share=math.nan, memory_bytes=10**8,
    )  # fmt: skip
