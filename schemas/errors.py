"""The root of everything Driftline refuses to do, so that one place can print it."""

__all__ = ["DriftlineError", "SchemaError"]


class DriftlineError(Exception):
    """Something refused, in words an operator can act on; `hint` names the next step."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class SchemaError(DriftlineError):
    """A record or its declaration does not fit the contract."""
