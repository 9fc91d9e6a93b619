"""One process at a time, through a lock that the system drops when its holder dies, however it dies."""

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from driftline.stack.errors import StackError

__all__ = ["exclusive"]

_POLL_S = 0.05


@contextmanager
def exclusive(path: Path, waiting: str, *, patience_s: float = 1800) -> Iterator[None]:
    """Hold the lock at `path`; say `waiting` once on stderr if another process has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _acquire(descriptor, path, waiting, patience_s)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, waiting: str, patience_s: float) -> None:
    give_up = time.monotonic() + patience_s
    said = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not said:
                print(waiting, file=sys.stderr, flush=True)
                said = True
            if time.monotonic() > give_up:
                raise StackError(f"{path} was held by another process for {patience_s:.0f} s") from None
            time.sleep(_POLL_S)
        else:
            return
