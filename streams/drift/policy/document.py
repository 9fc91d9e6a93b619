"""What is wrong with a policy document, and its tables."""

from functools import partial

from schemas.errors import DriftlineError
from schemas.section import Section

__all__ = ["PolicyError", "section_of"]


# Complaints stand in logs, dead letters and on terminals.
_MOST_SHOWN = 500


class PolicyError(DriftlineError):
    """A policy document that cannot be used."""

    def __init__(self, key: str, found: object, wanted: str) -> None:
        super().__init__(f"policy: {key}: found {_shown(found)}, wanted {wanted}")
        self.key = key


def _shown(found: object) -> str:
    try:
        text = repr(found)
    except (RecursionError, ValueError):
        # Tables within tables, or a number of more digits, than Python writes.
        return "more than can be shown"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}... ({len(text)} characters)"


section_of = partial(Section, wrong=PolicyError)
