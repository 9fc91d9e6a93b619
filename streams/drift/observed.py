"""What windows showed of what they are about: where alerts come from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from schemas.drift_alert import Evidence, Severity

__all__ = ["Breach", "Observation", "Shown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a closer look at a breach shows."""

    kind: str
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """One feature of one device drifts, as this window shows."""

    feature: str
    # Alerts of one family are one alert.
    family: str
    severity: Severity
    # Taken only where it changes an alert: most breaches are of what is known already.
    closer: Callable[[], Shown]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one window of one subject showed."""

    subject: str
    model_id: str
    at_ms: int
    breaches: tuple[Breach, ...] = ()
    # Features without enough data: neither breach nor quiet.
    unknown: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    is_cohort: bool = False
    members: tuple[str, ...] = ()
    # The horizon that was looked at by itself; 0 for windows, whose evidence adds up.
    horizon_ms: int = 0
    # The fastest horizon that is compared with the same.
    fastest_ms: int = 0
