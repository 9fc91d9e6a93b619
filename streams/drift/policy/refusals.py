"""Policies that were refused, told once: not by each worker, and not at each start."""

from schemas import feeds
from schemas.cluster import Cluster
from streams.drift.policy.feed import TOPIC, Refused

__all__ = ["untold"]


def untold(cluster: Cluster, refused: list[Refused]) -> list[Refused]:
    """Return those of which there is no dead letter yet, whoever wrote it."""
    if not refused:
        return []
    told = set()
    with feeds.follow(cluster, "dead-letters", from_ms=0, keys={TOPIC}, until_current=True) as feed:
        for event in feed:
            if isinstance(event, feeds.Changed):
                told.add((event.value.source_partition, event.value.source_offset))
    return [one for one in refused if (one.partition, one.offset) not in told]
