"""What the local stack refuses to do."""

from pathlib import Path

from schemas.errors import DriftlineError

__all__ = ["ChecksumError", "DownloadError", "PortTakenError", "ServerDiedError", "StackError"]


class StackError(DriftlineError):
    """The local stack could not do what was asked."""


class DownloadError(StackError):
    """A pinned file could not be had; nothing half arrived was kept."""


class ChecksumError(StackError):
    """A file is not the one that the lock names, so it is not run."""

    def __init__(self, path: Path, *, locked: str, found: str, hint: str) -> None:
        super().__init__(
            f"{path} is not the file that the lock pins: SHA-256 should be {locked}, is {found}; it was not run",
            hint=hint,
        )
        self.path = path
        self.locked = locked
        self.found = found


class ServerDiedError(StackError):
    """A server ended while it was being started; the message carries its last words."""

    def __init__(self, name: str, *, log: Path, last_words: str, port_taken: bool) -> None:
        super().__init__(f"{name} ended while starting; {log} ends with:\n{last_words}")
        self.name = name
        self.port_taken = port_taken


class PortTakenError(StackError):
    def __init__(self, port: int, *, wanted_for: str) -> None:
        super().__init__(
            f"port {port}, wanted for {wanted_for}, is taken by another program",
            hint="leave --port out to have a free one found",
        )
        self.port = port
