"""A pipeline remembers a reading for exactly as long as its vectors change with it."""

import numpy as np
import pytest

from sensing import PIPELINES, Pipeline, remembers, run_batch

READINGS = {"machine/1": 400, "vibration/1": 5_000, "weather/1": 120}


def stream(pipeline: Pipeline, rng: np.random.Generator, *, kept: float) -> tuple[np.ndarray, np.ndarray]:
    """Readings of which some never came; around the middle, a gap that the pipeline does not bridge."""
    count = READINGS[pipeline.id]
    at_ms = np.arange(count) * pipeline.every_ms
    at_ms[count // 2 :] += 2 * pipeline.gap.max_ms
    came = rng.random(count) < kept
    middle = [(channel.low + channel.high) / 2 for channel in pipeline.channels]
    return at_ms[came], np.array(middle) + rng.normal(size=(int(came.sum()), len(middle)))


@pytest.mark.parametrize("kept", [1.0, 0.7], ids=["every reading came", "some never came"])
@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES)
def test_vectors_that_change_with_a_reading_remember_it(pipeline, kept):
    rng = np.random.default_rng(3)
    for _ in range(12):
        at_ms, readings = stream(pipeline, rng, kept=kept)
        hit = int(rng.integers(len(at_ms)))
        other = readings.copy()
        other[hit] += 1.0

        before, after = run_batch(pipeline, at_ms, readings), run_batch(pipeline, at_ms, other)
        remembered = remembers(pipeline, at_ms, np.arange(len(at_ms)) == hit, before)

        same = (before.matrix == after.matrix) | (np.isnan(before.matrix) & np.isnan(after.matrix))
        changed = ~same.all(axis=1)
        np.testing.assert_array_equal(changed & ~remembered, np.zeros(len(changed), dtype=bool))
        if changed.any():
            # The whole of the memory, too: the last vector that changes is the last that remembers.
            assert np.flatnonzero(changed)[-1] == np.flatnonzero(remembered)[-1]
