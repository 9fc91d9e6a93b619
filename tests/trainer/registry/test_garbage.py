"""A bundle goes only when nobody can miss it."""

from dataclasses import replace

from schemas.release import ModelRelease, ReleaseStage
from trainer.registry import find_garbage
from trainer.registry.store import bundle_name

DAY_MS = 86_400_000


def release(number: int, stage: ReleaseStage = ReleaseStage.ARCHIVED) -> ModelRelease:
    return ModelRelease(
        model="bearing",
        version=str(number),
        stage=stage,
        pipeline="machine/1",
        grid_id="g",
        baseline_id="b",
        bundle_sha256=f"{number:064x}",
        bundle_bytes=1,
        bundle_url="http://127.0.0.1/",
        manifest="{}",
        created_ms=number,
        created_by="t",
    )


def found(*releases: ModelRelease, orphans: int = 0, in_use=(), age_days: int = 100, keep: int = 1) -> set[int]:
    book = {f"{one.model}/{one.version}": one for one in releases}
    stored = {bundle_name(one.bundle_sha256): 10 for one in releases}
    stored |= {bundle_name(f"{900 + number:064x}"): 10 for number in range(orphans)}
    garbage = find_garbage(book, stored, dict.fromkeys(stored, 0), in_use, now_ms=age_days * DAY_MS, keep=keep)
    return {int(one.name[8:72], 16) for one in garbage}


def test_old_archived_bundles_go_and_the_newest_stay():
    assert found(*(release(number) for number in range(1, 5)), keep=2) == {1, 2}


def test_what_may_yet_be_installed_stays():
    stages = (ReleaseStage.CANDIDATE, ReleaseStage.STAGING, ReleaseStage.PRODUCTION)

    assert found(*(release(number, stage) for number, stage in enumerate(stages)), keep=0) == set()


def test_what_a_device_runs_stays():
    assert found(release(1), release(2), in_use={"bearing/1"}, keep=0) == {2}


def test_a_bundle_that_two_releases_name_stays_for_the_living_one():
    live = replace(release(2, ReleaseStage.PRODUCTION), bundle_sha256=release(1).bundle_sha256)

    assert found(release(1), live, keep=0) == set()


def test_orphans_of_killed_workers_go_when_they_are_old():
    assert found(orphans=2) == {900, 901}
    assert found(orphans=2, age_days=1) == set()
