"""Moving releases between their stages: one step, on the topic and in the audit log together."""

import time
import uuid

from schemas import feeds
from schemas.cluster import Cluster
from schemas.operators import AuditEntry
from schemas.release import ModelRelease
from schemas.wire import Contract
from trainer.publishing import Publisher
from trainer.registry import Comparison, archive, promote

__all__ = ["archive_release", "promote_release", "release_noted"]


def promote_release(
    cluster: Cluster,
    model_id: str,
    *,
    who: str,
    why: str,
    comparison: Comparison | None = None,
    insist: bool = False,
) -> tuple[ModelRelease, ...]:
    """Take a release one stage further; returns all that changed, the promoted one last."""
    changed = promote(feeds.snapshot(cluster, "models.releases"), model_id, comparison=comparison, insist=insist)
    reason = why or str(comparison or "")
    _publish(cluster, changed, [release_noted(one, f"moved_to_{one.stage.value}", who, reason) for one in changed])
    return changed


def archive_release(cluster: Cluster, model_id: str, *, who: str, why: str, insist: bool = False) -> ModelRelease:
    """Take a release out of use."""
    archived = archive(feeds.snapshot(cluster, "models.releases"), model_id, insist=insist)
    _publish(cluster, (archived,), [release_noted(archived, "archived", who, why)])
    return archived


def release_noted(release: ModelRelease, action: str, who: str, why: str) -> AuditEntry:
    """Return the audit log's entry about what somebody did with a release."""
    return AuditEntry(
        subject=f"model/{release.model}/{release.version}",
        action=action,
        who=who,
        why=why,
        at_ms=time.time_ns() // 1_000_000,
        evidence={"bundle": release.bundle_sha256, "stage": release.stage.value},
    )


def _publish(cluster: Cluster, releases: tuple[ModelRelease, ...], notes: list[AuditEntry]) -> None:
    # A name of its own: a person shuts nobody out.
    publisher = Publisher(cluster, Contract.connect(cluster), name=f"models-{uuid.uuid4().hex[:12]}").start()
    try:
        publisher.publish([*(("models.releases", one) for one in releases), *(("audit.log", note) for note in notes)])
    finally:
        publisher.close()
