import numpy as np
import pytest

from edge_gateway.health import HealthTally
from edge_gateway.inference import Decisions

SCORES = np.array([0.5, np.nan, -2.0, 7.25, np.inf, 0.0], dtype=np.float32)
DECIDED = Decisions(SCORES, SCORES > 1, np.array([0.9, np.nan, 0.6, 1.0, 0.5, 0.2], dtype=np.float32))


def test_decisions_counted_one_by_one_add_up_to_those_counted_at_once():
    singly, together = HealthTally(), HealthTally()

    for row in range(len(SCORES)):
        singly.add(DECIDED.rows(slice(row, row + 1)), 0.5)
    together.add(DECIDED, 0.5)

    assert (singly.inferences, singly.anomalies, singly.errors) == (4, 1, 2)
    assert (together.inferences, together.anomalies, together.errors) == (4, 1, 2)
    for name in ("score_mean", "score_m2", "confidence_mean"):
        assert getattr(singly, name) == pytest.approx(getattr(together, name))
