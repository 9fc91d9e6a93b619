"""Drift and cohort workers over real Kafka: a shift that no device shows is an alert of the cohort."""

import asyncio
import time
import uuid
from dataclasses import replace

import pytest
from confluent_kafka import Producer
from drift_fleet import Fleet
from patience import PATIENCE_S

from schemas.drift_alert import AlertState
from schemas.fleet import Device, DeviceState
from schemas.operators import OperatorRequest
from streams.drift.cohort_service import CohortSettings, make_cohort_app
from streams.drift.policy import own_policy
from streams.drift.service import DriftSettings, make_drift_app
from streams.drift.telling import GRACE_MS

# Panes of 20 s, so that a test need not wait for long.
POLICY = own_policy('cohorts = ["region"]\nhorizons_minutes = [1, 2]\n[reporting]\ncomplete_every = 1\n', policy_id="p")
PANE_MS, PANES_PAST = 20_000, 5
DRIFT = DriftSettings(policy=POLICY)
COHORTS = CohortSettings(policy=POLICY, settle_s=20, wait_for_baseline_s=0.5)
SAMPLES = 40
EU = [f"eu-{number}" for number in range(40)]
US = [f"us-{number}" for number in range(40)]
PANES = "drift.cohort-panes"


@pytest.fixture
def fleet(publish):
    """Devices in two regions, with so few readings that none says much by itself."""
    fleet = Fleet(samples=SAMPLES, features=2)
    publish("models.grids", [fleet.grid])
    publish("models.baselines", [fleet.baseline])
    publish("fleet.devices", [device(name) for name in EU + US])
    return fleet


def device(name):
    return Device(
        device_id=name, state=DeviceState.ONLINE, labels={"region": name[:2]}, model_id="pump/1", revision=0,
        registered_ms=0, last_seen_ms=0,
    )  # fmt: skip


def windows(fleet, panes, start_ms, *, shift=0.25):
    """A window of each device in each pane; what is wrong is wrong in eu alone."""
    return [
        replace(
            fleet.window(name, pane, values=fleet.readings(shift=shift * (name in EU))),
            window_start_ms=start_ms + pane * PANE_MS,
            window_end_ms=start_ms + (pane + 1) * PANE_MS,
        )
        for pane in panes
        for name in EU + US
    ]


