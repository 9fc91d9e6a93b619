"""Private keys on disk: readable by their owner alone, from the moment in which they are made."""

import contextlib
import os
import stat
from pathlib import Path

from trust.errors import KeyFileError

__all__ = ["read_private", "write_private"]

_LONGEST = 64 * 1024


def write_private(path: Path, pem: bytes) -> None:
    """Write a new key; an existing file is never overwritten."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # The mode is given at creation: there is no moment in which others could open the file.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise KeyFileError(
            f"{path} exists; a key is never overwritten", hint="choose another name, or move the old key away first"
        ) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def read_private(path: Path, *, if_missing: str = "") -> bytes:
    """Return the content of a file that only its owner can read; `if_missing` is the hint where there is none."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise KeyFileError(f"{path} has mode {mode:04o}; wanted 0600", hint=f"chmod 600 {path}")
            return file.read(_LONGEST)
    except OSError as error:
        hint = if_missing if isinstance(error, FileNotFoundError) else ""
        raise KeyFileError(f"{path}: {error.strerror or error}", hint=hint) from error
