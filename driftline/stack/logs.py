"""Reading what the servers of a stack have said."""

import time
from collections.abc import Iterator
from pathlib import Path

from driftline.stack.compose import Compose
from driftline.stack.errors import StackError
from driftline.stack.layout import log_file
from driftline.stack.state import State, load

__all__ = ["follow", "last_lines", "read"]

_TAIL_BYTES_A_LINE = 2_000
_POLL_S = 0.2


def read(data: Path, name: str, *, lines: int) -> str:
    """The last `lines` lines of server `name`; nothing where it has not said anything."""
    state = _known(data, name)
    if state.kind == "docker":
        return Compose(data.resolve(), state.ports).logs(name, lines=lines)
    text = last_lines(log_file(data, name), lines)
    return f"{text}\n" if text else ""


def follow(data: Path, name: str) -> Iterator[str]:
    """What server `name` says from now on, as it comes; never ends by itself."""
    if _known(data, name).kind == "docker":
        raise StackError("a container's log is not followed here", hint="docker compose logs does that")
    log = log_file(data, name)
    with log.open(encoding="utf-8", errors="replace") as stream:
        stream.seek(0, 2)
        while True:
            if text := stream.read():
                yield text
            else:
                time.sleep(_POLL_S)


def last_lines(log: Path, count: int) -> str:
    """The last `count` lines of `log`, or less where it is shorter, or nothing where there is none."""
    if count == 0:
        return ""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - count * _TAIL_BYTES_A_LINE))
            return "\n".join(stream.read().decode(errors="replace").splitlines()[-count:])
    except FileNotFoundError:
        return ""


def _known(data: Path, name: str) -> State:
    state = load(data)
    if state is None:
        raise StackError(f"no stack has been started in {data}", hint="`driftline up` starts one")
    if name not in state.servers:
        raise StackError(f"unknown server {name!r}; known: {', '.join(state.servers)}")
    return state
