"""Bundles that nobody needs any more."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from schemas.release import ModelRelease, ReleaseStage
from trainer.registry.store import bundle_name

__all__ = ["Garbage", "find_garbage"]

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Garbage:
    """A bundle that may go, and why."""

    name: str
    size: int
    why: str


def find_garbage(
    releases: Mapping[str, ModelRelease],
    stored: Mapping[str, int],
    modified_ms: Mapping[str, int],
    in_use: Collection[str],
    *,
    now_ms: int,
    keep: int = 3,
    min_age_ms: int = 30 * DAY_MS,
) -> tuple[Garbage, ...]:
    """Find bundles of archived releases, but for each model's newest few, and bundles without a release.

    Nothing young is garbage (a release may be about to name it), nor what a device says it runs (`in_use`, model ids).
    """
    kept = _kept(releases, in_use, keep)
    named = {bundle_name(release.bundle_sha256) for release in releases.values()}
    return tuple(
        Garbage(name, size, "its releases are archived" if name in named else "no release names it")
        for name, size in sorted(stored.items())
        if name not in kept and now_ms - modified_ms[name] >= min_age_ms
    )


def _kept(releases: Mapping[str, ModelRelease], in_use: Collection[str], keep: int) -> set[str]:
    kept = {
        bundle_name(release.bundle_sha256)
        for model_id, release in releases.items()
        if release.stage is not ReleaseStage.ARCHIVED or model_id in in_use
    }
    for model in {release.model for release in releases.values()}:
        archived = [
            release
            for release in releases.values()
            if release.model == model and release.stage is ReleaseStage.ARCHIVED
        ]
        newest = sorted(archived, key=lambda release: release.created_ms, reverse=True)[:keep]
        kept |= {bundle_name(release.bundle_sha256) for release in newest}
    return kept
