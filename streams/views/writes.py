"""What the views can be told: each a value, carried out by the store."""

from dataclasses import dataclass

__all__ = ["Append", "Forget", "Put", "Remember", "Sort", "Take", "Write"]


@dataclass(frozen=True, slots=True)
class Put:
    """Set a field of a hash; with a time, only if what stands there is not from a later one."""

    hash: str
    field: str
    value: str
    at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Take:
    """Remove a field of a hash."""

    hash: str
    field: str


@dataclass(frozen=True, slots=True)
class Remember:
    """Add a member to a set."""

    set: str
    member: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Remove a member from a set, and all that is about it."""

    set: str
    member: str
    about: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Append:
    """Add a member to a sorted set in the order of time, and keep only the latest."""

    sorted: str
    at_ms: int
    member: str
    kept: int


@dataclass(frozen=True, slots=True)
class Sort:
    """Count a member in these boxes of a tally, and no longer in those where it was counted before."""

    tally: str
    member: str
    boxes: tuple[str, ...]


Write = Put | Take | Remember | Forget | Append | Sort
