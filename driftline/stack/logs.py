"""Reading what the servers of a stack have said."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

from driftline.stack.compose import Compose
from driftline.stack.errors import StackError
from driftline.stack.layout import log_file
from driftline.stack.state import State, load

__all__ = ["follow", "last_lines", "last_words", "read", "since"]

_TAIL_BYTES_A_LINE = 2_000
_MUCH_BYTES = 1_000_000
_POLL_S = 0.2
_ERROR = re.compile(r"\b(ERROR|FATAL|Caused by:)")


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


def since(log: Path, start: int) -> str:
    """What was added to `log` after its first `start` bytes, or the last of it where that is very much."""
    with log.open("rb") as stream:
        stream.seek(max(start, log.stat().st_size - _MUCH_BYTES))
        return stream.read().decode(errors="replace")


def last_words(said: str, *, lines: int = 10, errors: int = 3) -> str:
    """What tells most about an end: the first lines that name an error, and the last lines of all.

    Between the two a server often says much about how it tidies up.
    """
    everything = said.splitlines()
    end = everything[-lines:]
    named = [line for line in everything[:-lines] if _ERROR.search(line)][:errors]
    return "\n".join([*named, "…", *end] if named else end)


def _known(data: Path, name: str) -> State:
    state = load(data)
    if state is None:
        raise StackError(f"no stack has been started in {data}", hint="`driftline up` starts one")
    if name not in state.servers:
        raise StackError(f"unknown server {name!r}; known: {', '.join(state.servers)}")
    return state
