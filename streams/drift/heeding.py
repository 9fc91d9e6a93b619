"""Where on the logs a request was heeded: on which partition, and before which record, as the audit log has it.

A worker that is behind its log heeds a request before records that arrived long ago; whoever replays wants to know.
"""

from collections.abc import Iterator, Mapping

from schemas.operators import AuditEntry, OperatorRequest

__all__ = ["HEEDED", "heeded", "places_of"]

HEEDED = "heeded"


def heeded(request: OperatorRequest, topic: str, offsets: Mapping[int, int], *, who: str, now_ms: int) -> AuditEntry:
    """Return what the audit log says of a request that counts, by partition, from these offsets of a topic on."""
    return AuditEntry(
        subject=f"request/{request.request_id}",
        action=HEEDED,
        who=who,
        why=f"{request.action} {request.subject}",
        at_ms=now_ms,
        evidence={f"{topic}/{partition}": str(offset) for partition, offset in sorted(offsets.items())},
    )


def places_of(entry: AuditEntry) -> Iterator[tuple[tuple[str, int], int]]:
    """Yield topic and partition, with the offset from which on a request counted there."""
    for place, offset in entry.evidence.items():
        topic, _, partition = place.rpartition("/")
        if partition.isdecimal() and offset.isdecimal():
            yield (topic, int(partition)), int(offset)
