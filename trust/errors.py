"""What can be wrong with a key or a signature, in words that a refusal can carry to an operator."""

from schemas.errors import DriftlineError

__all__ = [
    "BundleError",
    "DigestMismatchError",
    "EnvelopeError",
    "KeyFileError",
    "KeyringError",
    "RevokedKeyError",
    "SealError",
    "TamperedError",
    "TrustError",
    "UntrustedError",
    "WrongDeviceError",
    "WrongKindError",
]


class TrustError(DriftlineError):
    """Something that is not trusted, and why."""


class KeyFileError(TrustError):
    """A key cannot be made or read."""


class KeyringError(TrustError):
    """A keyring does not hold together, or does not follow from the one that is pinned."""


class EnvelopeError(TrustError):
    """Not an envelope, or its content is not what its kind promises."""


class WrongKindError(TrustError):
    """An envelope of one kind was offered as another."""

    def __init__(self, *, found: str, wanted: str) -> None:
        super().__init__(f"the envelope holds {found!r}; wanted {wanted!r}")
        self.found = found
        self.wanted = wanted


class UntrustedError(TrustError):
    """Too few valid signatures by pinned keys that may sign this kind."""


class RevokedKeyError(UntrustedError):
    """What would have been enough signatures was made with a revoked key."""


class TamperedError(TrustError):
    """The record around an envelope says something else than what was signed."""


class BundleError(TrustError):
    """A bundle that is damaged, or whose parts do not belong together."""


class DigestMismatchError(BundleError):
    """Content that is not the one that was promised."""

    def __init__(self, *, what: str, promised: str, found: str) -> None:
        super().__init__(f"{what} has digest {found:.12}; promised was {promised:.12}")
        self.promised = promised
        self.found = found


class SealError(TrustError):
    """An encrypted bundle that this device cannot read."""


class WrongDeviceError(TrustError):
    """Signed and whole, but for somebody else."""

    def __init__(self, *, found: str, wanted: str) -> None:
        super().__init__(f"the command is for device {found!r}; this is {wanted!r}")
        self.found = found
        self.wanted = wanted
