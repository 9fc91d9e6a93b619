"""A device's own earlier window as reference: what a device always did is no drift, what it does otherwise is."""

from dataclasses import replace

import numpy as np
import pytest
from drift_fleet import MINUTE_MS, Fleet, columns_of

from schemas.drift_alert import AlertState
from schemas.drift_scores import Verdict
from streams.drift.earlier import earlier
from streams.drift.measured import Group
from streams.drift.partition import Partition, Stretch
from streams.drift.policy import PolicyError, read_policy
from streams.drift.references import lay_out
from streams.drift.refill import SlowRefill
from streams.drift.slow import Past

HOUR_MS, DAY_MS = 60 * MINUTE_MS, 24 * 60 * MINUTE_MS
DAY, WEEK = DAY_MS, 7 * DAY_MS
FLEET = Fleet(features=2, samples=300)
GROUP = Group(lay_out(FLEET.grid, FLEET.baseline))
SLOW = "[alerts]\nhorizons_minutes = [1440, 10080]\n[reporting]\npsi = 0.0001\n"
EARLIER = read_policy('reference = "earlier"\n' + SLOW)
BASELINE = read_policy(SLOW)


def hours(first, end, *, shift=0.0, device="d"):
    """A window each hour, of the first feature moved."""
    return [
        FLEET.window(device, 60 * hour + 58, seq=hour, values=FLEET.readings(shift=shift)) for hour in range(first, end)
    ]


def stretch_of(stats, first_offset=0):
    return Stretch(columns_of(stats, FLEET.shape, first_offset=first_offset), [GROUP], np.zeros(len(stats), np.int64))


def played(rules, stats, **more):
    partition = Partition(rules, **more)
    return partition, partition.work([stretch_of(stats)])


