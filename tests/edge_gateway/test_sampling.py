"""Which predictions are sent: anomalies after their context, each vector once, and a fair draw of the rest."""

import itertools
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_gateway.config import SamplingConfig
from edge_gateway.inference import Decisions
from edge_gateway.sampling import Sampler
from schemas.sample import SampledBecause


def add(sampler, anomalies, first=0):
    """One call with these decisions; each vector bears its place."""
    rows = len(anomalies)
    at_ms = np.arange(first, first + rows)
    decisions = Decisions(np.ones(rows, np.float32), np.array(anomalies, bool), np.ones(rows, np.float32))
    return sampler.add("s", at_ms, at_ms[:, None].astype(np.float32), decisions)


def places(kept, because):
    return [each.at_ms for each in kept if each.because is because]


@given(
    anomalies=st.lists(st.booleans(), max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    budget=st.integers(0, 5),
    context=st.integers(0, 3),
)
def test_however_they_arrive_each_anomaly_within_the_budget_goes_out_after_what_came_before(
    anomalies, cuts, budget, context
):
    sampler = Sampler(SamplingConfig(uniform_per_window=0, anomalies_per_window=budget, context=context), Random(1))
    borders = sorted({0, len(anomalies), *(cut for cut in cuts if cut < len(anomalies))})

    kept = []
    for start, end in itertools.pairwise(borders):
        kept += add(sampler, anomalies[start:end], start)

    wanted, sent = [], set()
    for place in [place for place, anomaly in enumerate(anomalies) if anomaly][:budget]:
        group = [each for each in range(max(place - context, 0), place + 1) if each not in sent]
        sent.update(group)
        wanted += group
    assert [each.at_ms for each in kept] == wanted
    assert all(anomalies[place] for place in places(kept, SampledBecause.ANOMALY))


@pytest.mark.parametrize("chunk", [1, 7, 40])
def test_all_predictions_of_a_window_are_drawn_equally_often(chunk):
    rng, drawn, rounds = Random(5), np.zeros(40), 800
    sampler = Sampler(SamplingConfig(uniform_per_window=3, anomalies_per_window=0), rng)

    for _ in range(rounds):
        for start in range(0, 40, chunk):
            add(sampler, [False] * min(chunk, 40 - start), start)
        kept = sampler.close()
        assert len({each.at_ms for each in kept}) == 3
        drawn[[each.at_ms for each in kept]] += 1

    expected = rounds * 3 / 40
    # Five standard deviations of a count of so many draws.
    assert np.abs(drawn - expected).max() < 5 * np.sqrt(expected)


def test_a_window_of_fewer_gives_all_of_them():
    sampler = Sampler(SamplingConfig(uniform_per_window=5), Random(1))
    add(sampler, [False, False])

    assert places(sampler.close(), SampledBecause.UNIFORM) == [0, 1]
    assert sampler.close() == []
