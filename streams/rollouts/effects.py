"""What a rollout wants done: effects, in the imperative, for the shell to carry out in order."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["CommandDevice", "Effect", "GoOn", "NoteDevice", "RaiseAlert", "RefuseRequest", "ResolveAlert", "WriteAudit"]


@dataclass(frozen=True, slots=True)
class CommandDevice:
    """Give the device a new desired state; an empty model takes the desired state away."""

    device_id: str
    model: str
    # run, install or switch.
    action: str = "run"


@dataclass(frozen=True, slots=True)
class NoteDevice:
    """A device's row has moved."""

    device_id: str


@dataclass(frozen=True, slots=True)
class WriteAudit:
    action: str
    who: str
    why: str
    evidence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RaiseAlert:
    """Tell people; a repeat of the same kind is the same alert."""

    kind: str
    summary: str


@dataclass(frozen=True, slots=True)
class ResolveAlert:
    kind: str


@dataclass(frozen=True, slots=True)
class RefuseRequest:
    """An operator asked for what cannot be done now."""

    action: str
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class GoOn:
    """There is more to do at once: tell the rollout the time again, after this much has been carried out."""


Effect = CommandDevice | NoteDevice | WriteAudit | RaiseAlert | ResolveAlert | RefuseRequest | GoOn
