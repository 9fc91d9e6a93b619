"""Alerts of slow horizons: what no hour can show, and nothing twice."""

from dataclasses import replace

import numpy as np
import pytest
from drift_fleet import Fleet, columns_of

from schemas.drift_alert import AlertState, Evidence, Severity
from schemas.grid import SpanDispersion
from sensing import bin_counts
from streams.drift.alerts import AlertBook
from streams.drift.measured import Group
from streams.drift.observed import Breach, Observation, Shown
from streams.drift.partition import Partition, Stretch
from streams.drift.policy import Life, read_policy
from streams.drift.references import lay_out
from trainer.spans import WindowSums, over_spans

HOUR_MS, DAY_MS, WEEK_MS = 3_600_000, 86_400_000, 7 * 86_400_000
A_DAY = 96
FLEET = Fleet(features=1, samples=300, bins=16)
# Each window as a whole is off by so much: half of all variance is between windows.
WOBBLE = 1.0


def wobbling(rng, *, shift=0.0):
    return rng.normal(shift + rng.normal(scale=WOBBLE), size=(FLEET.samples, 1))


def learned(rng, windows=5 * 7 * A_DAY):
    """A baseline that saw for five weeks how windows, days and weeks differ."""
    tallies = [bin_counts(FLEET.grid, wobbling(rng)) for _ in range(windows)]
    counts, mean, m2 = (np.array([getattr(one, name) for one in tallies], float) for name in ("counts", "mean", "m2"))
    sums = WindowSums(counts, mean, m2, np.zeros(windows, np.int64))
    single, *longer = over_spans(sums, (1, 4, A_DAY, 7 * A_DAY))
    centre, size = mean.mean(), windows * FLEET.samples
    (feature,) = FLEET.baseline.features
    feature = replace(
        feature,
        counts=tuple(counts.sum(axis=0)[0].astype(int).tolist()),
        mean=float(centre),
        variance=float((m2.sum() + FLEET.samples * ((mean - centre) ** 2).sum()) / (size - 1)),
        dispersion_counts=float(single.counts[0]),
        dispersion_mean=float(single.mean[0]),
        dispersion_variance=float(single.variance[0]),
        dispersion_windows=windows,
        dispersion_spans=tuple(
            SpanDispersion(
                span_ms=one.length * DAY_MS // A_DAY, counts=float(one.counts[0]), mean=float(one.mean[0]),
                variance=float(one.variance[0]), stretches=one.stretches,
            )
            for one in longer
        ),
    )  # fmt: skip
    return lay_out(FLEET.grid, replace(FLEET.baseline, features=(feature,)))


def test_a_shift_that_drowns_in_every_hour_shows_over_days():
    """Of a third of a window's own wobble; healthy devices raise nothing meanwhile."""
    rng = np.random.default_rng(5)
    group, change = Group(learned(rng)), 7 * A_DAY
    stats = [
        FLEET.window(
            device, 15 * turn, seq=turn, values=wobbling(rng, shift=0.35 if device == "d0" and turn >= change else 0.0)
        )
        for turn in range(14 * A_DAY)
        for device in ("d0", "d1", "d2")
    ]

    stretch = Stretch(columns_of(stats, FLEET.shape), [group], np.zeros(len(stats), np.int64))
    alerts = Partition(read_policy("")).work([stretch]).alerts

    assert {one.subject for one in alerts} == {"d0"}
    assert (alerts[0].kind, alerts[0].state) == ("mean_shift", AlertState.FIRING)
    assert {one.evidence.horizon_ms for one in alerts} <= {DAY_MS, WEEK_MS}
    since_days = (alerts[0].opened_ms - stats[0].window_end_ms) / DAY_MS - change / A_DAY
    assert 0.5 <= since_days <= 7


LIFE = Life(resolve_after_windows=2)


def seen(at_ms, *, horizon_ms=0, drifts=True, fastest_ms=0):
    shown = Shown(kind="mean_shift", evidence=Evidence(scores={}, samples=1, reference="b", horizon_ms=horizon_ms))
    breach = Breach(feature="f0", family="values", severity=Severity.LOW, closer=lambda: shown)
    return Observation(
        subject="d", model_id="m/1", at_ms=at_ms, breaches=(breach,) if drifts else (), horizon_ms=horizon_ms,
        fastest_ms=fastest_ms,
    )  # fmt: skip


def told(book, *observations):
    return [(one.evidence.horizon_ms, one.state) for each in observations for one in book.observe(each, LIFE)]


FAST = [(0, AlertState.FIRING)]
OVER = [(0, AlertState.RESOLVED)]
SLOW = [(DAY_MS, AlertState.FIRING)]


def test_a_day_does_not_tell_again_what_its_windows_told():
    book, hour = AlertBook(), HOUR_MS

    assert told(book, seen(hour), seen(2 * hour)) == FAST
    assert told(book, seen(3 * hour, horizon_ms=DAY_MS)) == []
    assert told(book, seen(4 * hour, drifts=False), seen(5 * hour, drifts=False)) == OVER
    # The day still sees the hours that drifted.
    assert told(book, seen(28 * hour, horizon_ms=DAY_MS)) == []
    assert told(book, seen(30 * hour, horizon_ms=DAY_MS)) == SLOW


def test_what_is_compared_with_something_else_is_told_beside():
    book = AlertBook()

    assert told(book, seen(HOUR_MS), seen(3 * HOUR_MS, horizon_ms=DAY_MS, fastest_ms=DAY_MS)) == FAST + SLOW
    assert told(book, seen(4 * HOUR_MS, horizon_ms=WEEK_MS, fastest_ms=DAY_MS)) == []


def test_windows_neither_end_nor_prolong_what_a_day_shows():
    book = AlertBook()
    assert told(book, seen(HOUR_MS, horizon_ms=DAY_MS)) == SLOW

    assert told(book, *(seen(2 * HOUR_MS + minute, drifts=False) for minute in range(9))) == []

    ended = [seen(turn * DAY_MS, horizon_ms=DAY_MS, drifts=False) for turn in (1, 2)]
    assert told(book, *ended) == [(DAY_MS, AlertState.RESOLVED)]


def test_ends_that_no_horizon_reaches_are_forgotten():
    book = AlertBook()
    told(book, seen(HOUR_MS), *(seen(turn * HOUR_MS, drifts=False) for turn in (2, 3)))
    assert book.ended_ms

    book.pass_time(61 * DAY_MS, LIFE)

    assert not book.ended_ms


@pytest.mark.parametrize("horizon", ["15", "60", "1440"])
def test_each_horizon_may_be_told_to_alert_alone(horizon):
    rules = read_policy(f"[alerts]\nhorizons_minutes = [{horizon}]")
    fleet = Fleet(features=1, samples=200)
    stats = [fleet.window("d", 20 * turn, seq=turn, values=fleet.readings(shift=1.0)) for turn in range(3 * 24)]
    group = Group(lay_out(fleet.grid, fleet.baseline))

    stretch = Stretch(columns_of(stats, fleet.shape), [group], np.zeros(len(stats), np.int64))
    alerts = Partition(rules).work([stretch]).alerts

    assert {one.evidence.horizon_ms for one in alerts} == {int(horizon) * 60_000}
