"""Candidates that compare with other references are measured apart, and say what each says alone."""

import numpy as np
from drift_fleet import Fleet, columns_of
from seasons import profiled

from streams.backtest.candidate import Candidate
from streams.backtest.players import Candidates
from streams.drift.measured import Group
from streams.drift.partition import Stretch
from streams.drift.policy import read_policy
from streams.drift.references import lay_out

FLEET = Fleet(features=2, samples=200)
DOCUMENTS = {"whole": "", "season": 'reference = "season"'}


def test_each_candidate_says_what_it_says_alone():
    group = Group(lay_out(FLEET.grid, profiled(FLEET)))
    # A warm midnight: unusual for the hour, and for the whole year as usual as anything.
    stats = [FLEET.window("d", minute, values=FLEET.readings(shift=1.0)) for minute in range(20)]
    stretch = Stretch(columns_of(stats, FLEET.shape), [group], np.zeros(len(stats), np.int64))
    both = [Candidate(name, document, read_policy(document)) for name, document in DOCUMENTS.items()]

    together = Candidates(both).play(stretch).alerts

    assert together == {one.name: Candidates([one]).play(stretch).alerts[one.name] for one in both}
    assert together["season"] != together["whole"]
