"""The same hour of the week as reference: what is usual at night is no drift at night."""

import numpy as np
import pytest
from drift_fleet import MINUTE_MS, START_MS, Fleet, columns_of
from seasons import profiled, usual

from schemas.drift_alert import AlertState
from schemas.grid import HOURS_OF_WEEK
from streams.drift.measured import Group
from streams.drift.partition import Partition, Stretch
from streams.drift.policy import PolicyError, read_policy
from streams.drift.references import lay_out

FLEET = Fleet(features=2, samples=200)
SEASON = read_policy('reference = "season"')
# START_MS is a Thursday at midnight.
MIDNIGHT, NOON = 3 * 24, 3 * 24 + 12
HOUR_MS = 60 * MINUTE_MS


def alerts(rules, baseline, *, first_hour, mean, minutes=20):
    """What fires of a device whose first feature has this mean."""
    group, partition = Group(lay_out(FLEET.grid, baseline)), Partition(rules)
    stats = [
        FLEET.window("d", first_hour * 60 + minute, values=FLEET.readings(shift=mean)) for minute in range(minutes)
    ]
    stretch = Stretch(columns_of(stats, FLEET.shape), [group], np.zeros(len(stats), np.int64))
    return [one for one in partition.work([stretch]).alerts if one.state is AlertState.FIRING]


@pytest.mark.parametrize(("hour", "mean"), [(0, -1.0), (12, 1.0)], ids=["a cold night", "a warm noon"])
def test_what_is_usual_at_that_hour_is_no_drift(hour, mean):
    baseline = profiled(FLEET)

    assert alerts(SEASON, baseline, first_hour=hour, mean=mean) == []
    assert alerts(read_policy(""), baseline, first_hour=hour, mean=mean) != []


def test_what_is_usual_at_another_hour_is_drift():
    (alert,) = alerts(SEASON, profiled(FLEET), first_hour=12, mean=-1.0)

    assert (alert.feature, alert.kind) == ("f0", "mean_shift")
    assert alert.evidence.scores["mean_shift"] == pytest.approx(-2.0, abs=0.2)
    assert alert.evidence.reference.endswith(" at Thursday 12:00 UTC")


def test_when_the_hour_turns_so_does_the_reference():
    baseline, group = profiled(FLEET), Group(lay_out(FLEET.grid, profiled(FLEET)))
    partition, means = Partition(SEASON), [usual(5 + minute // 60) for minute in range(120)]

    stats = [FLEET.window("d", 5 * 60 + minute, values=FLEET.readings(shift=mean)) for minute, mean in enumerate(means)]
    for part in (stats[:90], stats[90:]):
        outcome = partition.work([Stretch(columns_of(part, FLEET.shape), [group], np.zeros(len(part), np.int64))])
        assert outcome.alerts == []

    against = lay_out(FLEET.grid, baseline)
    assert against.at_hour(MIDNIGHT).reference.mean[0, 0] == pytest.approx(-1, abs=0.2)
    assert against.at_hour(NOON).reference.mean[0, 0] == pytest.approx(1, abs=0.2)
    assert against.at_hour(NOON) is against.at_hour(NOON)


def test_hours_and_features_that_the_baseline_does_not_know_have_the_whole_of_it():
    plain, partly = lay_out(FLEET.grid, FLEET.baseline), lay_out(FLEET.grid, profiled(FLEET, unknown={MIDNIGHT}))

    assert plain.at_hour(NOON) is plain
    assert partly.at_hour(MIDNIGHT) is partly
    known = partly.at_hour(NOON).reference
    assert known.counts[:, 0, 0].sum() == 600
    np.testing.assert_array_equal(known.counts[:, 0, 1], partly.reference.counts[:, 0, 1])
    np.testing.assert_allclose(known.variance[0, 1], partly.reference.variance[0, 1], rtol=1e-6)


def test_a_policy_names_its_reference_for_all_models():
    with pytest.raises(PolicyError, match="found 'weather', wanted one of baseline, season, earlier"):
        read_policy('reference = "weather"')
    with pytest.raises(PolicyError, match="it is the same for all"):
        read_policy('[[override]]\nmodel = "m/*"\n[override.rules]\nreference = "season"')


def test_the_start_of_the_tests_clock_is_a_thursdays_midnight():
    assert (START_MS // HOUR_MS + 72) % HOURS_OF_WEEK == MIDNIGHT
