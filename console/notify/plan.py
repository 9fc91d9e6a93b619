"""What is due to be told, to whom and when: routing, grouping, repeating, escalating; no clock, no network.

It keeps these rules:

* an alert is told when it fires, and again only when its group changes, repeats or ends;
* what is silenced, or was acknowledged, is not told again; the end of what was told is;
* nobody acknowledged in time: those to escalate to are told, once a firing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from console.notify.config import NotifyConfig, Route, told_of
from schemas.drift_alert import AlertState, DriftAlert

__all__ = ["Due", "Group", "Planner"]

_NEWS, _REPEAT, _ESCALATION, _END = "news", "repeat", "escalation", "end"


@dataclass(frozen=True, slots=True)
class Due:
    """One message that should go out now."""

    route: str
    group: tuple[str, ...]
    # news, repeat, escalation or end.
    why: str
    to: tuple[str, ...] = field(repr=False)
    alerts: tuple[DriftAlert, ...] = ()


@dataclass(slots=True)
class Group:
    """Alerts of one route that agree in what it groups by."""

    route: Route
    name: tuple[str, ...]
    alerts: dict[str, DriftAlert] = field(default_factory=dict)
    # When something came that has not been told; None: nothing.
    unsaid_ms: int | None = None
    told: dict[str, AlertState] = field(default_factory=dict)
    told_ms: int = 0
    firing_since: dict[str, int] = field(default_factory=dict)
    escalated: set[str] = field(default_factory=set)

    def open(self) -> tuple[DriftAlert, ...]:
        return tuple(one for one in self.alerts.values() if one.state is AlertState.FIRING and not one.silenced)


class Planner:
    """Takes alerts in as they change, and says what is due."""

    def __init__(self, config: NotifyConfig) -> None:
        self._config = config
        self._groups: dict[tuple[str, tuple[str, ...]], Group] = {}

    def take(self, alert: DriftAlert, now_ms: int, *, known: bool = False) -> None:
        """Take in an alert as it now stands; `known`: it was told of before this process began."""
        for route in self._routes_of(alert):
            name = tuple(told_of(alert).get(label, "") for label in route.group_by)
            group = self._groups.setdefault((route.name, name), Group(route, name))
            self._put(group, alert, now_ms, known)

    def due(self, now_ms: int) -> list[Due]:
        """Return what should go out now; it is taken as told."""
        found = []
        for key, group in list(self._groups.items()):
            found += list(_due_of(group, now_ms))
            if not group.alerts:
                del self._groups[key]
        return found

    def _routes_of(self, alert: DriftAlert) -> Iterator[Route]:
        for route in self._config.routes:
            # Where an alert was told, its end is told as well, even if it is less grave by now.
            if route.takes(alert) or any(
                alert.alert_id in group.told for group in self._groups.values() if group.route is route
            ):
                yield route
                if not route.go_on:
                    return

    def _put(self, group: Group, alert: DriftAlert, now_ms: int, known: bool) -> None:
        before = group.told.get(alert.alert_id)
        if alert.state is AlertState.RESOLVED and before is None:
            # It ended before anybody heard of it.
            group.alerts.pop(alert.alert_id, None)
            return
        group.alerts[alert.alert_id] = alert
        if alert.state is AlertState.FIRING and not alert.silenced:
            group.firing_since.setdefault(alert.alert_id, now_ms)
        else:
            group.firing_since.pop(alert.alert_id, None)
            group.escalated.discard(alert.alert_id)
        if known:
            group.told[alert.alert_id], group.told_ms = alert.state, now_ms
        elif _is_news(alert, before) and group.unsaid_ms is None:
            group.unsaid_ms = now_ms


def _is_news(alert: DriftAlert, before: AlertState | None) -> bool:
    if alert.state is AlertState.RESOLVED:
        return before is not None
    return alert.state is AlertState.FIRING and not alert.silenced and before is not AlertState.FIRING


def _due_of(group: Group, now_ms: int) -> Iterator[Due]:
    route = group.route
    late = tuple(
        alert
        for alert in group.open()
        if route.escalate_to
        and alert.alert_id not in group.escalated
        and now_ms - group.firing_since.get(alert.alert_id, now_ms) >= route.escalate_after_s * 1000
    )
    if late:
        group.escalated |= {alert.alert_id for alert in late}
        yield Due(route.name, group.name, _ESCALATION, route.escalate_to, late)
    if group.unsaid_ms is not None and now_ms - group.unsaid_ms >= route.wait_s * 1000:
        news = tuple(one for one in group.alerts.values() if _is_news(one, group.told.get(one.alert_id)))
        ends = all(one.state is AlertState.RESOLVED for one in news)
        _say(group, now_ms)
        if news:
            yield Due(route.name, group.name, _END if ends else _NEWS, route.to, news)
    elif group.unsaid_ms is None and group.told and now_ms - group.told_ms >= route.repeat_s * 1000 and group.open():
        repeated = group.open()
        _say(group, now_ms)
        yield Due(route.name, group.name, _REPEAT, route.to, repeated)


def _say(group: Group, now_ms: int) -> None:
    """Note all as told; what has ended is forgotten."""
    group.unsaid_ms, group.told_ms = None, now_ms
    for alert_id, alert in list(group.alerts.items()):
        if alert.state is AlertState.RESOLVED:
            del group.alerts[alert_id]
            group.told.pop(alert_id, None)
        elif alert.state is AlertState.FIRING and alert.silenced:
            # Told when the silence ends, if it still fires by then.
            group.told.pop(alert_id, None)
        else:
            group.told[alert_id] = alert.state
