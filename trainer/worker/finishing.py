"""What a finished training publishes, all at once: grid, baseline, release, what it replaces, and the note of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from schemas.release import ModelRelease, ReleaseStage
from trainer.errors import RegistryError
from trainer.registry.stages import in_production
from trainer.registry.store import bundle_name
from trainer.release import release_of
from trainer.worker.config import TrainerConfig
from trainer.worker.facts import SERVICE, entry_of
from trainer.worker.job import JobOrder, Outcome
from trust import Bundle, Keyring, open_bundle

__all__ = ["Finished", "finish"]


@dataclass(frozen=True, slots=True)
class Finished:
    """The release, and the (topic, record) pairs of its transaction in the order of writing."""

    release: ModelRelease
    records: list[tuple[str, Any]]


def finish(
    order: JobOrder,
    content: bytes,
    outcome: Outcome,
    releases: Mapping[str, ModelRelease],
    config: TrainerConfig,
    *,
    keyring: Keyring,
    attempt: int,
    now_ms: int,
) -> Finished:
    """Return what is to be published of a training that came to a bundle."""
    bundle = open_bundle(content, keyring)
    if bundle.manifest.model_id in releases:
        raise RegistryError(f"somebody released {bundle.manifest.model_id} meanwhile")
    name = bundle_name(bundle.sha256)
    release = release_of(
        bundle,
        outcome.metrics or {},
        bundle_url=f"{config.public_url.rstrip('/')}/{name}",
        created_ms=now_ms,
        created_by=SERVICE,
        request_id=order.request.request_id,
    )
    champion = in_production(releases, release.model)
    release = replace(release, stage=_stage(outcome, config, has_champion=champion is not None))
    why = _in_words(bundle, outcome, release)
    note = entry_of(
        order.request,
        "finished",
        why=why,
        at_ms=now_ms,
        attempt=attempt,
        model_id=bundle.manifest.model_id,
        bundle=bundle.sha256,
        trained_on=release.trained_on,
        stage=release.stage.value,
        compared=outcome.compared,
        **({"tracked": outcome.tracked} if outcome.tracked else {}),
    )
    return Finished(
        release,
        [
            ("models.grids", bundle.grid),
            ("models.baselines", bundle.baseline),
            *(("models.releases", old) for old in _replaced(release, releases)),
            ("models.releases", release),
            ("audit.log", note),
        ],
    )


def _stage(outcome: Outcome, config: TrainerConfig, *, has_champion: bool) -> ReleaseStage:
    """Return how far the release goes by itself: only as a candidate, when it is worse or nobody could tell."""
    if not has_champion or outcome.not_worse or (outcome.not_worse is None and config.promote_uncompared):
        return config.goes_to
    return ReleaseStage.CANDIDATE


def _replaced(release: ModelRelease, releases: Mapping[str, ModelRelease]) -> list[ModelRelease]:
    champion = in_production(releases, release.model)
    if release.stage is not ReleaseStage.PRODUCTION or champion is None:
        return []
    return [replace(champion, stage=ReleaseStage.ARCHIVED)]


def _in_words(bundle: Bundle, outcome: Outcome, release: ModelRelease) -> str:
    words = [f"{bundle.manifest.model_id} from {outcome.rows} vectors, {outcome.labels} of them labelled"]
    if outcome.left_out:
        words.append(f"left out for dead or stuck sensors: {', '.join(outcome.left_out)}")
    words.append(f"{release.stage.value}: {outcome.compared or 'not compared'}")
    return "; ".join(words)
