"""What was checked about data, and what was found."""

from dataclasses import dataclass

__all__ = ["Check"]


@dataclass(frozen=True, slots=True)
class Check:
    """One check and what it found."""

    name: str
    passed: bool
    finding: str
