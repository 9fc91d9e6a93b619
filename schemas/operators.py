"""What people ask for, and what was done."""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated

from schemas.fields import Count, Millis, Total, Uuid
from schemas.record import record

__all__ = ["AuditCheckpoint", "AuditEntry", "OperatorRequest"]


@record(namespace="operators")
class OperatorRequest:
    """Somebody entitled wants something done."""

    request_id: Annotated[Uuid, "Names the request; a repeat is done once."]
    subject: Annotated[str, "What it is about, as kind/id, such as rollout/r7; equals the record's key."]
    action: Annotated[str, "What to do, such as pause, promote, acknowledge, silence, approve, label."]
    who: Annotated[str, "Who asks."]
    why: Annotated[str, "Their reason."]
    at_ms: Annotated[Millis, "When they asked."]
    arguments: Annotated[Mapping[str, str], "What the action needs beside its subject."] = field(default_factory=dict)


@record(namespace="audit")
class AuditEntry:
    """One thing that was decided or done, by whom, and on which evidence."""

    subject: Annotated[str, "What it is about, as kind/id; equals the record's key."]
    action: Annotated[str, "What happened, in the past tense."]
    who: Annotated[str, "Who did it: a person, or a service's name."]
    why: Annotated[str, "The reason."]
    at_ms: Annotated[Millis, "When it happened."]
    evidence: Annotated[Mapping[str, str], "What it stands on."] = field(default_factory=dict)


@record(namespace="audit")
class AuditCheckpoint:
    """A signed running hash over the audit log, so that nothing can be removed or altered unseen."""

    partition: Annotated[Count, "Partition of the audit log; equals the record's key."]
    next_offset: Annotated[Total, "The first record that is not yet covered."]
    digest: Annotated[str, "SHA-256, in hex, over the previous digest and each record's partition, offset, bytes."]
    at_ms: Annotated[Millis, "When it was taken."]
    envelope: Annotated[str, "Signature over the other fields: a DSSE envelope, JSON."]
    marks: Annotated[
        Mapping[str, str],
        "The digest behind each record since the checkpoint before, its first 16 hex digits, by the record's offset.",
    ] = field(default_factory=dict)
