"""Files that are there whole or not at all, whatever is killed or full in between."""

import contextlib
import os
import tempfile
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: Path, content: bytes, *, mode: int = 0o644, durable: bool = True) -> None:
    """Put `content` at `path` by one atomic rename; on an error nothing is left and an older file stays.

    Without `durable` that holds for a killed process, not for a power cut. Every `OSError` names the file: a disk
    that is full does not by itself say which one found no room.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        error.filename = str(path)
        raise
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None
        raise
    if not durable:
        return
    # The rename itself must survive a power cut.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
