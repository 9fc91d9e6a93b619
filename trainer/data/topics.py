"""Training data replayed from Kafka: the samples and labels of a stretch of time."""

from collections.abc import Collection
from typing import Any

from schemas import feeds
from schemas.cluster import Cluster
from trainer.data.assembly import Assembled, assemble

__all__ = ["from_topics"]

# Records wait in gateways' spools; what was seen in a stretch may arrive this much later, and a skewed clock earlier.
_SLACK_MS = 3_600_000


def from_topics(
    cluster: Cluster, pipeline: str, *, from_ms: int, to_ms: int, as_of_ms: int, excluded: Collection[str] = ()
) -> Assembled:
    """Read what the topics hold by now of the stretch, and join it as of `as_of_ms`."""
    since = max(from_ms - _SLACK_MS, 0)
    return assemble(
        pipeline,
        _all(cluster, "telemetry.samples", since),
        _all(cluster, "telemetry.labels", since),
        from_ms=from_ms,
        to_ms=to_ms,
        as_of_ms=as_of_ms,
        excluded=excluded,
    )


def _all(cluster: Cluster, topic: str, from_ms: int) -> list[Any]:
    with feeds.follow(cluster, topic, from_ms=from_ms, until_current=True) as feed:
        return [event.value for event in feed if isinstance(event, feeds.Changed)]
