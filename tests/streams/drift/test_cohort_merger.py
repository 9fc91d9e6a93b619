"""The merger: shares replace and add up, panes are judged once and in order, and a successor says the same."""

import random
from dataclasses import replace

import numpy as np
import pytest
from drift_fleet import MINUTE_MS, START_MS, Fleet
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.drift_alert import AlertState
from schemas.drift_scores import CohortPane
from schemas.errors import BadRecordError
from sensing import bin_counts
from streams.drift.cohort_merger import Merger
from streams.drift.policy import own_policy
from streams.drift.references import lay_out

FLEET = Fleet(features=2)
AGAINST = lay_out(FLEET.grid, FLEET.baseline)
POLICY = own_policy("[reporting]\ncomplete_every = 1\n")
PANE_MS = 5 * MINUTE_MS
SETTLE_MS = 60_000
GRACE_MS = 15_000


def share(
    pane, *, partition=0, shift=0.0, devices=4, samples=400, cohort="region=eu", model_id=FLEET.model_id, later=0
):
    """A partition's share of a pane as told at its end, or so many panes later."""
    tally = bin_counts(FLEET.grid, FLEET.readings(shift=shift, samples=samples))
    return CohortPane(
        cohort=cohort,
        model_id=model_id,
        grid_id=FLEET.grid.grid_id,
        source_partition=partition,
        pane_start_ms=START_MS + pane * PANE_MS,
        pane_ms=PANE_MS,
        devices=tuple(f"d-{partition}-{number}" for number in range(devices)),
        device_count=devices,
        as_of_ms=START_MS + (pane + 1 + later) * PANE_MS + GRACE_MS,
        samples=samples,
        counts=tally.counts.astype("<u4").tobytes(),
        missing=tally.missing.astype("<u4").tobytes(),
        out_of_range=tally.out_of_range.astype("<u4").tobytes(),
        mean=tally.mean.astype("<f8").tobytes(),
        m2=tally.m2.astype("<f8").tobytes(),
    )


class Merging:
    """A merger with what it has found so far."""

    def __init__(self):
        self.merger, self.scores, self.alerts = Merger(POLICY, settle_ms=SETTLE_MS), [], []

    def hears(self, one, arrived_ms=None):
        arrived_ms = one.as_of_ms if arrived_ms is None else arrived_ms
        self.waits(arrived_ms)
        self.merger.take(one, AGAINST, arrived_ms)

    def waits(self, until_ms):
        found = self.merger.pass_time(until_ms)
        self.scores += found.scores
        self.alerts += found.alerts

    def samples(self):
        return [one.samples for one in self.scores]


def fed(shares, *, until):
    merging = Merging()
    for one in shares:
        merging.hears(one)
    merging.waits(until)
    return merging


def settled(pane, later=0):
    """When a pane is judged."""
    return START_MS + (pane + 1 + later) * PANE_MS + GRACE_MS + SETTLE_MS


def test_a_shift_fires_once_and_lists_who_is_in_the_cohort():
    shares = [share(pane, partition=number, shift=0.3) for pane in range(4) for number in range(2)]

    merging = fed(shares, until=settled(3))

    (fired,) = {one.alert_id: one for one in merging.alerts if one.feature == "f0"}.values()
    assert (fired.state, fired.subject, fired.subject_is_cohort) == (AlertState.FIRING, "region=eu", True)
    assert fired.alert_id.startswith("cohort-drift/pump/1/region=eu/f0/mean_shift/")
    assert fired.members == tuple(sorted(f"d-{number}-{i}" for number in range(2) for i in range(4)))
    assert fired.evidence.scores["devices"] == 8
    assert fired.labels == {"region": "eu"}
    assert [(one.device_id, one.subject_is_cohort) for one in merging.scores] == [("region=eu", True)] * 4
    assert merging.scores[0].samples == 800


def test_a_share_that_comes_twice_counts_once():
    once = share(0)

    merging = fed([once, once, once], until=settled(0))

    assert merging.samples() == [400]
    assert merging.merger.late == 0


def test_a_share_that_is_told_again_replaces_the_one_before_in_the_horizons_to_come():
    first, second, again = share(0), share(1), share(0, samples=600, later=1)

    merging = fed([first, second, again], until=settled(1))

    # Pane 0 as it was first told; then with pane 1, as both stand by then.
    assert merging.samples() == [400, 400 + 600]


def test_an_earlier_share_does_not_replace_a_later_one():
    merging = Merging()
    for one in (share(0, samples=600, later=1), share(1), share(0)):
        merging.hears(one, arrived_ms=settled(1) - SETTLE_MS)
    merging.waits(settled(1))

    # Such a share comes from a worker that does not know yet that another has its partition.
    assert merging.samples() == [600, 600 + 400]
    assert merging.merger.late == 1


def test_a_partition_that_tells_when_its_pane_was_judged_counts_from_then_on():
    first, other, second = share(0), share(0, partition=1), share(1)
    merging = Merging()
    merging.hears(first)
    merging.hears(other, arrived_ms=settled(0) + 1)
    merging.hears(second)
    merging.waits(settled(1))

    assert merging.samples() == [400, 400 + 400 + 400]
    assert merging.merger.late == 1


def test_panes_are_judged_in_their_order_though_shares_came_in_another():
    merging = Merging()
    for pane in (3, 1, 2, 0):
        merging.hears(share(pane), arrived_ms=settled(3))
    merging.waits(settled(3) + SETTLE_MS)

    assert [one.window_end_ms for one in merging.scores] == [START_MS + (pane + 1) * PANE_MS for pane in range(4)]


