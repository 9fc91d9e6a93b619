"""The loop, closed over real servers: from what a device sees to a command that it obeys, and its answer."""

from contextlib import nullcontext

import pytest

from driftline.demo import tell
from schemas.rollouts import AckPhase


@pytest.mark.timeout(600)
def test_a_changed_world_is_noticed_and_answered(stack, prefix, tmp_path):
    told: list[str] = []

    story = tell(lambda: nullcontext(stack), tmp_path / "demo", told.append, prefix=prefix)

    assert {ack.device_id for ack in story.installed} == {"press-1", "press-2", "press-3"}
    assert story.alerts_before == 0
    assert (story.alert.subject, story.alert.model_id) == ("press-2", "press-health/1")
    assert story.alert.feature.startswith("temperature")
    assert story.command.model_id == "press-health/2"
    assert {(ack.device_id, ack.phase) for ack in story.answered} == {
        (f"press-{number}", AckPhase.SUCCEEDED) for number in (1, 2, 3)
    }
    assert story.command.revision == 2
    assert set(story.view["mean"]) > {"temperature"}
    assert story.lost == 0
    assert any(line.startswith("ALERT") for line in told)
