"""Policies that were refused, told once: not by each worker, and not at each start."""

from typing import Any

from schemas import feeds
from schemas.cluster import Cluster
from streams.drift.policy.feed import TOPIC, Refused

__all__ = ["told_of"]


def told_of(cluster: Cluster, refused: list[Refused], *, who: str, now_ms: int) -> list[tuple[str, Any]]:
    """Return what is to be told of policies that were refused, as pairs of a topic and a record.

    Nothing of those of which there is a dead letter already, whoever wrote it.
    """
    told: list[tuple[str, Any]] = []
    for one in _untold(cluster, refused):
        told.append(("dead-letters", one.dead_letter(who=who, now_ms=now_ms)))
        told.append(("audit.log", one.audit_entry(who=who, now_ms=now_ms)))
    return told


def _untold(cluster: Cluster, refused: list[Refused]) -> list[Refused]:
    if not refused:
        return []
    told = set()
    with feeds.follow(cluster, "dead-letters", from_ms=0, keys={TOPIC}, until_current=True) as feed:
        for event in feed:
            if isinstance(event, feeds.Changed):
                told.add((event.value.source_partition, event.value.source_offset))
    return [one for one in refused if (one.partition, one.offset) not in told]
