"""What a rollout can be told: events, in the past tense, each with the time at which it is digested."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.rollouts import AckPhase, GateResult
from streams.rollouts.rings import NO_STAGE

__all__ = [
    "Aborted",
    "Acked",
    "Approved",
    "Arrivals",
    "BakeSkipped",
    "Cancelled",
    "CohortJoined",
    "DeviceFreed",
    "DeviceJoined",
    "DeviceLeft",
    "DeviceProved",
    "DeviceSeen",
    "DeviceTaken",
    "Event",
    "GatesJudged",
    "Paused",
    "Promoted",
    "QuarantineLifted",
    "Resumed",
    "Retried",
    "Superseded",
    "TimePassed",
]


@dataclass(frozen=True, slots=True)
class TimePassed:
    now_ms: int


@dataclass(frozen=True, slots=True)
class Acked:
    """A device reported on the newest command that it was given; older reports never get this far."""

    device_id: str
    phase: AckPhase
    now_ms: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GatesJudged:
    results: tuple[GateResult, ...]
    now_ms: int


@dataclass(frozen=True, slots=True)
class DeviceJoined:
    """A device is in the cohort, from the start, late or labelled anew; `previous` is what it last soundly ran."""

    device_id: str
    now_ms: int
    stage: int = NO_STAGE
    position: float = 0.0
    previous: str = ""
    kin: str = ""
    online: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """Devices of a cohort in columns, in the order of the ring; each as `DeviceJoined` has it."""

    ids: Sequence[str]
    stages: npt.NDArray[np.uint8]
    positions: npt.NDArray[np.float64]
    previous: Sequence[str]
    kin: Sequence[str]
    online: npt.NDArray[np.bool_]
    # Taken by an earlier stage than its own place says, so that the stage has its least number or every kind in it.
    chosen: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CohortJoined:
    """All devices that were in the cohort when the rollout was made; nobody is in it yet."""

    arrivals: Arrivals
    now_ms: int


@dataclass(frozen=True, slots=True)
class DeviceLeft:
    device_id: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class DeviceSeen:
    """A device came back, or has been silent for too long."""

    device_id: str
    online: bool
    now_ms: int


@dataclass(frozen=True, slots=True)
class DeviceProved:
    """A device soundly runs a model, apart from this rollout."""

    device_id: str
    model: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class DeviceTaken:
    """Another rollout commands the device: for good, when it is this one's successor."""

    device_id: str
    by: str
    for_good: bool
    now_ms: int


@dataclass(frozen=True, slots=True)
class DeviceFreed:
    device_id: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class Paused:
    who: str
    why: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class Resumed:
    who: str
    why: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class Promoted:
    """Somebody sends the rollout on: to the next stage, or (`full`) to everybody, unwatched."""

    who: str
    why: str
    now_ms: int
    full: bool = False


@dataclass(frozen=True, slots=True)
class BakeSkipped:
    who: str
    why: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class Approved:
    who: str
    why: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class Aborted:
    who: str
    why: str
    now_ms: int
    rollback: bool = True


@dataclass(frozen=True, slots=True)
class Cancelled:
    who: str
    why: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class Retried:
    """Somebody wants the failed devices tried again, or an aborted rollout begun anew."""

    who: str
    why: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class QuarantineLifted:
    """Somebody lets a class of devices back in that was set apart, such as "hw=rev2"."""

    trait: str
    who: str
    why: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class Superseded:
    by: str
    now_ms: int


Event = (
    TimePassed
    | Acked
    | GatesJudged
    | CohortJoined
    | DeviceJoined
    | DeviceLeft
    | DeviceSeen
    | DeviceProved
    | DeviceTaken
    | DeviceFreed
    | Paused
    | Resumed
    | Promoted
    | BakeSkipped
    | Approved
    | Aborted
    | Cancelled
    | Retried
    | QuarantineLifted
    | Superseded
)
