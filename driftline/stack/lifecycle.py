"""Starting servers together, waiting until all of them serve, and saying why one does not."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypedDict

from driftline.stack.errors import ServerDiedError, StackError
from driftline.stack.layout import log_file
from driftline.stack.logs import last_lines
from driftline.stack.processes import Process, alive, run, spawn
from driftline.stack.server import Server

__all__ = ["start", "wait_ready"]

_POLL_S = 0.03
_LOG_KEPT_BYTES = 10_000_000


class _Place(TypedDict):
    name: str
    stack: Path
    environment: Mapping[str, str]
    folder: Path
    log: Path


def start(servers: Sequence[Server], data: Path) -> dict[Server, Process]:
    """Start `servers`; those that need preparing once are prepared first, while the others come up."""
    unprepared = [s for s in servers if s.prepare and s.prepared is not None and not s.prepared.exists()]
    started = {server: _start(server, data) for server in servers if server not in unprepared}
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda server: _prepare(server, data), unprepared))
    return started | {server: _start(server, data) for server in unprepared}


def wait_ready(servers: Mapping[Server, Process], data: Path, *, patience_s: float = 90) -> None:
    """Return when every server serves; raise as soon as one has ended, or when patience has."""
    waiting = dict(servers)
    deadline = time.monotonic() + patience_s
    while waiting:
        for server, process in list(waiting.items()):
            if not alive(process):
                log = log_file(data, server.name)
                raise ServerDiedError(server.name, log=log, last_words=last_lines(log, 15))
            if server.ready():
                del waiting[server]
        if waiting and time.monotonic() > deadline:
            names = ", ".join(server.name for server in waiting)
            raise StackError(f"no answer from {names} in {patience_s:.0f} s", hint=f"see the logs in {data / 'logs'}")
        time.sleep(_POLL_S)


def _start(server: Server, data: Path) -> Process:
    return spawn(server.command, **_place(server, data))


def _prepare(server: Server, data: Path) -> None:
    if run(server.prepare, **_place(server, data)) != 0:
        log = log_file(data, server.name)
        raise StackError(f"{server.name} could not prepare its data; the last lines of {log}:\n{last_lines(log, 15)}")


def _place(server: Server, data: Path) -> _Place:
    log = log_file(data, server.name)
    log.parent.mkdir(exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_KEPT_BYTES:
        log.replace(log.with_suffix(".log.1"))
    return _Place(name=server.name, stack=data, environment=server.environment, folder=server.folder, log=log)
