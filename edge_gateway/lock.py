"""One gateway a folder: a lock that ends with its process, however that ends."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from edge_gateway.errors import GatewayError

__all__ = ["is_running", "only_one"]


@contextlib.contextmanager
def only_one(data: Path) -> Iterator[None]:
    """Hold the folder; refuses where another gateway holds it."""
    data.mkdir(parents=True, exist_ok=True)
    handle = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _try(handle):
            raise GatewayError(
                f"another gateway runs in {data}", hint="end it first, or give this one another gateway.data"
            )
        yield
    finally:
        os.close(handle)


def is_running(data: Path) -> bool:
    try:
        handle = os.open(data / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        return not _try(handle)
    finally:
        os.close(handle)


def _try(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
