"""Cohorts: shares add up as one large device would, replace each other, and show what no device shows."""

import numpy as np
import pytest
from drift_fleet import MINUTE_MS, Fleet, columns_of

from schemas.columns import pane_columns
from schemas.drift_alert import AlertState
from streams.drift.alerts import AlertBook
from streams.drift.cohort_shares import Cohort, shares_of
from streams.drift.cohorts import Cohorts, follow_cohorts
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
    """A partition that has seen so many minutes of some devices."""
    partition = Partition(RULES)
    stats = [
        FLEET.window(device, minute, values=FLEET.readings(shift=shift)) for minute in minutes for device in devices
    ]
    which = np.zeros(len(stats), np.int64)
    partition.work([Stretch(columns_of(stats, FLEET.shape), [Group(AGAINST)], which)])
    return partition.engines[FLEET.grid.grid_id], stats


def labels_of(devices):
    """Every second device is in us."""
    return {device: {"region": "us" if place % 2 else "eu"} for place, device in enumerate(devices)}


def told(engine, pane, names=("region",), *, partition=0, labels=None, as_of_ms=0):
    return shares_of(engine, [(pane, as_of_ms)], names, labels or labels_of("abc"), partition=partition)


def pane_of(stats):
    return (stats[0].window_end_ms - 1) // PANE_MS


def test_a_share_is_the_sum_of_its_devices_windows():
    engine, stats = partition_with(["a", "b", "c"], range(4))

    shares = {one.cohort: one for one in told(engine, pane_of(stats), ["region", "model"], partition=3)}

    assert set(shares) == {"region=eu", "region=us", f"model={FLEET.model_id}"}
    eu = shares["region=eu"]
    mine = [one for one in stats if one.device_id in ("a", "c")]
    assert (eu.devices, eu.device_count, eu.samples, eu.source_partition) == (("a", "c"), 2, 8 * 60, 3)
    opened = pane_columns(eu, FLEET.shape)
    counts = sum(np.frombuffer(one.counts, "<u4").astype(int) for one in mine)
    np.testing.assert_array_equal(opened.counts.ravel(), counts)
    means = np.mean([np.frombuffer(one.mean, "<f4") for one in mine], axis=0)
    np.testing.assert_allclose(opened.mean, means, rtol=1e-4)


def test_nothing_is_told_of_a_pane_that_nobody_has():
    engine, stats = partition_with(["a"], range(2))

    assert told(engine, pane_of(stats) + 1) == []
    assert told(engine, pane_of(stats), ["hardware"]) == []


def test_a_share_replaces_the_one_before_it_and_partitions_add_up():
    engine, stats = partition_with(["a"], range(2))
    fuller, _ = partition_with(["a"], range(4))
    cohorts, pane = Cohorts(FLEET.shape, pane_ms=PANE_MS), pane_of(stats)

    for source, number in ((engine, 0), (fuller, 0), (engine, 1), (fuller, 0)):
        for share in told(source, pane, partition=number):
            cohorts.take(share)

    assert cohorts.totals(EU, [pane]).samples[0] == (4 + 2) * 60
    assert cohorts.members(EU, pane) == (2, ("a",))


def test_what_is_summed_does_not_depend_on_the_order_of_shares():
    shares = [
        share
        for number in range(3)
        for engine, stats in [partition_with(["a", "b", "c"], range(3))]
        for share in told(engine, pane_of(stats), partition=number)
    ]
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
    (new,) = told(later, pane_of(late_stats))
    (old,) = told(engine, pane_of(stats))

    assert cohorts.take(new) == (EU, pane_of(late_stats))
    assert cohorts.take(old) is None


def test_what_was_told_later_is_not_seen_as_of_an_earlier_time():
    engine, stats = partition_with(["a"], range(2))
    fuller, _ = partition_with(["a"], range(4))
    cohorts, pane = Cohorts(FLEET.shape, pane_ms=PANE_MS), pane_of(stats)

    for source, as_of_ms in ((engine, 1000), (fuller, 2000), (engine, 1500)):
        for share in told(source, pane, as_of_ms=as_of_ms):
            cohorts.take(share)

    assert cohorts.told_ms(EU, pane) == 1000
    assert cohorts.totals(EU, [pane], 1999).samples[0] == 2 * 60
    assert cohorts.totals(EU, [pane]).samples[0] == 4 * 60


def test_a_share_names_so_many_devices_and_counts_the_others():
    devices = [f"d{number:04}" for number in range(600)]
    engine, stats = partition_with(devices, range(1))

    (share,) = told(engine, pane_of(stats), ["model"])

    assert (share.device_count, share.devices) == (600, tuple(devices[:500]))


def test_a_cohort_that_was_forgotten_starts_anew_in_a_row_of_its_own():
    engine, stats = partition_with(["a", "b"], range(2))
    eu, us = told(engine, pane_of(stats))
    cohorts, pane = Cohorts(FLEET.shape, pane_ms=PANE_MS), pane_of(stats)

    lives = [life_of(cohorts, cohorts.take(share)[0], pane) for share in (eu, us)]
    cohorts.forget(EU)
    lives.append(life_of(cohorts, cohorts.take(eu)[0], pane))

    assert lives == [(0, 1), (1, 2), (0, 3)]


def life_of(cohorts, cohort, pane):
    measured = cohorts.measure(cohort, pane, Group(AGAINST), horizon_ms=PANE_MS, needs=(100,))
    return int(measured.rows[0]), int(measured.life[0])


@pytest.mark.parametrize(
    ("shift", "rules", "alerted"),
    [(0.0, RULES, False), (0.25, RULES, True), (0.25, read_policy("[alerts]\nhorizons_minutes = [1440]"), False)],
    ids=["none", "small", "small, where only days alert"],
)
def test_a_shift_too_small_for_one_device_shows_in_the_cohort(shift, rules, alerted):
    devices = [f"d{i}" for i in range(20)]
    engine, stats = partition_with(devices, range(15), shift=shift)
    cohorts, judge = Cohorts(FLEET.shape, pane_ms=PANE_MS), Judge(rules, shape=FLEET.shape)
    book, group, alerts = AlertBook(), Group(AGAINST, {"region": "eu"}), []

    for pane in range(pane_of(stats), pane_of(stats) + 3):
        for share in told(engine, pane, labels=labels_of(devices)):
            cohorts.take(share)
        needs = needs_of([rules], FLEET.shape.bins)
        measured = cohorts.measure(EU, pane, group, horizon_ms=rules.horizons_ms[0], needs=needs)
        members = {EU.name: cohorts.members(EU, pane)}
        alerts += follow_cohorts(book, judge.judge([measured]), members)

    firing = [one for one in alerts if one.state is AlertState.FIRING]
    assert bool(firing) == alerted
    if alerted:
        assert (firing[0].subject, firing[0].subject_is_cohort, firing[0].feature) == ("region=eu", True, "f0")
        assert firing[0].members == tuple(sorted(devices[::2]))
