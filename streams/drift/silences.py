"""Silences: alerts that nobody is told of for a while."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from schemas.drift_alert import DriftAlert

__all__ = ["MATCHED", "Silence"]

# What a silence can name beside the labels of a device.
MATCHED = ("subject", "feature", "kind", "model_id", "severity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Until `until_ms`, nobody is told of alerts that match; patterns have `*`."""

    silence_id: str
    until_ms: int
    # By one of `MATCHED`, or the name of a label.
    matchers: Mapping[str, str]

    def covers(self, alert: DriftAlert, now_ms: int) -> bool:
        if now_ms >= self.until_ms:
            return False
        told = {**alert.labels, **{name: str(getattr(alert, name)) for name in MATCHED}}
        return all(fnmatchcase(told.get(name, ""), pattern) for name, pattern in self.matchers.items())
