"""The health worker over real Kafka: what gateways say of their models becomes alerts."""

import asyncio
import math
import time
import uuid
from dataclasses import replace

import pytest
from confluent_kafka import Producer
from patience import PATIENCE_S, until

from schemas.drift_alert import AlertState
from schemas.model_health import ModelHealth
from schemas.operators import OperatorRequest
from schemas.policy import Policy
from streams.drift.policy import own_policy, timelines
from streams.health.service import HealthSettings, make_health_app
from trust import Keyring, Kind, load_signer, make_key, pin, sign_record

BOOT = "7b7a2c4e-5d0f-4b52-9d1c-0c8a7a9d1e11"


async def test_a_rise_of_the_anomaly_rate_becomes_an_alert_that_is_acknowledged(cluster, publish, found_on, running):
    publish("telemetry.model-health", [health(minute, anomalies=10 + minute % 3) for minute in range(60)])
    publish("telemetry.model-health", [health(minute, anomalies=90 + minute % 3) for minute in range(60, 120)])

    async with running(make_health_app(cluster)):
        alerts = await asyncio.to_thread(found_on, "drift.alerts", lambda found: found)
        audit = await asyncio.to_thread(found_on, "audit.log", lambda found: found)
        await asyncio.to_thread(publish, "operators.requests", [asked(f"alert/{alerts[0].alert_id}", "acknowledge")])
        heard = await asyncio.to_thread(found_on, "drift.alerts", lambda found: any(one.by for one in found))

    assert (alerts[0].subject, alerts[0].feature, alerts[0].state) == ("press-7", "anomaly_rate", AlertState.FIRING)
    assert alerts[0].evidence.scores["usual"] == 11 / 600
    assert audit[0].who == "health worker"
    assert (heard[-1].state, heard[-1].by) == (AlertState.ACKNOWLEDGED, "ada")


async def test_an_alert_escalates_though_nothing_arrives_any_more(cluster, publish, found_on, running):
    """Also when the worker began anew meanwhile, and on a partition from which nothing was read since."""
    publish("telemetry.model-health", [health(minute, anomalies=10 + minute % 3) for minute in range(60)])
    publish("telemetry.model-health", [health(minute, anomalies=90 + minute % 3) for minute in range(60, 120)])
    settings = HealthSettings(checkpoint_every_s=0)
    async with running(make_health_app(cluster, settings)) as app:
        (fired, *_) = await asyncio.to_thread(found_on, "drift.alerts", lambda found: found)
        await committed(app, 120)

    tomorrow = replace(settings, clock_ms=lambda: int(time.time() * 1000) + 25 * 3_600_000)
    async with running(make_health_app(cluster, tomorrow)):
        alerts = await asyncio.to_thread(found_on, "drift.alerts", lambda found: any(one.escalated for one in found))

    assert alerts[-1].alert_id == fired.alert_id


async def test_a_record_that_cannot_be_read_is_a_dead_letter_and_the_rest_goes_on(cluster, publish, found_on, running):
    producer = Producer(cluster.client_settings())
    producer.produce(cluster.named("telemetry.model-health"), key=b"press-7", value=b"no record at all")
    producer.flush(PATIENCE_S)
    publish("telemetry.model-health", [health(minute, anomalies=10 if minute < 60 else 90) for minute in range(120)])

    async with running(make_health_app(cluster)):
        letters = await asyncio.to_thread(found_on, "dead-letters", lambda found: found)
        alerts = await asyncio.to_thread(found_on, "drift.alerts", lambda found: found)

    assert alerts[0].feature == "anomaly_rate"
    assert letters[0].source_topic == "telemetry.model-health"
    assert "magic byte" in letters[0].reason
    assert letters[0].record_value == b"no record at all"


