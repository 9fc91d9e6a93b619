"""What topics say, as facts of the ledger; and what the worker writes down for its successors to read."""

from typing import Any

from schemas.operators import AuditEntry, OperatorRequest
from schemas.training import TrainingRequest
from trainer.worker.ledger import AttemptFailed, AttemptStarted, Decided, Fact, RequestFiled, Settled

__all__ = ["SERVICE", "concerns_training", "entry_of", "fact_in", "subject_of"]

SERVICE = "trainer"
_SETTLED = frozenset({"finished", "failed", "cancelled", "superseded"})


def subject_of(request_id: str) -> str:
    return f"training/{request_id}"


def concerns_training(record: Any) -> bool:
    return bool(record.subject.startswith("training/"))


def fact_in(record: TrainingRequest | OperatorRequest | AuditEntry) -> Fact | None:
    """Return the fact that a record states; None for what only people read, or somebody else wrote."""
    match record:
        case TrainingRequest():
            return RequestFiled(record)
        case OperatorRequest(action="approve" | "cancel"):
            return Decided(_id(record.subject), approved=record.action == "approve", by=record.who)
        case AuditEntry(who="trainer"):
            return _noted(record)
    return None


def entry_of(
    request: TrainingRequest, action: str, *, why: str, at_ms: int, attempt: int = 0, **evidence: str
) -> AuditEntry:
    """Write down what happened to a request."""
    return AuditEntry(
        subject=subject_of(request.request_id),
        action=action,
        who=SERVICE,
        why=why,
        at_ms=at_ms,
        evidence={"model": request.model, "attempt": str(attempt), **evidence},
    )


def _noted(entry: AuditEntry) -> Fact | None:
    request_id, attempt = _id(entry.subject), entry.evidence.get("attempt", "0")
    if not attempt.isdigit():
        return None
    match entry.action:
        case "started":
            return AttemptStarted(request_id, int(attempt))
        case "attempt_failed":
            return AttemptFailed(request_id, int(attempt), entry.at_ms)
        case how if how in _SETTLED:
            return Settled(request_id, how, entry.evidence.get("model", ""), entry.at_ms)
    return None


def _id(subject: str) -> str:
    return subject.removeprefix("training/")
