"""River's drift detectors by name, in one shape: feed a number, hear whether the series has changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from schemas.errors import DriftlineError

__all__ = ["DETECTORS", "Detector", "DetectorSpec", "UnknownDetectorError"]


class Detector(Protocol):
    """What River's detectors have in common."""

    drift_detected: bool

    def update(self, x: float) -> Any: ...


@dataclass(frozen=True, slots=True)
class _Kind:
    # In `river.drift`, or its part for binary streams.
    name: str
    # Made for a stream of right and wrong: it is fed whether a window was bad, not by how much.
    binary: bool = False


DETECTORS: Mapping[str, _Kind] = {
    "adwin": _Kind("ADWIN"),
    "page_hinkley": _Kind("PageHinkley"),
    "kswin": _Kind("KSWIN"),
    "ddm": _Kind("DDM", binary=True),
    "eddm": _Kind("EDDM", binary=True),
    "hddm_a": _Kind("HDDMA", binary=True),
    "hddm_w": _Kind("HDDMW", binary=True),
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
        # River brings much along, and who judges no health does without.
        from river import drift

        place = drift.binary if self.binary else drift
        detector: Detector = getattr(place, DETECTORS[self.name].name)(**parameters)
        return detector
