"""One device of one rollout, as a value, and the states that it may be in."""

from dataclasses import dataclass
from enum import IntEnum

from schemas.rollouts import DeviceInRollout
from streams.rollouts.rings import NO_STAGE

__all__ = ["IN_FLIGHT", "OPEN", "Member", "State"]


class State(IntEnum):
    """`DeviceInRollout` as small numbers, for columns; the names are the same."""

    UNKNOWN = 0
    WAITING = 1
    OFFLINE = 2
    HELD = 3
    COMMANDED = 4
    IN_PROGRESS = 5
    ABSENT = 6
    BACKING_OFF = 7
    SUCCEEDED = 8
    FAILED = 9
    TIMED_OUT = 10
    RETURNING = 11
    STRANDED = 12
    ROLLED_BACK = 13
    SUPERSEDED = 14
    QUARANTINED = 15
    LEFT = 16

    @property
    def published(self) -> DeviceInRollout:
        return DeviceInRollout[self.name]


IN_FLIGHT = (State.COMMANDED, State.IN_PROGRESS)
# A stage is not settled while one of its devices is in one of these.
OPEN = (State.WAITING, State.HELD, State.COMMANDED, State.IN_PROGRESS, State.BACKING_OFF)


@dataclass(frozen=True, slots=True)
class Member:
    """One row, as a value."""

    device_id: str
    state: State
    stage: int = NO_STAGE
    position: float = 0.0
    attempts: int = 0
    previous: str = ""
    # What it shares with others that may fail as a class, such as "hw=rev2|firmware=2.4".
    kin: str = ""
    online: bool = True
    # A command of this rollout reached it at some time, so that there may be something to take back.
    touched: bool = False
    # It stands on a topic, from which it has to be taken one day.
    published: bool = False
    # When it was last commanded; while it backs off, when it may be tried again.
    at_ms: int = 0
    reason: str = ""
