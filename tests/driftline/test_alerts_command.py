"""`driftline alerts` against a running drift worker on real Kafka."""

import asyncio
import json
import time

import pytest
from click.testing import CliRunner
from drift_fleet import MINUTE_MS, Fleet, boot_of
from patience import eventually
from prometheus_client import generate_latest

from driftline.command import main
from driftline.sending import send
from schemas import feeds
from schemas.model_health import ModelHealth
from streams.drift.policy import own_policy
from streams.drift.service import DriftSettings, make_drift_app
from streams.health.service import HealthSettings, make_health_app
from streams.kafka import figures


@pytest.fixture
def run(cluster):
    where = ("--bootstrap", cluster.bootstrap, "--registry", cluster.registry_url, "--prefix", cluster.prefix)

    async def run(*args, code=0):
        result = await asyncio.to_thread(CliRunner().invoke, main, ["alerts", *args, *where])
        assert result.exit_code == code, result.output
        return result.output

    return run


OBJECTIVES = "[objectives]\nfalse_alarms_per_device_day = 1.0\nconfidence = 0.8\nunsure_windows = 0.5\n"


async def test_what_is_used_of_a_models_objectives_is_shown_by_workers_and_by_the_command(cluster, run):
    """A shift that ends by itself, and of which nobody took care, is a false alarm."""
    fleet, now_ms = Fleet(), int(time.time() * 1000)
    start_ms = now_ms - now_ms % MINUTE_MS - 40 * MINUTE_MS
    windows = [
        fleet.window("d-1", minute, values=fleet.readings(shift=1.0 if minute < 6 else 0.0), start_ms=start_ms)
        for minute in range(40)
    ]
    healths = [
        ModelHealth(
            device_id="d-1", model_id=fleet.model_id, boot_id=boot_of("d-1"), seq=minute, inferences=10, anomalies=0,
            window_start_ms=start_ms + minute * MINUTE_MS, window_end_ms=start_ms + (minute + 1) * MINUTE_MS, errors=0,
            score_mean=0.0, score_m2=0.0, confidence_mean=0.7 if minute < 10 else 0.9, latency_p50_ms=1.0,
            latency_p99_ms=1.0, cpu_share=0.1, memory_bytes=1,
        )
        for minute in range(40)
    ]  # fmt: skip
    records = [("models.grids", fleet.grid), ("models.baselines", fleet.baseline)]
    records += [("telemetry.feature-stats", window) for window in windows]
    send(cluster, [*records, *(("telemetry.model-health", one) for one in healths)])
    policy = own_policy(OBJECTIVES)

    drift = make_drift_app(cluster, DriftSettings(policy=policy))
    health = make_health_app(cluster, HealthSettings(policy=policy))
    await drift.start()
    await health.start()
    try:
        await asyncio.to_thread(counted, drift, "driftline_drift_objective_spent_total")
        await asyncio.to_thread(counted, health, "driftline_health_objective_spent_total")
        told = {**figures_of(drift), **figures_of(health)}
    finally:
        await drift.stop()
        await health.stop()
    shown = {one["objective"]: one for one in json.loads(await run("budgets", "--json"))}
    table = await run("budgets", "--since", "7d")
    wrong = await run("budgets", "--since", "soon", code=2)

    days = 40 / 1440
    assert shown["false_alarms"] == {
        "model_id": fleet.model_id, "objective": "false_alarms", "spent": 1, "allowed": pytest.approx(days),
        "used": pytest.approx(1 / days),
    }  # fmt: skip
    assert (shown["confidence"]["spent"], shown["confidence"]["allowed"], shown["confidence"]["used"]) == (10, 20, 0.5)
    assert "50%" in table
    assert "found 'soon', wanted a span such as 90s" in wrong
    for worker, objective in (("drift", "false_alarms"), ("health", "confidence")):
        labels = f'{{model="{fleet.model_id}",objective="{objective}"}}'
        spent, allowed = (told[f"driftline_{worker}_objective_{name}_total{labels}"] for name in ("spent", "allowed"))
        assert (spent, allowed) == (shown[objective]["spent"], pytest.approx(shown[objective]["allowed"]))


async def test_alerts_are_listed_shown_acknowledged_and_silenced(cluster, run):
    fleet, now_ms = Fleet(), int(time.time() * 1000)
    start_ms = now_ms - now_ms % MINUTE_MS - 10 * MINUTE_MS
    windows = [
        fleet.window(name, minute, values=fleet.readings(shift=1.0, feature=1), start_ms=start_ms)
        for minute in range(6)
        for name in ("d-1", "d-2")
    ]
    records = [("models.grids", fleet.grid), ("models.baselines", fleet.baseline)]
    send(cluster, [*records, *(("telemetry.feature-stats", window) for window in windows)])

    app = make_drift_app(cluster)
    await app.start()
    try:
        await asyncio.to_thread(two_alerts, cluster)
        listed = json.loads(await run("list", "--json", "--match", "subject=d-1"))
        acknowledged = await run("ack", "d-1/f1", "--why", "looking at it")
        shown = await run("show", "d-1/f1")
        again = await run("ack", "d-1/f1", code=1)
        silenced = await run("silence", "--match", "subject=d-2", "--for", "4h", "--name", "works", "--why", "stop")
        silences = json.loads(await run("silences", "--json"))
        table = await run("list")
        ended = await run("unsilence", "works")
        unknown = await run("unsilence", "works", code=1)
    finally:
        await app.stop()

    assert [(one["subject"], one["feature"], one["state"]) for one in listed] == [("d-1", "f1", "firing")]
    assert "acknowledged by" in acknowledged
    assert "looking at it" not in again
    assert "is acknowledged; only one that fires is acknowledged" in again
    assert "acknowledged, by" in shown
    assert "mean shift in f1 of d-1" in shown
    assert "silent until" in silenced
    assert [(one["name"], one["matchers"]) for one in silences] == [("works", {"subject": "d-2"})]
    assert "firing, silenced" in table
    assert "works: ended" in ended
    assert "no silence 'works' holds" in unknown


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("silence", "--for", "4h"), "--match: found none, wanted one at least"),
        (("silence", "--match", "region", "--for", "4h"), "--match: found 'region', wanted NAME=PATTERN"),
        (("silence", "--match", "region=eu", "--for", "soon"), "found 'soon', wanted a span such as 90s"),
    ],
)
async def test_a_silence_that_makes_no_sense_is_refused(run, args, complaint):
    assert complaint in await run(*args, code=2)


async def test_an_alert_that_is_not_there_is_said_to_be_none(run):
    assert "no alert 'd-9'" in await run("show", "d-9", code=1)


def two_alerts(cluster):
    eventually(lambda: len(feeds.snapshot(cluster, "drift.alerts")) >= 2)


def figures_of(app):
    lines = [line for line in generate_latest(figures(app).registry).decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def counted(app, name):
    """Wait until a worker has counted all that there is, and something of this."""

    def is_counted():
        told = figures_of(app)
        allowed = sum(value for key, value in told.items() if key.startswith(name.replace("spent", "allowed")))
        spent = sum(value for key, value in told.items() if key.startswith(name))
        return spent and allowed in (pytest.approx(40 / 1440), pytest.approx(20))

    eventually(is_counted, or_say=lambda: figures_of(app))
