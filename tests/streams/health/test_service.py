"""The health worker over real Kafka: what gateways say of their models becomes alerts."""

import asyncio
import math

from confluent_kafka import Producer

from schemas.drift_alert import AlertState
from schemas.model_health import ModelHealth
from streams.health.service import make_health_app

BOOT = "7b7a2c4e-5d0f-4b52-9d1c-0c8a7a9d1e11"


async def test_a_rise_of_the_anomaly_rate_becomes_an_alert(cluster, publish, found_on, running):
    publish("telemetry.model-health", [health(minute, anomalies=10 + minute % 3) for minute in range(60)])
    publish("telemetry.model-health", [health(minute, anomalies=90 + minute % 3) for minute in range(60, 120)])

    async with running(make_health_app(cluster)):
        alerts = await asyncio.to_thread(found_on, "drift.alerts", lambda found: found)
        audit = await asyncio.to_thread(found_on, "audit.log", lambda found: found)

    assert (alerts[0].subject, alerts[0].feature, alerts[0].state) == ("press-7", "anomaly_rate", AlertState.FIRING)
    assert alerts[0].evidence.scores["usual"] == 11 / 600
    assert audit[0].who == "health worker"


async def test_a_record_that_cannot_be_read_is_a_dead_letter_and_the_rest_goes_on(cluster, publish, found_on, running):
    producer = Producer(cluster.client_settings())
    producer.produce(cluster.named("telemetry.model-health"), key=b"press-7", value=b"no record at all")
    producer.flush(10)
    publish("telemetry.model-health", [health(minute, anomalies=10 if minute < 60 else 90) for minute in range(120)])

    async with running(make_health_app(cluster)):
        letters = await asyncio.to_thread(found_on, "dead-letters", lambda found: found)
        alerts = await asyncio.to_thread(found_on, "drift.alerts", lambda found: found)

    assert alerts[0].feature == "anomaly_rate"
    assert letters[0].source_topic == "telemetry.model-health"
    assert "magic byte" in letters[0].reason
    assert letters[0].record_value == b"no record at all"


def health(minute: int, *, anomalies: int = 10, device_id: str = "press-7") -> ModelHealth:
    return ModelHealth(
        device_id=device_id,
        model_id="m/1",
        boot_id=BOOT,
        seq=minute,
        window_start_ms=minute * 60_000,
        window_end_ms=(minute + 1) * 60_000,
        inferences=600,
        anomalies=anomalies,
        errors=0,
        score_mean=0.1,
        score_m2=0.0,
        confidence_mean=0.9,
        latency_p50_ms=0.5,
        latency_p99_ms=1.0,
        cpu_share=math.nan,
        memory_bytes=100_000_000,
    )
