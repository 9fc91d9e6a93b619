"""River's drift detectors by name, in one shape: feed a number, hear whether the series has changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, Protocol

from schemas.errors import DriftlineError

__all__ = ["DETECTORS", "Detector", "DetectorSpec", "UnknownDetectorError"]


class Detector(Protocol):
    """What River's detectors have in common."""

    drift_detected: bool

    def update(self, x: float) -> Any: ...


@dataclass(frozen=True, slots=True)
class _Kind:
    # Found when the first one is made: River brings much along, and who judges no health does without.
    place: str
    # Made for a stream of right and wrong: it is fed whether a window was bad, not by how much.
    binary: bool = False


DETECTORS: Mapping[str, _Kind] = {
    "adwin": _Kind("river.drift:ADWIN"),
    "page_hinkley": _Kind("river.drift:PageHinkley"),
    "kswin": _Kind("river.drift:KSWIN"),
    "ddm": _Kind("river.drift.binary:DDM", binary=True),
    "eddm": _Kind("river.drift.binary:EDDM", binary=True),
    "hddm_a": _Kind("river.drift.binary:HDDMA", binary=True),
    "hddm_w": _Kind("river.drift.binary:HDDMW", binary=True),
}


class UnknownDetectorError(DriftlineError):
    def __init__(self, name: str) -> None:
        super().__init__(f"unknown detector {name!r}; known: {', '.join(sorted(DETECTORS))}")
        self.name = name


@dataclass(frozen=True)
class DetectorSpec:
    """A detector with its parameters, which are River's own."""

    name: str
    parameters: Mapping[str, float]

    def __post_init__(self) -> None:
        if self.name not in DETECTORS:
            raise UnknownDetectorError(self.name)
        try:
            self.start()
        except (TypeError, ValueError) as error:
            raise DriftlineError(f"detector {self.name!r} does not take {dict(self.parameters)}: {error}") from error

    @property
    def binary(self) -> bool:
        return DETECTORS[self.name].binary

    def start(self) -> Detector:
        parameters: dict[str, Any] = dict(self.parameters)
        if self.name == "kswin":
            # It samples; without a seed a replay would not agree with the first run.
            parameters.setdefault("seed", 1)
        detector: Detector = resolve_name(DETECTORS[self.name].place)(**parameters)
        return detector
