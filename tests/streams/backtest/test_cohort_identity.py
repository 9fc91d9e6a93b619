"""What a backtest says of cohorts as then is what was published of them, over a real Kafka."""

import asyncio
import time
from dataclasses import replace

import pytest
from drift_fleet import Fleet, asked, device, policy
from patience import until

from schemas import feeds
from schemas.drift_alert import AlertState
from streams.backtest.candidate import Candidate
from streams.backtest.exporting import NEEDED, export_folder
from streams.backtest.history import ClusterHistory, FileHistory
from streams.backtest.running import Plan, run
from streams.backtest.span import EVER
from streams.drift.cohort_merger import OF_COHORTS
from streams.drift.cohort_service import CohortSettings, make_cohort_app
from streams.drift.policy import own_policy, read_policy
from streams.drift.policy.wanted import Wanted
from streams.drift.service import DriftSettings, make_drift_app
from streams.drift.telling import GRACE_MS
from trust import sign_record

# Panes of 20 s, so that a test need not wait for long.
PANE_MS, SETTLE_S, SAMPLES = 20_000, 20, 40
OWN = 'cohorts = ["region"]\nhorizons_minutes = [1, 2]\n[alerts]\nresolve_after_windows = 2\n'
STRICTER = OWN + "[floors]\nmean_shift = 0.2\n"
EU = [f"eu-{number}" for number in range(40)]
US = [f"us-{number}" for number in range(40)]


def windows(fleet, panes, start_ms, *, shift):
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


def within_a_tick(publish, stats):
    """Publish so that all arrive between two ticks: what arrives after one is told a pane later."""
    while not PANE_MS * 0.1 < (time.time() * 1000 - GRACE_MS) % PANE_MS < PANE_MS * 0.6:
        time.sleep(0.1)
    publish("telemetry.feature-stats", stats)


def told_of_cohorts(alerts):
    """What their own drift made; alerts that stand for those of many devices are others."""
    found = {}
    for one in alerts:
        if one.alert_id.startswith(OF_COHORTS):
            found.setdefault(one.alert_id, []).append(one)
    return found


def is_in(state):
    return lambda found: any(one.state is state for each in told_of_cohorts(found).values() for one in each)


@pytest.mark.nightly
@pytest.mark.timeout(600)
async def test_the_replay_as_then_tells_of_cohorts_what_was_published(
    cluster, publish, found_on, running, noting, signer, keyring, tmp_path
):
    """With late and repeated windows, over a change of policy, somebody acknowledging, and an end of the drift."""
    fleet = Fleet(samples=SAMPLES, features=2)
    publish("models.grids", [fleet.grid])
    publish("models.baselines", [fleet.baseline])
    publish("fleet.devices", [device(name, region=name[:2]) for name in EU + US])
    own = own_policy(OWN, policy_id="p")
    start_ms = (int(time.time() * 1000) // PANE_MS - 12) * PANE_MS
    drifting = windows(fleet, range(5), start_ms, shift=0.3)
    late, timely = drifting[330:345], drifting[:330] + drifting[345:]
    quiet = windows(fleet, range(5, 10), start_ms, shift=0.0)

    heeded = noting(Wanted, "heed")
    async with (
        running(make_drift_app(cluster, DriftSettings(policy=own, keyring=keyring))),
        running(make_cohort_app(cluster, CohortSettings(policy=own, keyring=keyring, settle_s=SETTLE_S))),
    ):
        await asyncio.to_thread(within_a_tick, publish, [*timely, *timely[100:140]])
        told = await asyncio.to_thread(found_on, "drift.alerts", is_in(AlertState.FIRING), within_s=150)
        fired = next(one for each in told_of_cohorts(told).values() for one in each if one.state is AlertState.FIRING)
        await asyncio.to_thread(publish, "operators.requests", [asked(f"alert/{fired.alert_id}", "acknowledge")])
        await asyncio.to_thread(found_on, "drift.alerts", is_in(AlertState.ACKNOWLEDGED))
        await asyncio.to_thread(publish, "drift.policies", [sign_record(policy(1, STRICTER), [signer])])
        # Either worker follows the policies.
        await until(lambda: len(heeded) == 2)
        await asyncio.to_thread(within_a_tick, publish, [*late, *quiet, *timely[300:320]])
        await asyncio.to_thread(found_on, "drift.alerts", is_in(AlertState.RESOLVED), within_s=150)
        # Panes that are judged at once are told of together.
        await asyncio.sleep(3)
    published = await asyncio.to_thread(all_on, cluster, "drift.alerts")

    export_folder(ClusterHistory(cluster), NEEDED, EVER, tmp_path / "archive")
    asking = Plan(
        as_then=True, settle_ms=SETTLE_S * 1000, candidates=[candidate("own", OWN)],
        cohort_candidates=[candidate("own", OWN)],
    )  # fmt: skip
    for history in (ClusterHistory(cluster), FileHistory(tmp_path / "archive")):
        for processes in (1, 2):
            found = await asyncio.to_thread(run, history, replace(asking, processes=processes))
            assert told_of_cohorts(found.as_then) == told_of_cohorts(published), (history.name, processes)
            assert found.counts.tally.repeated == 60
    then, now = ({one.alert_id: one for one in stories} for stories in (found.published, found.cohorts["own"]))
    assert then[fired.alert_id].fired_ms == now[fired.alert_id].fired_ms
    assert {one.by for each in told_of_cohorts(published).values() for one in each} == {"", "ada"}
    assert {one.policy_revision for one in await asyncio.to_thread(all_on, cluster, "drift.policy-applied")} == {0, 1}


def candidate(name, document):
    return Candidate(name, document, read_policy(document))


def all_on(cluster, topic):
    with feeds.follow(cluster, topic, from_ms=0, until_current=True) as log:
        return [event.value for event in log if isinstance(event, feeds.Changed)]
