"""What a bridge refuses, in words that reach the device."""

from schemas.errors import DriftlineError

__all__ = ["BadParcelError", "BridgeError", "BusyError", "IdentityError"]


class BridgeError(DriftlineError):
    """Something the bridge refused to do."""


class IdentityError(BridgeError):
    """A certificate that names no device, or not one alone."""


class BadParcelError(BridgeError):
    """Bytes that are no parcel."""


class BusyError(BridgeError):
    """Not now; the same question is welcome a little later."""
