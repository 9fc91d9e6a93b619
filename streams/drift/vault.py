"""Where checkpoints are kept: a compacted topic, on the partition that the state is of."""

import hashlib
import logging
from dataclasses import dataclass

from schemas import feeds
from schemas.cluster import Cluster
from schemas.drift_checkpoint import DriftCheckpoint
from schemas.feeds import Changed
from schemas.wire import Contract

__all__ = ["TOPIC", "Kept", "in_parts", "latest"]

log = logging.getLogger(__name__)

TOPIC = "drift.checkpoints"
_PART_BYTES = 900_000


@dataclass(frozen=True, slots=True)
class Kept:
    """A checkpoint, whole again."""

    frozen: bytes
    slot: int
    next_offset: int
    first_offset: int
    at_ms: int = 0


def in_parts(partition: int, kept: Kept, *, at_ms: int) -> list[DriftCheckpoint]:
    """Return the records of a checkpoint."""
    pieces = [kept.frozen[start : start + _PART_BYTES] for start in range(0, len(kept.frozen), _PART_BYTES)]
    return [
        DriftCheckpoint(
            partition=partition,
            slot=kept.slot,
            part=part,
            parts=len(pieces),
            checkpoint_id=hashlib.sha256(kept.frozen).hexdigest(),
            next_offset=kept.next_offset,
            first_offset=kept.first_offset,
            at_ms=at_ms,
            payload=piece,
        )
        for part, piece in enumerate(pieces)
    ]


def latest(cluster: Cluster, partition: int, *, topic: str = TOPIC, contract: Contract | None = None) -> Kept | None:
    """Return the latest whole checkpoint of a partition, or None."""
    parts: dict[tuple[int, int], DriftCheckpoint] = {}
    with feeds.read(cluster, topic, partitions=[partition], until_current=True, contract=contract) as feed:
        for event in feed:
            if isinstance(event, Changed):
                parts[event.value.slot, event.value.part] = event.value
    whole = [kept for slot in (0, 1) if (kept := _whole(slot, parts)) is not None]
    return max(whole, key=lambda kept: (kept.next_offset, kept.at_ms), default=None)


def _whole(slot: int, parts: dict[tuple[int, int], DriftCheckpoint]) -> Kept | None:
    first = parts.get((slot, 0))
    if first is None:
        return None
    mine = [parts.get((slot, part)) for part in range(first.parts)]
    frozen = b"".join(one.payload for one in mine if one is not None and one.checkpoint_id == first.checkpoint_id)
    if hashlib.sha256(frozen).hexdigest() != first.checkpoint_id:
        log.warning("checkpoint cut off: partition=%d slot=%d", first.partition, slot)
        return None
    return Kept(
        frozen=frozen, slot=slot, next_offset=first.next_offset, first_offset=first.first_offset, at_ms=first.at_ms
    )
