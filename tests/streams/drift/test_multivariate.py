"""The score of all features together: an ordinary normal on healthy devices, and high where all moved a little."""

import numpy as np
import pytest
from drift_fleet import Fleet, columns_of

from schemas.drift_scores import Verdict
from streams.drift.measured import Group
from streams.drift.partition import Partition, Stretch
from streams.drift.policy import read_policy
from streams.drift.references import lay_out

FLEET = Fleet(features=24, samples=600)
DEVICES = 300


def together(shift):
    """One window of each device, every feature of which has moved; verdicts and scores."""
    values = (FLEET.readings() + shift for _ in range(DEVICES))
    stats = [FLEET.window(f"d{number}", 0, values=one) for number, one in enumerate(values)]
    partition = Partition(read_policy("[reporting]\ncomplete_every = 1\n"))
    group = Group(lay_out(FLEET.grid, FLEET.baseline))
    scores = partition.work([Stretch(columns_of(stats, FLEET.shape), [group], np.zeros(DEVICES, np.int64))]).scores
    assert len(scores) == DEVICES
    return {one.verdict for one in scores}, np.array([one.device_scores["multivariate"] for one in scores])


def test_on_healthy_devices_it_is_an_ordinary_normal():
    _, scores = together(0.0)

    assert scores.mean() == pytest.approx(0, abs=0.2)
    assert scores.std() == pytest.approx(1, abs=0.15)
    assert (scores > 4).mean() < 0.01


def test_it_shows_what_no_single_feature_does():
    verdicts, scores = together(0.1)

    assert Verdict.DRIFT not in verdicts
    assert (scores > 4).mean() > 0.9
