"""Finding free ports on the loopback address."""

import random
import socket
from collections.abc import Iterable

from driftline.stack.errors import PortTakenError, StackError

__all__ = ["LOOPBACK", "free", "pick"]

LOOPBACK = "127.0.0.1"
# Below the range from which systems number outgoing connections, so that none of those takes
# a server's port while the server is away.
_SEARCHED = range(10_000, 32_000)
_ATTEMPTS = 200


def pick(wanted_for: str, *, asked: int | None, preferred: Iterable[int], taken: set[int], rng: random.Random) -> int:
    """Return a free port and add it to `taken`: `asked` or none, else the first free `preferred`, else any."""
    if asked is not None:
        if asked in taken or not free(asked):
            raise PortTakenError(asked, wanted_for=wanted_for)
        taken.add(asked)
        return asked
    candidates = [*preferred, *(rng.choice(_SEARCHED) for _ in range(_ATTEMPTS))]
    for port in candidates:
        if port not in taken and free(port):
            taken.add(port)
            return port
    raise StackError(f"no free port found for {wanted_for}; tried {_ATTEMPTS} between 10000 and 32000")


def free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are still winding down is free to listen on.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
