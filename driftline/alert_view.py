"""How an alert looks on a terminal: what was found, what it stands on, and what became of it."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from driftline.times import utc
from schemas import feeds
from schemas.cluster import Cluster
from schemas.drift_alert import DriftAlert, Severity
from schemas.operators import AuditEntry

__all__ = ["history_of", "shown_alert"]

_COLOURS = {Severity.CRITICAL: "bold red", Severity.HIGH: "red", Severity.MEDIUM: "yellow", Severity.LOW: "cyan"}
_BAR = 24


def history_of(cluster: Cluster, alert: DriftAlert) -> list[AuditEntry]:
    """Return what the audit log says of an alert, in order."""
    subject = f"alert/{alert.alert_id}"
    with feeds.follow(cluster, "audit.log", from_ms=0, until_current=True, keys={subject}) as log:
        entries = [(event.at_ms, event.value) for event in log if isinstance(event, feeds.Changed)]
    return [entry for _, entry in sorted(entries, key=lambda pair: pair[0])]


def shown_alert(alert: DriftAlert, history: Sequence[AuditEntry]) -> RenderableType:
    """Return an alert as text."""
    evidence = alert.evidence
    facts = Table.grid(padding=(0, 2))
    rows = {
        "alert": alert.alert_id,
        "state": alert.state.value
        + (", silenced" if alert.silenced else "")
        + (f", by {alert.by}" if alert.by else ""),
        "since": utc(alert.opened_ms),
        "model": alert.model_id,
        "labels": " ".join(f"{name}={value}" for name, value in sorted(alert.labels.items())),
        "devices": ", ".join(alert.members),
        "compared with": evidence.reference,
        "samples": str(evidence.samples) if evidence.samples else "",
        "looking back": f"{evidence.horizon_ms / 60_000:g} min" if evidence.horizon_ms else "",
        "scores": ", ".join(f"{name} {value:.4g}" for name, value in evidence.scores.items()),
        "features": ", ".join(evidence.ranked),
        "policy": f"{alert.policy_id} revision {alert.policy_revision}" if alert.policy_id else "",
    }
    for name, value in rows.items():
        if value:
            facts.add_row(name, value)
    parts: list[RenderableType] = [Text(alert.summary, style=_COLOURS.get(alert.severity, "default")), facts]
    if evidence.top_bins:
        bins = Table("BIN", "REFERENCE", "LIVE", box=None, pad_edge=False)
        for one in evidence.top_bins:
            bins.add_row(one.bin, _bar(one.reference), _bar(one.live))
        parts += [Text(""), bins]
    if history:
        told = Table("WHEN", "WHAT", "WHO", "WHY", box=None, pad_edge=False)
        for entry in history:
            told.add_row(utc(entry.at_ms), entry.action, entry.who, entry.why)
        parts += [Text(""), told]
    return Group(*parts)


def _state(alert: DriftAlert) -> str:
    by = f", by {alert.by}" if alert.by else ""
    return (
        alert.state.value + by + (", silenced" if alert.silenced else "") + (", escalated" if alert.escalated else "")
    )


def _bar(share: float) -> str:
    return f"{share:6.1%} {'█' * round(_BAR * share)}"
