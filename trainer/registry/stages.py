"""How far a release may go: candidate, staging, production, archived.

It keeps three rules:

* a release goes forward one stage at a time, and only a restored one comes back, to staging;
* a model has at most one release in production: the one before it is archived in the same step;
* a release that is worse than the one in production, or that nobody could compare, goes there only by a person's word.
"""

from collections.abc import Mapping
from dataclasses import replace

from schemas.release import ModelRelease, ReleaseStage
from trainer.errors import RegistryError
from trainer.registry.comparison import Comparison

__all__ = ["archive", "in_production", "next_version", "promote", "release_named"]

Releases = Mapping[str, ModelRelease]

_FORWARD = {
    ReleaseStage.CANDIDATE: ReleaseStage.STAGING,
    ReleaseStage.STAGING: ReleaseStage.PRODUCTION,
    ReleaseStage.ARCHIVED: ReleaseStage.STAGING,
}


def release_named(releases: Releases, model_id: str) -> ModelRelease:
    try:
        return releases[model_id]
    except KeyError:
        known = ", ".join(sorted(releases)) or "none"
        raise RegistryError(f"unknown release {model_id!r}; known: {known}") from None


def in_production(releases: Releases, model: str) -> ModelRelease | None:
    """Return what the fleet should run of this model; None before the first release."""
    found = [
        release for release in releases.values() if release.model == model and release.stage is ReleaseStage.PRODUCTION
    ]
    return max(found, key=lambda release: release.created_ms, default=None)


def next_version(releases: Releases, model: str) -> str:
    """Return the version after the highest number; versions that are no numbers do not count.

    >>> next_version({}, "bearing")
    '1'
    """
    numbers = [
        int(release.version) for release in releases.values() if release.model == model and release.version.isdigit()
    ]
    return str(max(numbers, default=0) + 1)


def promote(
    releases: Releases, model_id: str, *, comparison: Comparison | None = None, insist: bool = False
) -> tuple[ModelRelease, ...]:
    """Return the releases as they are after one step forward: the promoted one last."""
    release = release_named(releases, model_id)
    following = _FORWARD.get(release.stage)
    if following is None:
        raise RegistryError(f"{model_id} is in {release.stage.value}; there is nothing beyond")
    promoted = replace(release, stage=following)
    if following is not ReleaseStage.PRODUCTION:
        return (promoted,)
    champion = in_production(releases, release.model)
    if champion is None:
        return (promoted,)
    if not insist:
        _require_not_worse(model_id, champion, comparison)
    return (replace(champion, stage=ReleaseStage.ARCHIVED), promoted)


def archive(releases: Releases, model_id: str, *, insist: bool = False) -> ModelRelease:
    """Return the release as archived; the one in production only where somebody insists."""
    release = release_named(releases, model_id)
    if release.stage is ReleaseStage.PRODUCTION and not insist:
        raise RegistryError(f"{model_id} is in production", hint="promote another release, or insist with --force")
    return replace(release, stage=ReleaseStage.ARCHIVED)


def _require_not_worse(model_id: str, champion: ModelRelease, comparison: Comparison | None) -> None:
    present = f"{champion.model}/{champion.version}"
    if comparison is None:
        raise RegistryError(
            f"{model_id} was not compared with {present}, which is in production",
            hint="name held-out data with --data, or insist with --force",
        )
    if not comparison.not_worse:
        raise RegistryError(
            f"{model_id} is not shown to be as good as {present}: {comparison}",
            hint="train on better data, or insist with --force",
        )
