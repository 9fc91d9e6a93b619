"""The loop, closed over real servers: from what devices see to a model that answers, and one that is refused."""

from contextlib import nullcontext

import pytest

from driftline.demo import tell
from schemas.release import ReleaseStage
from schemas.rollouts import RolloutPhase
from schemas.training import TrainingCause

MACHINES = {f"machine-{number:04d}" for number in range(12)}


@pytest.mark.timeout(900)
def test_a_changed_world_is_noticed_and_answered_and_a_bad_model_is_refused(stack, prefix, tmp_path):
    told: list[str] = []

    story = tell(lambda: nullcontext(stack), tmp_path / "demo", told.append, prefix=prefix)

    assert {model: len(devices) for model, devices in story.ran.items()} == {
        "machine-health/1": 12,
        "vibration-health/1": 12,
        "weather-health/1": 6,
        "machine-health/2": 12,
    }
    assert story.ran["machine-health/2"] == MACHINES
    assert (story.alert.subject_is_cohort, story.alert.model_id) == (False, "machine-health/1")
    assert (story.request.cause, story.request.requested_by) == (TrainingCause.DRIFT, "desk")
    assert (story.retrained.version, story.retrained.stage) == ("2", ReleaseStage.PRODUCTION)
    assert story.refused_by <= MACHINES
    assert story.refused_by
    assert story.rolled_back.phase is RolloutPhase.ROLLED_BACK
    assert set(story.view["mean"]) > {"temperature"}
    assert (story.sent > 1000, story.lost) == (True, 0)
    assert any(line.startswith("ALERT") for line in told)
