"""Cohorts: shares add up as one large device would, replace each other, and show what no device shows."""

import numpy as np
import pytest
from drift_fleet import MINUTE_MS, Fleet, columns_of

from schemas.columns import pane_columns
from schemas.drift_alert import AlertState
from streams.drift.alerts import AlertBook
from streams.drift.cohorts import Cohort, Cohorts, follow_cohorts, shares_of
from streams.drift.judge import Judge, needs_of
from streams.drift.measured import Group
from streams.drift.partition import Partition, Stretch
from streams.drift.policy import read_policy
from streams.drift.references import lay_out

FLEET = Fleet(samples=60, features=2)
RULES = read_policy("")
AGAINST = lay_out(FLEET.grid, FLEET.baseline)
PANE_MS = 5 * MINUTE_MS
EU = Cohort("region=eu", FLEET.model_id, FLEET.grid.grid_id)


def partition_with(devices, minutes, *, shift=0.0):
    """A partition that has seen so many minutes of some devices, the first half of them in eu."""
    partition = Partition(RULES)
    groups = [Group(AGAINST, {"region": "eu"}), Group(AGAINST, {"region": "us"})]
    stats = [
        FLEET.window(device, minute, values=FLEET.readings(shift=shift)) for minute in minutes for device in devices
    ]
    which = np.array([devices.index(one.device_id) % 2 for one in stats])
    partition.work([Stretch(columns_of(stats, FLEET.shape), groups, which)])
    return partition.engines[FLEET.grid.grid_id], stats


def pane_of(stats):
    return (stats[0].window_end_ms - 1) // PANE_MS


def test_a_share_is_the_sum_of_its_devices_windows():
    engine, stats = partition_with(["a", "b", "c"], range(4))

    shares = {one.cohort: one for one in shares_of(engine, pane_of(stats), ["region", "model"], partition=3)}

    assert set(shares) == {"region=eu", "region=us", f"model={FLEET.model_id}"}
    eu = shares["region=eu"]
    mine = [one for one in stats if one.device_id in ("a", "c")]
    assert (eu.devices, eu.samples, eu.source_partition) == (("a", "c"), 8 * 60, 3)
    opened = pane_columns(eu, FLEET.shape)
    counts = sum(np.frombuffer(one.counts, "<u4").astype(int) for one in mine)
    np.testing.assert_array_equal(opened.counts.ravel(), counts)
    means = np.mean([np.frombuffer(one.mean, "<f4") for one in mine], axis=0)
    np.testing.assert_allclose(opened.mean, means, rtol=1e-4)


def test_nothing_is_told_of_a_pane_that_nobody_has():
    engine, stats = partition_with(["a"], range(2))

    assert shares_of(engine, pane_of(stats) + 1, ["region"], partition=0) == []
    assert shares_of(engine, pane_of(stats), ["hardware"], partition=0) == []


def test_a_share_replaces_the_one_before_it_and_partitions_add_up():
    engine, stats = partition_with(["a"], range(2))
    fuller, _ = partition_with(["a"], range(4))
    cohorts, pane = Cohorts(FLEET.shape, pane_ms=PANE_MS), pane_of(stats)

    for source, number in ((engine, 0), (fuller, 0), (engine, 1), (fuller, 0)):
        for share in shares_of(source, pane, ["region"], partition=number):
            cohorts.take(share)

    assert cohorts.totals(EU, [pane]).samples[0] == (4 + 2) * 60
    assert cohorts.members(EU, pane) == ("a",)


def test_what_is_summed_does_not_depend_on_the_order_of_shares():
    shares = [
        share
        for number in range(3)
        for share in shares_of(*(lambda two: (two[0], pane_of(two[1])))(partition_with(["a", "b", "c"], range(3))),
                               ["region"], partition=number)
    ]  # fmt: skip
    one, other = Cohorts(FLEET.shape, pane_ms=PANE_MS), Cohorts(FLEET.shape, pane_ms=PANE_MS)
    pane = shares[0].pane_start_ms // PANE_MS

    for share in shares:
        one.take(share)
    for share in reversed(shares):
        other.take(share)

    for mine, theirs in zip(one.totals(EU, [pane]), other.totals(EU, [pane]), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_panes_that_are_long_over_are_left_alone():
    engine, stats = partition_with(["a"], range(1))
    later, late_stats = partition_with(["a"], range(60, 61))
    cohorts = Cohorts(FLEET.shape, pane_ms=PANE_MS, panes=12)
    (new,) = shares_of(later, pane_of(late_stats), ["region"], partition=0)
    (old,) = shares_of(engine, pane_of(stats), ["region"], partition=0)

    assert cohorts.take(new) == (EU, pane_of(late_stats))
    assert cohorts.take(old) is None


@pytest.mark.parametrize(("shift", "alerted"), [(0.0, False), (0.25, True)])
def test_a_shift_too_small_for_one_device_shows_in_the_cohort(shift, alerted):
    devices = [f"d{i}" for i in range(20)]
    engine, stats = partition_with(devices, range(15), shift=shift)
    cohorts, judge = Cohorts(FLEET.shape, pane_ms=PANE_MS), Judge(RULES, shape=FLEET.shape)
    book, group, alerts = AlertBook(), Group(AGAINST, {"region": "eu"}), []

    for pane in range(pane_of(stats), pane_of(stats) + 3):
        for share in shares_of(engine, pane, ["region"], partition=0):
            cohorts.take(share)
        needs = needs_of([RULES], FLEET.shape.bins)
        measured = cohorts.measure(EU, pane, group, horizon_ms=3 * PANE_MS, needs=needs)
        members = {EU.name: cohorts.members(EU, pane)}
        alerts += follow_cohorts(book, judge.judge([measured]), members)

    firing = [one for one in alerts if one.state is AlertState.FIRING]
    assert bool(firing) == alerted
    if alerted:
        assert (firing[0].subject, firing[0].subject_is_cohort, firing[0].feature) == ("region=eu", True, "f0")
        assert firing[0].members == tuple(sorted(devices[::2]))
