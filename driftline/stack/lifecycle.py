"""Starting servers together, waiting until all of them serve, and saying why one does not."""

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from driftline.stack.errors import ServerDiedError, StackError
from driftline.stack.layout import log_file
from driftline.stack.logs import last_words, since
from driftline.stack.processes import Process, alive, listens, run, spawn
from driftline.stack.server import Server

__all__ = ["Starting", "start", "wait_ready"]

_POLL_S = 0.03
_PORT_IN_USE = "Address already in use"
_LOG_KEPT_BYTES = 10_000_000


class _Place(TypedDict):
    name: str
    stack: Path
    environment: Mapping[str, str]
    folder: Path
    log: Path


@dataclass(frozen=True, slots=True)
class Starting:
    """A server on its way up; its log, from `log_start` on, is of this start."""

    server: Server
    process: Process
    log: Path
    log_start: int


def start(servers: Sequence[Server], data: Path) -> list[Starting]:
    """Start `servers`; those that need preparing once are prepared first, while the others come up."""
    unprepared = [s for s in servers if s.prepare and s.prepared is not None and not s.prepared.exists()]
    started = [_start(server, data) for server in servers if server not in unprepared]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda server: _prepare(server, data), unprepared))
    return [*started, *(_start(server, data) for server in unprepared)]


def wait_ready(starting: Iterable[Starting], *, patience_s: float = 150) -> None:
    """Return when every server serves; raise as soon as one has ended, or when patience has."""
    waiting = list(starting)
    deadline = time.monotonic() + patience_s
    while waiting := [each for each in waiting if not _serves(each)]:
        if time.monotonic() > deadline:
            names = ", ".join(each.server.name for each in waiting)
            raise StackError(
                f"no answer from {names} in {patience_s:.0f} s", hint=f"see the logs in {waiting[0].log.parent}"
            )
        time.sleep(_POLL_S)


def _serves(starting: Starting) -> bool:
    if not alive(starting.process):
        said = since(starting.log, starting.log_start)
        raise ServerDiedError(
            starting.server.name, log=starting.log, last_words=last_words(said), port_taken=_PORT_IN_USE in said
        )
    # Whoever answers on the port may be another, who was quicker.
    return listens(starting.process, starting.server.ports) and starting.server.ready()


def _start(server: Server, data: Path) -> Starting:
    place = _place(server, data)
    log_start = place["log"].stat().st_size if place["log"].exists() else 0
    return Starting(server, spawn(server.command, **place), place["log"], log_start)


def _prepare(server: Server, data: Path) -> None:
    if run(server.prepare, **_place(server, data)) != 0:
        log = log_file(data, server.name)
        raise StackError(f"{server.name} could not prepare its data; {log} ends with:\n{last_words(since(log, 0))}")


def _place(server: Server, data: Path) -> _Place:
    log = log_file(data, server.name)
    log.parent.mkdir(exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_KEPT_BYTES:
        log.replace(log.with_suffix(".log.1"))
    return _Place(name=server.name, stack=data, environment=server.environment, folder=server.folder, log=log)
