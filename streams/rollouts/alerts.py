"""Alerts of the controller's own: failed rollouts and silent devices, with the life that drift alerts have."""

from dataclasses import replace

from schemas.drift_alert import AlertState, DriftAlert, Evidence, Severity

__all__ = ["OWN", "closed", "device_alert", "opened", "rollout_alert"]

# How the ids of the controller's alerts begin; nobody else writes those.
OWN = ("rollout/", "device/")

_SEVERITY = {
    "rollout_failed": Severity.HIGH,
    "rollout_late": Severity.HIGH,
    "rollout_paused": Severity.MEDIUM,
    "rollout_quarantine": Severity.MEDIUM,
    "device_offline": Severity.MEDIUM,
}


def rollout_alert(rollout_id: str, kind: str) -> str:
    return f"rollout/{rollout_id}/{kind}"


def device_alert(device_id: str, kind: str) -> str:
    return f"device/{device_id}/{kind}"


def opened(
    alert_id: str, kind: str, subject: str, summary: str, now_ms: int, *, model_id: str, known: DriftAlert | None
) -> DriftAlert:
    """Return the alert as it fires; one that fires already keeps its beginning and whoever acknowledged it."""
    if known is not None and known.state in (AlertState.FIRING, AlertState.ACKNOWLEDGED):
        return known if known.summary == summary else replace(known, summary=summary, changed_ms=now_ms)
    return DriftAlert(
        alert_id=alert_id,
        kind=kind,
        subject=subject,
        subject_is_cohort=alert_id.startswith("rollout/"),
        feature="",
        model_id=model_id,
        state=AlertState.FIRING,
        severity=_SEVERITY[kind],
        opened_ms=now_ms,
        changed_ms=now_ms,
        summary=summary,
        evidence=Evidence(scores={}, samples=0, reference="", horizon_ms=0),
        policy_id="",
        policy_revision=0,
    )


def closed(alert: DriftAlert, now_ms: int, *, by: str = "") -> DriftAlert:
    return replace(alert, state=AlertState.RESOLVED, changed_ms=now_ms, by=by)