@pytest.mark.parametrize("every_s", [0, 3600], ids=["from its checkpoint", "from the log"])
async def test_a_worker_goes_on_where_the_one_before_it_ended(cluster, publish, found_on, running, every_s):
    """The panel needs all the windows from before the restart, or the second half would be what is usual."""
    settings = HealthSettings(checkpoint_every_s=every_s)
    publish("telemetry.model-health", [health(minute, anomalies=10 + minute % 3) for minute in range(60)])
    async with running(make_health_app(cluster, settings)) as app:
        await committed(app, 60)

    publish("telemetry.model-health", [health(minute, anomalies=90 + minute % 3) for minute in range(60, 120)])
    async with running(make_health_app(cluster, settings)):
        alerts = await asyncio.to_thread(found_on, "drift.alerts", lambda found: found)

    assert alerts[0].evidence.scores["usual"] == 11 / 600


async def test_a_signed_policy_counts_without_a_restart_and_a_forged_one_does_not(
    cluster, publish, found_on, running, tmp_path
):
    make_key(tmp_path / "controller.pem")
    signer = load_signer(f"file:{tmp_path / 'controller.pem'}", environ={})
    keyring = Keyring(keys=(pin("controller", signer.public_key, Kind.POLICY),))
    settings = HealthSettings(policy=own_policy("", policy_id="own"), keyring=keyring)
    off = '[health.anomaly_rate]\ndetector = "off"\n'
    publish("telemetry.model-health", [health(minute) for minute in range(60)])

    async with running(make_health_app(cluster, settings)) as app:
        await committed(app, 60)
        await asyncio.to_thread(publish, "drift.policies", [sign_record(policy(1, off), [signer])])
        await asyncio.to_thread(publish, "drift.policies", [policy(2, "")])
        refused = await asyncio.to_thread(found_on, "dead-letters", lambda found: found)
        worse = [health(minute, anomalies=90) for minute in range(60, 120)]
        await asyncio.to_thread(publish, "telemetry.model-health", worse)
        await committed(app, 120)
        applied = await asyncio.to_thread(found_on, "drift.policy-applied", lambda found: len(found) == 2)
        audit = await asyncio.to_thread(found_on, "audit.log", lambda found: found)

    assert [(one.policy_id, one.policy_revision, one.source_offset) for one in applied] == [
        ("own", 0, 0),
        ("default", 1, 60),
    ]
    assert applied[1].document == off
    (line,) = timelines(cluster, "telemetry.model-health").values()
    assert line.at(60).document == off
    assert refused[0].source_topic == "drift.policies"
    # No alert: the detector was switched off before the anomaly rate rose.
    assert [(entry.subject, entry.action) for entry in audit] == [("policy/default", "refused")]


async def committed(app, count):
    """Wait until the worker has committed so many records of model health."""

    def done():
        committed = app.consumer._committed_offset if app.consumer else {}
        return sum(offset or 0 for tp, offset in committed.items() if tp.topic.endswith("model-health"))

    await until(lambda: done() >= count, or_say=lambda: f"{done()} of {count} are committed")


def asked(subject, action):
    return OperatorRequest(
        request_id=str(uuid.uuid4()),
        subject=subject,
        action=action,
        who="ada",
        why="looking at it",
        at_ms=int(time.time() * 1000),
    )


def policy(revision, document):
    return Policy(
        policy_id="default", revision=revision, document=document, envelope="", issued_ms=revision, issued_by="ada"
    )


def health(minute: int, *, anomalies: int | None = None, device_id: str = "press-7") -> ModelHealth:
    return ModelHealth(
        device_id=device_id,
        model_id="m/1",
        boot_id=BOOT,
        seq=minute,
        window_start_ms=minute * 60_000,
        window_end_ms=(minute + 1) * 60_000,
        inferences=600,
        anomalies=10 + minute % 3 if anomalies is None else anomalies,
        errors=0,
        score_mean=0.1,
        score_m2=0.0,
        confidence_mean=0.9,
        latency_p50_ms=0.5,
        latency_p99_ms=1.0,
        cpu_share=math.nan,
        memory_bytes=100_000_000,
    )
