"""Score records that are written without being made are those that would have been made."""

import numpy as np
import pytest
from drift_fleet import Fleet, columns_of

from schemas.codec import codec_of
from schemas.drift_scores import DriftScores
from streams.drift.measured import Group
from streams.drift.partition import Outcome, Partition, Stretch
from streams.drift.policy import read_policy
from streams.drift.references import lay_out
from streams.drift.writing import written

# All is told now and then, horizons of hours among it; small windows leave some scores without a value.
POLICIES = {
    "one horizon": "horizons_minutes = [15]\n[reporting]\ncomplete_every = 3",
    "four horizons": "[reporting]\ncomplete_every = 7",
    "thresholds": 'mode = "thresholds"\n[reporting]\npsi = 0.0001',
    "nothing but drift": "[reporting]\npsi = 9.0\nks = 1.0\ncomplete_every = 1000",
}


@pytest.mark.parametrize("document", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("samples", [3, 600])
def test_what_is_written_is_what_the_codec_makes_of_the_report(document, samples):
    fleet, codec = Fleet(features=5, samples=samples), codec_of(DriftScores)
    group = Group(lay_out(fleet.grid, fleet.baseline))
    partition, told = Partition(read_policy(document), policy_id="mine", policy_revision=12), 0

    for minute in range(130):
        windows = [
            fleet.window(f"pümp-{i}", minute, values=readings(fleet, minute, shift=0.6 * (i == 1))) for i in range(4)
        ]
        columns = columns_of(windows, fleet.shape)
        outcome = partition.work([Stretch(columns, [group], np.zeros(len(windows), np.int64))])
        records = outcome.scores
        told += len(records)

        assert [one.device_id for one in outcome.written] == [one.device_id for one in records]
        assert [one.body for one in outcome.written] == [codec.encode(one) for one in records]

    assert told > 0


def test_nothing_judged_is_nothing_written():
    assert written([]) == []
    assert written([Outcome(policy_id="default")]) == [[]]


def readings(fleet, minute, *, shift):
    values = fleet.readings(shift=shift)
    if minute % 5 == 0:
        values[:, 2] = np.nan
    return values


def test_what_is_written_together_is_what_each_would_be_by_itself():
    """Of two grids with bins of different number, and of devices that drift and those that do not."""
    fleets = [Fleet(features=5), Fleet(features=3, bins=4), Fleet(features=5, seed=2)]
    groups = [Group(lay_out(fleet.grid, fleet.baseline)) for fleet in fleets]
    partitions = [Partition(read_policy(POLICIES["four horizons"]), policy_id=name) for name in ("a", "b", "c")]
    outcomes = [Outcome(policy_id="nothing came of it")]

    for minute in range(75):
        for fleet, group, partition in zip(fleets, groups, partitions, strict=True):
            windows = [
                fleet.window(f"d-{i}", minute, values=readings(fleet, minute, shift=0.6 * (i == 1))) for i in range(3)
            ]
            columns = columns_of(windows, fleet.shape)
            outcomes.append(partition.work([Stretch(columns, [group], np.zeros(len(windows), np.int64))]))

    assert written(outcomes) == [outcome.written for outcome in outcomes]
