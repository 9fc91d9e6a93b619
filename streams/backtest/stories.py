"""Stories: what became of alerts, from their records or as a replay tells them."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas.drift_alert import AlertState, DriftAlert, Severity

__all__ = ["Firing", "Stories", "Story"]

_GRAVER = (Severity.UNKNOWN, Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)


@dataclass(slots=True)
class Firing:
    """One time that an alert fired; event times. `to_ms` is None while it goes on."""

    from_ms: int
    to_ms: int | None = None


@dataclass(slots=True)
class Story:
    """One alert, from its opening on; one that only ever was pending has no firings."""

    alert_id: str
    subject: str
    feature: str
    kind: str
    model_id: str
    opened_ms: int
    severity: str
    firings: list[Firing] = field(default_factory=list)

    @property
    def fired_ms(self) -> int | None:
        """Return when it first fired."""
        return self.firings[0].from_ms if self.firings else None

    @property
    def resolved_ms(self) -> int | None:
        """Return when it last resolved; None while it fires."""
        return self.firings[-1].to_ms if self.firings else None


class Stories:
    """Stories by alert id, told change by change."""

    def __init__(self) -> None:
        self.by_id: dict[str, Story] = {}

    def take(self, changes: Iterable[DriftAlert]) -> None:
        for alert in changes:
            self._take(alert)

    def fired(self) -> list[Story]:
        """Return those that fired at least once, in the order of their first firing."""
        fired = [story for story in self.by_id.values() if story.firings]
        return sorted(fired, key=lambda story: (story.firings[0].from_ms, story.alert_id))

    def _take(self, alert: DriftAlert) -> None:
        story = self.by_id.get(alert.alert_id)
        if story is None:
            story = self.by_id[alert.alert_id] = Story(
                alert.alert_id, alert.subject, alert.feature, alert.kind, alert.model_id, alert.opened_ms,
                alert.severity.value,
            )  # fmt: skip
        if alert.severity.value != story.severity:
            story.severity = max(story.severity, alert.severity.value, key=lambda one: _GRAVER.index(Severity(one)))
        going_on = story.firings and story.firings[-1].to_ms is None
        if alert.state in (AlertState.FIRING, AlertState.ACKNOWLEDGED) and not going_on:
            story.firings.append(Firing(alert.changed_ms))
        elif alert.state is AlertState.RESOLVED and going_on:
            story.firings[-1].to_ms = alert.changed_ms
