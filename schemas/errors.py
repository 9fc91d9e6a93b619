"""The root of everything Driftline refuses to do, so that one place can print it."""

from typing import Self

__all__ = [
    "BadRecordError",
    "DriftlineError",
    "IncompatibleSchemaError",
    "RegistryAwayError",
    "SchemaError",
    "WrongValueError",
]


class DriftlineError(Exception):
    """Something refused, in words an operator can act on; `hint` names the next step."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class SchemaError(DriftlineError):
    """A record or its declaration does not fit the contract."""


class WrongValueError(SchemaError):
    """A value that its field cannot hold; nothing was sent.

    >>> str(WrongValueError("samples", found="-1", wanted="0 or more"))
    'samples: found -1, wanted 0 or more'
    """

    def __init__(self, where: str, *, found: str, wanted: str) -> None:
        super().__init__(f"{where or 'value'}: found {found}, wanted {wanted}")
        self.where = where
        self.found = found
        self.wanted = wanted

    def within(self, outer: str) -> Self:
        """Return the same trouble as seen from the field or item that holds the value."""
        inner = self.where if self.where.startswith("[") or not self.where else f".{self.where}"
        return type(self)(f"{outer}{inner}", found=self.found, wanted=self.wanted)


class BadRecordError(WrongValueError):
    """A record from a topic that cannot be used, however often it is tried: a dead letter."""

    @property
    def reason(self) -> str:
        """What was found and what was wanted, as a dead letter carries it."""
        return str(self)


class RegistryAwayError(DriftlineError):
    """The registry does not answer and the cache does not know: the same record may do later, so try it again."""


class IncompatibleSchemaError(SchemaError):
    """A changed record that older or newer programs could not read."""
