"""Every kind of drift, and every score that a threshold may be set on, is said to be of the world or of a sensor."""

import pytest

from schemas.drift_kind import DriftKind, concern_of
from streams.drift.scores import SCORES


@pytest.mark.parametrize("kind", [*(kind.value for kind in DriftKind), *SCORES])
def test_every_kind_concerns_somebody(kind):
    assert concern_of(kind) is not None
