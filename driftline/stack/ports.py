"""Finding free ports on the loopback address, and keeping them until a server has them.

Servers open their ports seconds after they were told which; meanwhile another stack must not choose the same.
"""

import fcntl
import os
import random
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from driftline.stack.errors import PortTakenError, StackError

__all__ = ["LOOPBACK", "free", "pick", "reserving"]

LOOPBACK = "127.0.0.1"
# Below the range from which systems number outgoing connections, so that none of those takes
# a server's port while the server is away.
_SEARCHED = range(10_000, 32_000)
_ATTEMPTS = 200


def pick(
    wanted_for: str,
    *,
    asked: int | None,
    preferred: Iterable[int],
    reserve: Callable[[int], bool],
    rng: random.Random,
) -> int:
    """Return a free port, reserved: `asked` or none, else the first free one `preferred`, else any."""
    if asked is not None:
        if not (reserve(asked) and free(asked)):
            raise PortTakenError(asked, wanted_for=wanted_for)
        return asked
    for port in (*preferred, *(rng.choice(_SEARCHED) for _ in range(_ATTEMPTS))):
        if reserve(port) and free(port):
            return port
    raise StackError(f"no free port found for {wanted_for}; tried {_ATTEMPTS} between 10000 and 32000")


@contextmanager
def reserving(folder: Path) -> Iterator[Callable[[int], bool]]:
    """Give out a function that reserves a port, True if nobody else has; all are given back at the end.

    Everyone who names the same `folder` takes part. The system gives back what a killed program held.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held: list[int] = []

    def reserve(port: int) -> bool:
        descriptor = os.open(folder / str(port), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        held.append(descriptor)
        return True

    try:
        yield reserve
    finally:
        for descriptor in held:
            os.close(descriptor)


def free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are still winding down is free to listen on.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