def verdicts(outcome, horizon_ms):
    """Verdicts on a horizon, with the whole days since the start."""
    begin_ms = outcome.scores[0].window_end_ms
    return [
        ((one.window_end_ms - begin_ms) // DAY_MS, one.verdict)
        for one in outcome.scores
        if one.horizon_ms == horizon_ms
    ]


ODD_FROM_THE_START = hours(0, 50 * 24, shift=1.0)


def test_a_device_that_was_always_odd_does_not_drift_from_itself():
    _, against_itself = played(EARLIER, ODD_FROM_THE_START)
    _, against_the_baseline = played(BASELINE, ODD_FROM_THE_START)

    assert against_itself.alerts == []
    assert {one.evidence.horizon_ms for one in against_the_baseline.alerts} == {DAY}


@pytest.mark.parametrize(("horizon_ms", "days"), [(DAY, 5), (WEEK, 27)], ids=["a day", "a week"])
def test_until_there_is_a_past_there_is_not_enough_data(horizon_ms, days):
    _, outcome = played(replace(EARLIER, reporting=replace(EARLIER.reporting, psi=1e-9)), ODD_FROM_THE_START)

    judged = [day for day, verdict in verdicts(outcome, horizon_ms) if verdict is not Verdict.NOT_ENOUGH_DATA]
    assert days <= min(judged) <= days + 3
    assert {verdict for _, verdict in verdicts(outcome, horizon_ms)} <= {Verdict.STABLE, Verdict.NOT_ENOUGH_DATA}


def test_a_change_shows_in_the_day_that_it_came():
    _, outcome = played(EARLIER, hours(0, 20 * 24, shift=1.0) + hours(20 * 24, 22 * 24, shift=2.0))

    alert = outcome.alerts[0]
    assert (alert.feature, alert.kind, alert.state) == ("f0", "mean_shift", AlertState.FIRING)
    assert 20 * 24 <= (alert.opened_ms - ODD_FROM_THE_START[0].window_end_ms) / HOUR_MS <= 20 * 24 + 24
    assert alert.evidence.reference == "its own 7 days before"
    assert alert.evidence.horizon_ms == DAY
    assert " mean shift in f0 of d over 24 h (psi" in alert.summary
    assert 0 < alert.evidence.scores["mean_shift"] <= 1.1


def test_a_week_is_compared_with_the_thirty_days_before():
    only_weeks = read_policy('reference = "earlier"\n[alerts]\nhorizons_minutes = [10080]\n')

    _, outcome = played(only_weeks, hours(0, 45 * 24) + hours(45 * 24, 50 * 24, shift=1.0))

    assert [one.state for one in outcome.alerts[:1]] == [AlertState.FIRING]
    assert outcome.alerts[0].evidence.reference == "its own 30 days before"
    assert outcome.alerts[0].evidence.horizon_ms == WEEK


def test_a_rest_at_weekends_leaves_past_enough():
    working = [one for one in hours(0, 21 * 24) if (one.seq // 24) % 7 < 5]

    _, outcome = played(replace(EARLIER, reporting=replace(EARLIER.reporting, psi=1e-9)), working)

    # The days of the third week, all but its rest.
    assert {day for day, verdict in verdicts(outcome, DAY) if verdict is Verdict.STABLE} >= {14, 15, 16, 17, 18}


def test_batches_do_not_matter():
    stats = hours(0, 12 * 24, shift=0.5) + hours(12 * 24, 14 * 24, shift=1.0)
    _, whole = played(EARLIER, stats)
    partition = Partition(EARLIER)

    parts = [partition.work([stretch_of(stats[first : first + 37], first)]) for first in range(0, len(stats), 37)]

    assert [one for part in parts for one in part.alerts] == whole.alerts
    assert [one for part in parts for one in part.scores] == whole.scores


def test_who_asks_for_the_past_later_finds_it_in_the_rollups():
    """A worker that takes the policy up, and one that held the past all along, say the same."""
    stats = hours(0, 12 * 24, shift=0.5) + hours(12 * 24, 14 * 24, shift=1.5)
    change = 10 * 24 + 7
    live, before = played(BASELINE, stats[:change])
    prepared, _ = played(BASELINE, stats[:change], hold_past=True)
    for partition in (live, prepared):
        lacks_past = partition.take_up(EARLIER, policy_id="p", policy_revision=2)
        assert lacks_past is (partition is live)
    for engine in live.engines.values():
        refill = SlowRefill(engine, only_past=True)
        for first in range(0, len(before.rollups), 100):
            refill.add(before.rollups[max(first - 3, 0) : first + 100])

    after = [partition.work([stretch_of(stats[change:], change)]) for partition in (live, prepared)]

    assert after[0].alerts == after[1].alerts != []
    assert after[0].scores == after[1].scores
    live.take_up(BASELINE, policy_id="p", policy_revision=3)
    assert all(not engine.slow.past for engine in live.engines.values())


def test_a_past_that_wobbles_counts_as_fewer_samples():
    against, totals = GROUP.against, played(EARLIER, hours(0, 9 * 24))[0].engines[FLEET.grid.grid_id].slow
    ring, rows = totals.past[0], np.array([0, 0])
    past = Past(ring.sum(rows, 7), np.array([True, False]), 7 * DAY_MS)

    there, missing = (earlier(against, DAY_MS, past).only(np.array([row])) for row in (0, 1))

    # Nothing longer than an hour was learned: seven days are as sure of themselves as one.
    np.testing.assert_allclose(there.usable, past.totals.counts.sum(axis=1)[:1] / 7, rtol=1e-5)
    np.testing.assert_allclose(there.variance, 1, atol=0.1)
    assert missing.usable.max() == 0
    assert np.isnan(missing.shares).all()


def test_a_policy_says_which_horizons_alert():
    assert not EARLIER.alerts_on(15 * MINUTE_MS)
    assert EARLIER.alerts_on(DAY)
    assert [ms // MINUTE_MS for ms in read_policy("").horizons_ms if read_policy("").alerts_on(ms)] == [15, 1440, 10080]
    with pytest.raises(PolicyError, match=r"alerts.horizons_minutes: found \[30\], wanted some of horizons_minutes"):
        read_policy("[alerts]\nhorizons_minutes = [30]")
