"""What is wrong with a policy document, and its tables."""

from functools import partial

from schemas.errors import DriftlineError
from schemas.section import Section

__all__ = ["PolicyError", "section_of"]


class PolicyError(DriftlineError):
    """A policy document that cannot be used."""

    def __init__(self, key: str, found: object, wanted: str) -> None:
        super().__init__(f"policy: {key}: found {found!r}, wanted {wanted}")
        self.key = key


section_of = partial(Section, wrong=PolicyError)
