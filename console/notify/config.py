"""Routes: which alerts go where. They are read from a TOML file:

url = "http://console.plant7:8000"     # what messages link to

[[route]]
name = "night shift"
severity = "high"                      # this and graver
match = { site = "north-*" }           # labels, or subject, feature, kind, model_id
to = ["mailtos://bot:secret@mail.plant7?to=night@plant7", "slack://…"]   # whatever Apprise knows
group_by = ["site", "kind"]            # alerts that agree in these become one message
wait_s = 30                            # how long a group gathers before it is told of
repeat_s = 14400                       # told again while anything fires
escalate_after_s = 900                 # nobody acknowledged: also tell …
escalate_to = ["pagerduty://…"]
go_on = false                          # later routes are asked as well
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from schemas.drift_alert import DriftAlert, Severity
from schemas.errors import DriftlineError

__all__ = ["NotifyConfig", "Route", "RoutesError", "read_routes", "told_of"]

_GRAVITY = (Severity.UNKNOWN, Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)


class RoutesError(DriftlineError):
    """A routes file that cannot be used."""

    def __init__(self, key: str, found: object, wanted: str) -> None:
        super().__init__(f"routes: {key}: found {found!r}, wanted {wanted}")
        self.key = key


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One way for alerts to go."""

    name: str
    # Addresses are secrets as often as not.
    to: tuple[str, ...] = field(repr=False)
    severity: Severity = Severity.LOW
    match: Mapping[str, str] = field(default_factory=dict)
    group_by: tuple[str, ...] = ("subject",)
    wait_s: float = 10.0
    repeat_s: float = 4 * 3600.0
    escalate_after_s: float = 0.0
    escalate_to: tuple[str, ...] = field(default=(), repr=False)
    go_on: bool = False

    def takes(self, alert: DriftAlert) -> bool:
        told = told_of(alert)
        return _GRAVITY.index(alert.severity) >= _GRAVITY.index(self.severity) and all(
            fnmatchcase(told.get(name, ""), pattern) for name, pattern in self.match.items()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyConfig:
    routes: tuple[Route, ...]
    url: str = ""


def told_of(alert: DriftAlert) -> dict[str, str]:
    """Return what routes match and group by."""
    return {
        **alert.labels,
        "subject": alert.subject,
        "feature": alert.feature,
        "kind": alert.kind,
        "model_id": alert.model_id,
        "severity": alert.severity.value,
    }


def read_routes(text: str) -> NotifyConfig:
    """Read a routes file; every complaint names the key, what was found and what was wanted."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise RoutesError("file", str(error), "TOML") from None
    if unknown := table.keys() - {"url", "route"}:
        raise RoutesError(min(unknown), table[min(unknown)], "url or [[route]]")
    found = table.get("route", [])
    if not isinstance(found, list) or not found:
        raise RoutesError("route", found, "at least one [[route]]")
    routes = tuple(_route(one, f"route {number}") for number, one in enumerate(found, 1))
    if len({route.name for route in routes}) < len(routes):
        raise RoutesError("route.name", [route.name for route in routes], "a name of its own for each")
    return NotifyConfig(routes=routes, url=_text(table.get("url", ""), "url").rstrip("/"))


def _route(table: Mapping[str, Any], key: str) -> Route:
    known = set(Route.__dataclass_fields__)
    if unknown := table.keys() - known:
        raise RoutesError(f"{key}.{min(unknown)}", table[min(unknown)], f"one of {', '.join(sorted(known))}")
    values: dict[str, Any] = {}
    for name, value in table.items():
        values[name] = _READ[name](value, f"{key}.{name}")
    if not values.get("name") or not values.get("to"):
        raise RoutesError(key, sorted(table), "name and to")
    return Route(**values)


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise RoutesError(key, value, "a text")
    return value


def _texts(value: Any, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise RoutesError(key, value, "a list of texts")
    return tuple(value)


def _seconds(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise RoutesError(key, value, "seconds, 0 or more")
    return float(value)


def _patterns(value: Any, key: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise RoutesError(key, value, "names to patterns")
    return value


def _severity(value: Any, key: str) -> Severity:
    names = [one.value for one in _GRAVITY[1:]]
    if value not in names:
        raise RoutesError(key, value, f"one of {', '.join(names)}")
    return Severity(value)


def _truth(value: Any, key: str) -> bool:
    if not isinstance(value, bool):
        raise RoutesError(key, value, "true or false")
    return value


_READ: Mapping[str, Any] = {
    "name": _text,
    "to": _texts,
    "severity": _severity,
    "match": _patterns,
    "group_by": _texts,
    "wait_s": _seconds,
    "repeat_s": _seconds,
    "escalate_after_s": _seconds,
    "escalate_to": _texts,
    "go_on": _truth,
}
