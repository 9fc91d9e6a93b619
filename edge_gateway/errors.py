"""What a gateway refuses, in words an operator can act on."""

from schemas.errors import DriftlineError

__all__ = [
    "BridgeAwayError",
    "BundleRefusedError",
    "ConfigError",
    "DownloadError",
    "GatewayError",
    "InferenceError",
    "SlotsError",
    "SpoolError",
]


class GatewayError(DriftlineError):
    """Something the gateway refused to do."""


class ConfigError(GatewayError, ValueError):
    """A setting that cannot work."""

    def __init__(self, key: str, found: object, wanted: str) -> None:
        super().__init__(f"{key} is {found!r}; wanted: {wanted}")
        self.key = key


class SpoolError(GatewayError):
    """The spool cannot be used at all."""


class SlotsError(GatewayError):
    """The slots say something that cannot be."""


class InferenceError(GatewayError):
    """A model that cannot be loaded, or that did not answer."""


class BundleRefusedError(GatewayError):
    """A bundle that is whole and signed, but not for this gateway, or that failed its self-test."""


class DownloadError(GatewayError):
    """A bundle that could not be fetched; `for_good` when trying again cannot help."""

    def __init__(self, message: str, *, hint: str = "", for_good: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.for_good = for_good


class BridgeAwayError(GatewayError):
    """A bridge that did not answer, or not as hoped; what was meant for it waits."""
