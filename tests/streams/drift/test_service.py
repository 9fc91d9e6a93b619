"""The drift worker over real Kafka: from windows on one topic to scores, alerts and dead letters on others."""

import asyncio
import time

import pytest
from confluent_kafka import Producer
from drift_fleet import MINUTE_MS, Fleet

from schemas import feeds
from schemas.cluster import Cluster
from schemas.drift_alert import AlertState
from schemas.drift_scores import Verdict
from schemas.topics import create_missing
from schemas.wire import Contract
from streams.drift.service import DriftSettings, make_drift_app


@pytest.fixture
def cluster(bootstrap, registry_url, prefix):
    cluster = Cluster(bootstrap=bootstrap, registry_url=registry_url, prefix=prefix)
    create_missing(cluster)
    return cluster


@pytest.fixture
def publish(cluster):
    contract = Contract.connect(cluster)
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "partitioner": "murmur2_random"})

    def publish(topic, records):
        contract.register(topic)
        for record in records:
            key, value = contract.encode(topic, record)
            producer.produce(cluster.named(topic), key=key, value=value)
        assert producer.flush(30) == 0

    publish.raw = lambda topic, key, value: (
        producer.produce(cluster.named(topic), key=key, value=value),
        producer.flush(30),
    )
    return publish


def found_on(cluster, topic, enough, *, within_s=40.0):
    """Read a topic from its start until `enough(records)`; the records."""
    records = []
    deadline = time.monotonic() + within_s
    with feeds.follow(cluster, topic, from_ms=0) as feed:
        while not enough(records):
            assert time.monotonic() < deadline, f"{len(records)} records on {topic}: {records[-3:]}"
            records += [event.value for event in feed.poll(0.5) if hasattr(event, "value")]
    return records


def lately(minutes):
    """A start such that so many windows end by now: the broker stamps arrivals with its own time."""
    now_ms = int(time.time() * 1000)
    return now_ms - now_ms % MINUTE_MS - minutes * MINUTE_MS


async def test_a_shift_becomes_an_alert_with_its_evidence(cluster, publish):
    fleet, start_ms = Fleet(), lately(12)
    publish("models.grids", [fleet.grid])
    publish("models.baselines", [fleet.baseline])
    shifted = [fleet.readings(shift=1.0, feature=1) for _ in range(6)]
    windows = [fleet.window("d-1", minute, start_ms=start_ms) for minute in range(6)]
    windows += [fleet.window("d-1", 6 + i, values=values, start_ms=start_ms) for i, values in enumerate(shifted)]
    windows += [fleet.window("d-2", minute, start_ms=start_ms) for minute in range(12)]
    publish("telemetry.feature-stats", windows)

    async with running(make_drift_app(cluster)):
        alerts = await asyncio.to_thread(found_on, cluster, "drift.alerts", lambda found: found)
        scores = await asyncio.to_thread(
            found_on, cluster, "drift.scores", lambda found: {"d-1", "d-2"} <= {one.device_id for one in found}
        )
        audit = await asyncio.to_thread(found_on, cluster, "audit.log", lambda found: found)

    (alert,) = {one.alert_id: one for one in alerts}.values()
    assert (alert.subject, alert.feature, alert.kind, alert.state) == ("d-1", "f1", "mean_shift", AlertState.FIRING)
    assert alert.opened_ms <= start_ms + 9 * MINUTE_MS
    assert alert.evidence.reference == fleet.baseline.baseline_id
    assert alert.evidence.ranked == ("f1",)
    assert alert.evidence.top_bins[0].live != alert.evidence.top_bins[0].reference
    assert audit[0].subject == f"alert/{alert.alert_id}"
    assert scores[0].complete
    assert {one.verdict for one in scores if one.device_id == "d-2"} <= {Verdict.STABLE, Verdict.NOT_ENOUGH_DATA}


async def test_what_cannot_be_used_is_a_dead_letter_and_the_rest_goes_on(cluster, publish):
    fleet, start_ms = Fleet(), lately(3)
    publish("models.grids", [fleet.grid])
    publish("models.baselines", [fleet.baseline])
    publish("telemetry.feature-stats", [fleet.window("d-1", 0, start_ms=start_ms)])
    publish.raw("telemetry.feature-stats", b"d-1", b"no record at all")
    publish("telemetry.feature-stats", [fleet.window("d-1", 1, start_ms=start_ms, model_id="nobody/1")])
    publish("telemetry.feature-stats", [fleet.window("d-1", 200, start_ms=start_ms)])
    publish("telemetry.feature-stats", [fleet.window("d-3", 0, start_ms=start_ms)])

    async with running(make_drift_app(cluster, DriftSettings(wait_for_baseline_s=0.5))):
        dead = await asyncio.to_thread(found_on, cluster, "dead-letters", lambda found: len(found) == 3)
        await asyncio.to_thread(
            found_on, cluster, "drift.scores", lambda found: {"d-1", "d-3"} <= {one.device_id for one in found}
        )

    reasons = " | ".join(sorted(letter.reason for letter in dead))
    assert "magic byte: found 0x6e, wanted 0x00" in reasons
    assert "model 'nobody/1': found no baseline, wanted one on models.baselines" in reasons
    assert "s after its arrival, wanted at most 3600 s" in reasons


async def test_windows_wait_for_a_baseline_that_comes_late(cluster, publish):
    fleet = Fleet()
    publish("models.grids", [fleet.grid])
    publish("telemetry.feature-stats", [fleet.window("d-1", 0, start_ms=lately(1))])

    async with running(make_drift_app(cluster, DriftSettings(wait_for_baseline_s=60))):
        await asyncio.sleep(3)
        await asyncio.to_thread(publish, "models.baselines", [fleet.baseline])
        scores = await asyncio.to_thread(found_on, cluster, "drift.scores", lambda found: found)

    assert scores[0].baseline_id == fleet.baseline.baseline_id


class running:  # noqa: N801  (it reads as a sentence)
    """An app, from its start to its end."""

    def __init__(self, app):
        self.app = app

    async def __aenter__(self):
        await self.app.start()

    async def __aexit__(self, *_):
        await self.app.stop()
