"""News of alerts: the record on their topic, and the line in the audit log."""

import logging
from collections.abc import Iterable, Mapping, Sequence

from schemas.drift_alert import DriftAlert
from schemas.tracing import Context, span
from streams.drift.alert_audit import audited
from streams.kafka import Outbox, Outgoing

__all__ = ["ALERTS", "news_of"]

log = logging.getLogger(__name__)

ALERTS = "drift.alerts"
_NONE: Mapping[str, Sequence[Context]] = {}


def news_of(
    alerts: Iterable[DriftAlert],
    outbox: Outbox,
    *,
    partition: int,
    who: str,
    windows: Mapping[str, Sequence[Context]] = _NONE,
) -> list[Outgoing]:
    """Return what is to be told of alerts that changed; `windows` are the traces on which they stand, by subject."""
    told = []
    for alert in alerts:
        log.info("alert changed: %s state=%s", alert.summary, alert.state.value)
        about = {"alert": alert.alert_id, "state": alert.state.value}
        with span("tell of an alert", about, links=windows.get(alert.subject, ())) as trace:
            told.append(outbox.packed(ALERTS, alert, partition=partition, headers=trace))
            told.append(outbox.packed("audit.log", audited(alert, who=who)))
    return told