def test_so_few_devices_are_not_judged_as_a_cohort():
    merging = fed([share(pane, shift=2.0, devices=2) for pane in range(4)], until=settled(3))

    assert (merging.scores, merging.alerts) == ([], [])


def test_cohorts_of_one_name_but_of_two_models_are_apart():
    models = (FLEET.model_id, "pump/2")
    shares = [share(pane, model_id=model, shift=0.5) for pane in range(3) for model in models]

    merging = fed(shares, until=settled(2))

    assert len({one.alert_id for one in merging.alerts if one.feature == "f0"}) == 2


def test_a_cohort_of_which_nothing_is_heard_for_a_day_is_forgotten_and_may_come_back():
    merging = fed([share(0)], until=settled(0))
    merging.waits(settled(400))
    assert not any(merged.following for merged in merging.merger._merged.values())

    merging.hears(share(400))
    merging.waits(settled(400))

    assert merging.samples() == [400, 400]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"pane_ms": 0}, "pane_ms: found 0, wanted more than 0"),
        ({"pane_start_ms": START_MS + 1}, f"wanted a multiple of {PANE_MS}"),
        ({"as_of_ms": START_MS}, "wanted a time between the pane's end"),
        ({"as_of_ms": START_MS + 10 * PANE_MS}, "wanted a time between the pane's end"),
        ({"counts": b"12"}, "counts: found 2 bytes"),
        ({"mean": b""}, "mean: found 0 bytes"),
        ({"cohort": "eu"}, "wanted label=value"),
    ],
)
def test_a_share_that_makes_no_sense_is_refused_and_changes_nothing(bad, why):
    merging = fed([share(0)], until=START_MS)

    with pytest.raises(BadRecordError, match=why):
        merging.merger.take(replace(share(0, partition=1), **bad), AGAINST, share(0).as_of_ms)

    merging.waits(settled(0))
    assert merging.samples() == [400]


# Three partitions; the first has late windows now and then, and a shift comes and goes.
SHARES = [
    share(pane, partition=number, shift=0.4 * (5 < pane < 12), samples=400 + 40 * later, later=later)
    for pane in range(24)
    for number in range(3)
    for later in ([0, 1] if number == 0 and pane % 4 == 0 else [0])
]

TIMED = sorted(SHARES, key=lambda one: one.as_of_ms)


@given(away=st.integers(2, 20), length=st.integers(1, 12), seed=st.integers(0, 99))
@example(away=19, length=12, seed=0)
@settings(max_examples=20, deadline=None)
def test_what_is_said_does_not_depend_on_workers_that_were_away_for_a_while(away, length, seed):
    """Each partition's shares come in order, but while a worker is away none do, and then all at once."""
    order = random.Random(seed).sample(range(3), 3)
    gone_ms, back_ms = share(away).as_of_ms, share(away + length).as_of_ms
    arrivals = sorted(
        (back_ms if gone_ms <= one.as_of_ms < back_ms else one.as_of_ms, order[one.source_partition], place)
        for place, one in enumerate(TIMED)
    )
    # After the latest that they can come back.
    over_ms = settled(40)
    harmed, unharmed = Merging(), fed(TIMED, until=over_ms)

    for arrived_ms, _, place in arrivals:
        harmed.hears(TIMED[place], arrived_ms)
    harmed.waits(over_ms)

    assert unharmed.alerts
    assert harmed.scores == unharmed.scores
    assert harmed.alerts == unharmed.alerts


@given(cut=st.integers(0, len(TIMED)), again=st.integers(0, 6), waited=st.booleans())
@settings(max_examples=20, deadline=None)
def test_a_successor_that_folds_the_log_says_what_the_one_before_would_have_said(cut, again, waited):
    before = fed(TIMED[:cut], until=0)
    if waited:
        # What it judged by its clock, the successor is yet to judge.
        before.waits(min([one.as_of_ms for one in TIMED[cut : cut + 1]], default=settled(30)))
    successor, published = fed(TIMED[: max(cut - again, 0)], until=0), list(before.alerts)
    for alert in newest(published).values():
        if alert.state is not AlertState.RESOLVED:
            successor.merger.remember(alert)

    for one in TIMED[cut:]:
        before.hears(one)
    for one in TIMED[max(cut - again, 0) :]:
        successor.hears(one)
    before.waits(settled(30))
    successor.waits(settled(30))

    assert newest([*published, *successor.alerts]) == newest(before.alerts)
    assert successor.scores == before.scores


def newest(alerts):
    return {one.alert_id: one for one in alerts}


def test_an_alert_as_published_goes_on_where_the_log_of_shares_no_longer_reaches():
    fired = next(one for one in fed(TIMED[:30], until=settled(9)).alerts if one.state is AlertState.FIRING)
    successor = Merging()
    successor.merger.remember(replace(fired, state=AlertState.ACKNOWLEDGED, by="ada"))

    for one in [share(pane) for pane in range(30, 42)]:
        successor.hears(one)
    successor.waits(settled(42))

    assert [(one.alert_id, one.state) for one in successor.alerts] == [(fired.alert_id, AlertState.RESOLVED)]
    assert not np.isnan(successor.alerts[0].evidence.scores["psi"])


def test_an_alert_of_a_cohort_that_nobody_heeds_escalates_though_no_share_comes():
    merging = fed([share(pane, shift=0.5) for pane in range(4)], until=settled(3))
    (fired,) = newest(merging.alerts).values()
    day_after_ms = fired.opened_ms + 25 * 3_600_000

    assert merging.merger.is_due(day_after_ms)
    merging.waits(day_after_ms)

    assert (merging.alerts[-1].alert_id, merging.alerts[-1].escalated) == (fired.alert_id, True)
