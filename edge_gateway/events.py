"""What can happen to an installation: orders, steps of an update, verdicts, starts, and wishes at the device."""

from dataclasses import dataclass, field
from typing import Final

__all__ = [
    "LATER",
    "Accepted",
    "BakePassed",
    "Booted",
    "Event",
    "Failed",
    "FetchStarted",
    "Fetched",
    "Installed",
    "Order",
    "Postponed",
    "RanWell",
    "Recovered",
    "Refused",
    "RolledBackByHand",
    "SafeModeOff",
    "SafeModeOn",
    "Spoken",
    "Switched",
    "WentBad",
]

LATER: Final = "later"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A verified command, as far as it concerns the slots."""

    revision: int
    rollout_id: str
    model_id: str
    sha256: str
    size: int
    url: str
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def later(self) -> bool:
        """It is to be installed now, and to serve when a newer command says so."""
        return self.settings.get("activate") == LATER


@dataclass(frozen=True, slots=True)
class Accepted:
    """A command for this device came, and was verified; or somebody at the device asks for a bundle.

    What is done by hand keeps the revision of the last command: the next one from the fleet goes over it.
    """

    order: Order
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class Postponed:
    reason: str


@dataclass(frozen=True, slots=True)
class FetchStarted:
    pass


@dataclass(frozen=True, slots=True)
class Fetched:
    """The bundle lies in the store, whole."""


@dataclass(frozen=True, slots=True)
class Installed:
    """The bundle lies in the target slot and passed its self-test."""


@dataclass(frozen=True, slots=True)
class Refused:
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    reason: str


@dataclass(frozen=True, slots=True)
class Switched:
    """It is time for the installed bundle to serve."""


@dataclass(frozen=True, slots=True)
class BakePassed:
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WentBad:
    """The active model fares badly."""

    reason: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """The suspended model fared well for long enough."""


@dataclass(frozen=True, slots=True)
class Booted:
    """The gateway starts; `limit` starts that did not last are enough."""

    limit: int


@dataclass(frozen=True, slots=True)
class RanWell:
    """The gateway has run for a while, or ended in good order."""


@dataclass(frozen=True, slots=True)
class SafeModeOn:
    """Somebody wants the rules to decide."""


@dataclass(frozen=True, slots=True)
class SafeModeOff:
    pass


@dataclass(frozen=True, slots=True)
class RolledBackByHand:
    reason: str


@dataclass(frozen=True, slots=True)
class Spoken:
    """What was to say is in the spool, up to this number."""

    number: int


Event = (
    Accepted
    | Postponed
    | FetchStarted
    | Fetched
    | Installed
    | Refused
    | Failed
    | Switched
    | BakePassed
    | WentBad
    | Recovered
    | Booted
    | RanWell
    | SafeModeOn
    | SafeModeOff
    | RolledBackByHand
    | Spoken
)