def lately():
    """A start, at that of a pane, such that some panes are over by now."""
    return (int(time.time() * 1000) // PANE_MS - PANES_PAST) * PANE_MS


def within_a_tick(publish, stats):
    """Publish so that all arrive between two ticks: what arrives after one is told a pane later."""
    while not PANE_MS * 0.1 < (time.time() * 1000 - GRACE_MS) % PANE_MS < PANE_MS * 0.6:
        time.sleep(0.1)
    publish("telemetry.feature-stats", stats)


def of_cohorts(records):
    return [one for one in records if one.subject_is_cohort]


def scores_of_cohorts(records):
    return {(one.device_id, one.window_end_ms): one for one in of_cohorts(records)}


async def test_a_shift_too_small_for_a_device_is_an_alert_of_its_cohort(cluster, publish, found_on, running, fleet):
    start_ms = lately()
    within_a_tick(publish, windows(fleet, range(PANES_PAST), start_ms))

    async with running(make_drift_app(cluster, DRIFT)), running(make_cohort_app(cluster, COHORTS)):
        alerts = of_cohorts(await asyncio.to_thread(found_on, "drift.alerts", of_cohorts, within_s=150))
        request = OperatorRequest(
            request_id=str(uuid.uuid4()), subject=f"alert/{alerts[0].alert_id}", action="acknowledge", who="ada",
            why="", at_ms=int(time.time() * 1000),
        )  # fmt: skip
        await asyncio.to_thread(publish, "operators.requests", [request])
        alerts = await asyncio.to_thread(found_on, "drift.alerts", lambda found: any(one.by for one in found))
        scores = await asyncio.to_thread(found_on, "drift.scores", of_cohorts)
        audit = await asyncio.to_thread(found_on, "audit.log", lambda found: any(one.who == "ada" for one in found))

    assert {one.subject for one in alerts} == {"region=eu"}
    (alert,) = {one.alert_id: one for one in alerts}.values()
    assert (alert.feature, alert.kind, alert.state, alert.by) == ("f0", "mean_shift", AlertState.ACKNOWLEDGED, "ada")
    assert alert.members == tuple(sorted(EU))
    assert alert.evidence.scores["mean_shift"] == pytest.approx(0.25, abs=0.1)
    assert scores_of_cohorts(scores)["region=eu", start_ms + PANE_MS].samples == len(EU) * SAMPLES
    assert {one.who for one in audit} == {"cohort worker", "ada"}


async def test_after_a_crash_of_either_all_goes_on_as_if_there_had_been_none(
    cluster, publish, found_on, running, fleet, tmp_path
):
    start_ms = lately()
    within_a_tick(publish, windows(fleet, range(2), start_ms))
    async with running(make_drift_app(cluster, DRIFT)):
        await asyncio.to_thread(found_on, PANES, told_of(2), within_s=150)
    within_a_tick(publish, windows(fleet, range(2, PANES_PAST), start_ms))
    # The cohort worker ends while panes are yet to be judged, the drift worker when they are yet to be told.
    async with running(make_drift_app(cluster, DRIFT)):
        await asyncio.sleep(2)
    async with running(make_cohort_app(cluster, replace(COHORTS, settle_s=600))):
        await asyncio.sleep(3)

    async with running(make_drift_app(cluster, DRIFT)), running(make_cohort_app(cluster, COHORTS)):
        scores = await asyncio.to_thread(
            found_on, "drift.scores", lambda found: len(scores_of_cohorts(found)) == 2 * PANES_PAST, within_s=150
        )
        alerts = await asyncio.to_thread(found_on, "drift.alerts", of_cohorts)

    by_pane = scores_of_cohorts(scores)
    assert set(by_pane) == {
        (region, start_ms + (pane + 1) * PANE_MS) for region in ("region=eu", "region=us") for pane in range(PANES_PAST)
    }
    # By a horizon of three panes; a share that was told twice was counted once.
    counted = [by_pane["region=eu", start_ms + (pane + 1) * PANE_MS].samples for pane in range(PANES_PAST)]
    assert counted == [len(EU) * SAMPLES * min(pane + 1, 3) for pane in range(PANES_PAST)]
    assert {one.subject for one in of_cohorts(alerts)} == {"region=eu"}


async def test_shares_that_make_no_sense_are_dead_letters_and_the_rest_goes_on(
    cluster, publish, found_on, running, fleet
):
    publish("telemetry.feature-stats", windows(fleet, range(2), lately()))
    async with running(make_drift_app(cluster, DRIFT)):
        (good, *_) = await asyncio.to_thread(found_on, PANES, lambda found: found, within_s=150)
    publish(
        PANES,
        [
            replace(good, pane_start_ms=good.pane_start_ms + 1),
            replace(good, counts=good.counts[: len(good.counts) // 2]),
            replace(good, model_id="nobody/1"),
        ],
    )
    producer = Producer(cluster.client_settings())
    producer.produce(cluster.named(PANES), key=good.cohort.encode(), value=b"no record at all")
    assert producer.flush(PATIENCE_S) == 0

    async with running(make_cohort_app(cluster, COHORTS)):
        dead = await asyncio.to_thread(found_on, "dead-letters", lambda found: len(found) == 4)
        await asyncio.to_thread(found_on, "drift.scores", of_cohorts)

    reasons = " | ".join(sorted(letter.reason for letter in dead))
    assert "pane_start_ms: found" in reasons
    assert "counts: found 32 bytes" in reasons
    assert "model 'nobody/1': found no baseline" in reasons
    assert "magic byte" in reasons
    assert {letter.source_topic for letter in dead} == {PANES}


def told_of(panes):
    """Say whether all shares of so many panes are told."""

    def is_all(shares):
        newest = {(one.cohort, one.source_partition, one.pane_start_ms): one for one in shares}
        return sum(one.samples for one in newest.values()) == len(EU + US) * panes * SAMPLES

    return is_all
