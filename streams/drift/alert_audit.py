"""What the audit log says of alerts and silences."""

from schemas.drift_alert import DriftAlert
from schemas.operators import AuditEntry, OperatorRequest

__all__ = ["audited", "silence_audited"]


def audited(alert: DriftAlert, *, who: str) -> AuditEntry:
    """Return what the audit log says of a change of an alert; who acknowledged it comes before `who`."""
    return AuditEntry(
        subject=f"alert/{alert.alert_id}",
        action=alert.state.value,
        who=alert.by or who,
        why=alert.summary,
        at_ms=alert.changed_ms,
        evidence={
            "severity": alert.severity.value,
            "policy": f"{alert.policy_id}/{alert.policy_revision}",
            "samples": str(alert.evidence.samples),
            "reference": alert.evidence.reference,
            **({"silenced": "yes"} if alert.silenced else {}),
            **({"escalated": "yes"} if alert.escalated else {}),
        },
    )


def silence_audited(request: OperatorRequest) -> AuditEntry:
    """Return what the audit log says of a silence that begins, or ends before its time."""
    return AuditEntry(
        subject=request.subject,
        action=f"{request.action}d",
        who=request.who,
        why=request.why,
        at_ms=request.at_ms,
        evidence=dict(request.arguments),
    )
