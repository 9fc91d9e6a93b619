"""A message as people read it: what, where, since when, and where to look."""

import html
from datetime import UTC, datetime
from urllib.parse import quote

from console.notify.plan import Due
from schemas.drift_alert import DriftAlert

__all__ = ["as_html", "as_text", "title_of"]

_SHOWN = 20
_OPENINGS = {"news": "", "repeat": "Still: ", "escalation": "Nobody has acknowledged: ", "end": "Over: "}


def title_of(due: Due) -> str:
    first = due.alerts[0]
    more = f" and {len(due.alerts) - 1} more" if len(due.alerts) > 1 else ""
    return f"[driftline] {_OPENINGS[due.why]}{first.severity.value} {first.kind} of {first.subject}{more}"


def as_text(due: Due, url: str) -> str:
    lines = [f"- {_line(alert)}{_link(alert, url)}" for alert in due.alerts[:_SHOWN]]
    if len(due.alerts) > _SHOWN:
        lines.append(f"… and {len(due.alerts) - _SHOWN} more")
    return "\n".join(lines)


def as_html(due: Due, url: str) -> str:
    """Return the same as HTML; names of devices are strangers' texts."""
    return "<br>\n".join(html.escape(line) for line in as_text(due, url).splitlines())


def _line(alert: DriftAlert) -> str:
    opened = datetime.fromtimestamp(alert.opened_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"{alert.summary or alert.alert_id} ({alert.state.value} since {opened}; model {alert.model_id or 'none'})"


def _link(alert: DriftAlert, url: str) -> str:
    return f" {url}/#/device/{quote(alert.subject, safe='')}" if url and not alert.subject_is_cohort else ""
