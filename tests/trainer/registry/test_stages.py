"""A release goes as far as its quality, or a person's word, carries it."""

import pytest

from schemas.release import ModelRelease, ReleaseStage
from trainer.errors import RegistryError
from trainer.registry import Comparison, archive, next_version, promote

BETTER = Comparison("f1", 0.8, 0.9, low=0.05, high=0.15, blocks=50, margin=0.01)
WORSE = Comparison("f1", 0.9, 0.8, low=-0.15, high=-0.05, blocks=50, margin=0.01)


def release(version: str, stage: ReleaseStage, model: str = "bearing") -> ModelRelease:
    return ModelRelease(
        model=model,
        version=version,
        stage=stage,
        pipeline="machine/1",
        grid_id="g",
        baseline_id="b",
        bundle_sha256=version * 64,
        bundle_bytes=1,
        bundle_url="http://127.0.0.1/",
        manifest="{}",
        created_ms=int(version),
        created_by="t",
    )


def book(*releases: ModelRelease) -> dict[str, ModelRelease]:
    return {f"{one.model}/{one.version}": one for one in releases}


def test_a_first_release_goes_all_the_way():
    candidate = release("1", ReleaseStage.CANDIDATE)

    (staged,) = promote(book(candidate), "bearing/1")
    (live,) = promote(book(staged), "bearing/1")

    assert (staged.stage, live.stage) == (ReleaseStage.STAGING, ReleaseStage.PRODUCTION)


def test_a_new_production_release_archives_the_one_before():
    releases = book(release("1", ReleaseStage.PRODUCTION), release("2", ReleaseStage.STAGING))

    old, new = promote(releases, "bearing/2", comparison=BETTER)

    assert (old.version, old.stage) == ("1", ReleaseStage.ARCHIVED)
    assert (new.version, new.stage) == ("2", ReleaseStage.PRODUCTION)


def test_another_models_production_release_stays():
    releases = book(release("1", ReleaseStage.PRODUCTION, "pump"), release("2", ReleaseStage.STAGING))

    assert len(promote(releases, "bearing/2")) == 1


@pytest.mark.parametrize(
    ("comparison", "message"),
    [
        pytest.param(None, "was not compared with bearing/1", id="nobody compared"),
        pytest.param(WORSE, "not shown to be as good as bearing/1: f1 0.8000 against 0.9000", id="worse"),
    ],
)
def test_a_doubtful_release_needs_a_persons_word(comparison, message):
    releases = book(release("1", ReleaseStage.PRODUCTION), release("2", ReleaseStage.STAGING))

    with pytest.raises(RegistryError, match=message):
        promote(releases, "bearing/2", comparison=comparison)

    assert len(promote(releases, "bearing/2", comparison=comparison, insist=True)) == 2


def test_an_archived_release_is_restored_to_staging():
    (restored,) = promote(book(release("1", ReleaseStage.ARCHIVED)), "bearing/1")

    assert restored.stage is ReleaseStage.STAGING


def test_production_is_the_end():
    with pytest.raises(RegistryError, match="nothing beyond"):
        promote(book(release("1", ReleaseStage.PRODUCTION)), "bearing/1")


def test_what_serves_is_archived_only_by_a_persons_word():
    releases = book(release("1", ReleaseStage.PRODUCTION))

    with pytest.raises(RegistryError, match="is in production"):
        archive(releases, "bearing/1")
    assert archive(releases, "bearing/1", insist=True).stage is ReleaseStage.ARCHIVED


def test_an_unknown_release_is_answered_with_the_known_ones():
    with pytest.raises(RegistryError, match="unknown release 'bearing/9'; known: bearing/1"):
        promote(book(release("1", ReleaseStage.CANDIDATE)), "bearing/9")


def test_versions_count_on():
    releases = book(
        release("9", ReleaseStage.ARCHIVED),
        release("10", ReleaseStage.CANDIDATE),
        release("3", ReleaseStage.CANDIDATE, "pump"),
    )

    assert next_version(releases, "bearing") == "11"
    assert next_version(releases, "pump") == "4"
    assert next_version(releases, "fan") == "1"
