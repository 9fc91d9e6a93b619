"""What a drift policy says: how sure, how large and how often before anybody is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from schemas.drift_alert import Severity

__all__ = [
    "Against",
    "Budget",
    "Floors",
    "Life",
    "Limit",
    "Minimum",
    "Mode",
    "Objectives",
    "Override",
    "Reporting",
    "Rules",
]

GRAVITY = (Severity.UNKNOWN, Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)


# Share of the budget of horizons after the first, which find what that one cannot see: all together.
_OF_OTHERS = 0.1


class Against:
    """What windows are compared with."""

    BASELINE = "baseline"
    # The baseline at the same hour of the week, for features of which it knows that hour; horizons up to an hour.
    SEASON = "season"
    # The device's own window before; horizons beyond an hour.
    EARLIER = "earlier"


class Mode:
    """How verdicts are reached."""

    CALIBRATED = "calibrated"
    THRESHOLDS = "thresholds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What quiet is worth: alerts that a healthy device may raise, all features and tests together."""

    false_alarms_per_device_day: float = 0.001
    # One window's evidence counts for at most this share of what an alert takes: no window alerts alone.
    window_share: float = 0.8

    @property
    def of_looks(self) -> float:
        """What the first horizon may raise, a device and day."""
        return self.false_alarms_per_device_day * (1 - _OF_OTHERS)

    def of_others(self, many: int) -> float:
        """What each of the other horizons may raise, of which there are so many."""
        return self.false_alarms_per_device_day * _OF_OTHERS / max(many, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Minimum:
    """Below this, the answer is "not enough data"."""

    samples: int = 100
    per_bin: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Floors:
    """Smaller effects are true, perhaps, but nobody's concern."""

    mean_shift: float = 0.15
    variance_ratio: float = 1.2
    psi: float = 0.04
    missing_rate: float = 0.02
    out_of_range: float = 0.01
    unseen_category: float = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A fixed limit on one score: the value from which each severity holds."""

    low: float | None = None
    medium: float | None = None
    high: float | None = None
    critical: float | None = None
    # Small values are the grave ones, as with p-values.
    below: bool = False
    # Both directions count: "sign" for scores around 0, "ratio" for scores around 1.
    either_way: Literal["", "sign", "ratio"] = ""


DEFAULT_LIMITS: Mapping[str, Limit] = {
    "psi": Limit(low=0.05, medium=0.1, high=0.2, critical=0.3),
    "kl_live_reference": Limit(high=0.1),
    "js": Limit(high=0.1),
    "ks_p": Limit(high=0.01, below=True),
    "wasserstein": Limit(high=0.3),
    "mean_z": Limit(high=3.0, either_way="sign"),
    "variance_ratio": Limit(high=2.0, either_way="ratio"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """What goes on the wire: features at or above any floor, and all of them every so many windows."""

    psi: float = 0.1
    ks: float = 0.15
    complete_every: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """How an alert lives."""

    # Breaches, among the last `of_windows` verdicts, that turn pending into firing.
    breaches: int = 1
    of_windows: int = 3
    # Quiet windows in a row that resolve an alert.
    resolve_after_windows: int = 10
    # An alert that comes back within this time is the same alert, fired again.
    flap_ms: int = 30 * 60_000
    escalate_after_ms: int = 24 * 3_600_000
    # Devices of one cohort with the same alert that become one alert of the cohort.
    group_from: int = 3
    # Horizons that alert; none stands for the first and the slow ones.
    horizons_ms: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Objectives:
    """What a model has promised; None is no promise. Nothing is judged by it: what is used of it is counted."""

    false_alarms_per_device_day: float | None = None
    # Least mean confidence of a window,
    confidence: float | None = None
    # which this share of the windows may miss.
    unsure_windows: float = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Other rules for some models or cohorts; patterns have `*`."""

    rules: "Rules"
    model: str = "*"
    cohort: str = "*"

    def covers(self, model_id: str, labels: Mapping[str, str]) -> bool:
        in_cohort = self.cohort == "*" or any(fnmatchcase(f"{name}={labels[name]}", self.cohort) for name in labels)
        return fnmatchcase(model_id, self.model) and in_cohort


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One policy, read and checked."""

    mode: str = Mode.CALIBRATED
    reference: str = Against.BASELINE
    # The first horizon is scored with every window, the others once a pane.
    horizons_ms: tuple[int, ...] = (15 * 60_000, 60 * 60_000, 24 * 3_600_000, 7 * 24 * 3_600_000)
    budget: Budget = field(default_factory=Budget)
    minimum: Minimum = field(default_factory=Minimum)
    floors: Floors = field(default_factory=Floors)
    limits: Mapping[str, Limit] = field(default_factory=lambda: dict(DEFAULT_LIMITS))
    alert_from: Severity = Severity.HIGH
    reporting: Reporting = field(default_factory=Reporting)
    life: Life = field(default_factory=Life)
    objectives: Objectives = field(default_factory=Objectives)
    # Labels of `fleet.devices` by which panes are added up and alerts are grouped; `model` is one of every device.
    cohorts: tuple[str, ...] = ("region", "hw", "model")
    overrides: tuple[Override, ...] = ()

    def alerts_on(self, horizon_ms: int) -> bool:
        """Say whether what a horizon shows may become an alert."""
        first, *others = self.horizons_ms
        return horizon_ms in (self.life.horizons_ms or (first, *others[1:]))

    def for_device(self, model_id: str, labels: Mapping[str, str]) -> "Rules":
        """Return the rules that hold for one device: the last override that covers it, or these."""
        return next((one.rules for one in reversed(self.overrides) if one.covers(model_id, labels)), self)
