"""Bringing the embedded stack of a data folder up and down.

It keeps three rules:

* one command works on a data folder at a time;
* a start that fails, or is interrupted, leaves no process;
* what is asked for twice is done once.
"""

import base64
import os
import random
import shutil
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from driftline.stack.embedded import assign_ports, endpoints, lay_out
from driftline.stack.errors import ServerDiedError, StackError
from driftline.stack.exclusive import exclusive
from driftline.stack.lifecycle import prepare, start, wait_ready
from driftline.stack.lock import read_lock
from driftline.stack.places import cache_folder
from driftline.stack.processes import Process, marked, terminate
from driftline.stack.registry import require_compatibility
from driftline.stack.server import Server
from driftline.stack.state import STATE_FILE, State, load, save
from driftline.stack.store import provide

__all__ = ["Up", "bring_down", "bring_up", "servers_of"]

_BIND_ATTEMPTS = 3
_PORT_IN_USE = "Address already in use"
_COMMAND_LOCK = "command.lock"


@dataclass(frozen=True, slots=True)
class Up:
    """A stack that serves. `started` names what this call started: nothing, if it was up already."""

    state: State
    started: tuple[str, ...]


def bring_up(data: Path, *, brokers: int | None = None, port: int | None = None, cache: Path | None = None) -> Up:
    """Start whatever of the stack in `data` does not run yet, and return when all of it serves.

    `brokers` is 1 or 3 and stays what it was at the first start; `port` is the first broker's.
    """
    data = data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    cache = cache or cache_folder(os.environ)
    with exclusive(data / _COMMAND_LOCK, f"another command is at work on {data}; waiting for it"):
        before = load(data)
        _refuse_changes(data, before, brokers=brokers, port=port)
        if before is not None and before.up and (survivors := marked(data)):
            return _complete(data, before, survivors, cache)
        # Servers without a state are left over from a start that was killed.
        terminate(marked(data))
        return _start_afresh(data, before, brokers=brokers or (before.brokers if before else 1), port=port, cache=cache)


def bring_down(data: Path, *, purge: bool = False) -> tuple[str, ...]:
    """Stop every server of the stack in `data` and return their names; `purge` removes its data as well."""
    data = data.resolve()
    if not data.is_dir():
        return ()
    with exclusive(data / _COMMAND_LOCK, f"another command is at work on {data}; waiting for it"):
        ended = _end(marked(data))
        state = load(data)
        if state is not None:
            save(data, replace(state, up=False))
        if purge:
            _purge(data, state)
    return ended


def servers_of(data: Path, state: State, cache: Path) -> list[Server]:
    """The servers of a stack that was brought up before, verified and ready to be started again."""
    return lay_out(
        data,
        brokers=state.brokers,
        cluster_id=state.cluster_id,
        ports=state.ports,
        software=provide(read_lock(), cache),
    )


def _refuse_changes(data: Path, before: State | None, *, brokers: int | None, port: int | None) -> None:
    if before is None:
        return
    if brokers is not None and brokers != before.brokers:
        raise StackError(
            f"the data in {data} belongs to a stack with --brokers {before.brokers}, asked for was {brokers}",
            hint="choose another --data, or run `driftline down --purge` first",
        )
    if port is not None and before.up and port != before.ports["broker-1"] and marked(data):
        raise StackError(
            f"the stack in {data} is up on port {before.ports['broker-1']}, asked for was {port}",
            hint="run `driftline down` first",
        )


def _complete(data: Path, state: State, survivors: Iterable[Process], cache: Path) -> Up:
    """Start again those servers that are no longer there."""
    living = {process.name for process in survivors}
    if living >= set(state.servers):
        return Up(state, started=())
    missing = [server for server in servers_of(data, state, cache) if server.name not in living]
    _start_all(data, missing)
    return Up(state, started=tuple(server.name for server in missing))


def _start_afresh(data: Path, before: State | None, *, brokers: int, port: int | None, cache: Path) -> Up:
    software = provide(read_lock(), cache)
    cluster_id = before.cluster_id if before else _new_cluster_id()
    remembered = dict(before.ports) if before else {}
    for attempt in range(1, _BIND_ATTEMPTS + 1):
        ports = assign_ports(brokers, asked=port, before=remembered, rng=random.Random())
        servers = lay_out(data, brokers=brokers, cluster_id=cluster_id, ports=ports, software=software)
        state = State(
            kind="embedded",
            brokers=brokers,
            cluster_id=cluster_id,
            up=True,
            servers=tuple(server.name for server in servers),
            ports=ports,
            endpoints=endpoints(brokers, ports),
        )
        save(data, state)
        try:
            _start_all(data, servers)
            require_compatibility(ports["registry"])
        except ServerDiedError as error:
            save(data, replace(state, up=False))
            # Another program was quicker between our look and the server's; look again.
            if _PORT_IN_USE not in error.last_words or attempt == _BIND_ATTEMPTS:
                raise
        except BaseException:
            save(data, replace(state, up=False))
            raise
        else:
            return Up(state, started=state.servers)
    raise AssertionError("the last attempt either returns or raises")


def _start_all(data: Path, servers: list[Server]) -> None:
    """Start `servers` and wait for all; if that fails, end those that were started."""
    names = {server.name for server in servers}
    try:
        prepare(servers)
        wait_ready({server: start(server, data) for server in servers}, data)
    except BaseException:
        _end(process for process in marked(data) if process.name in names)
        raise


def _end(processes: Iterable[Process]) -> tuple[str, ...]:
    """End Kafka after those who lean on it, or they fill their logs with complaints."""
    by_dependence = sorted(processes, key=lambda process: process.name.startswith("kafka"))
    for kafka in (False, True):
        terminate(process for process in by_dependence if process.name.startswith("kafka") is kafka)
    return tuple(process.name for process in by_dependence)


def _purge(data: Path, state: State | None) -> None:
    """Remove what is ours, and the folder itself if nothing else is in it."""
    for name in (*(state.servers if state else ()), "logs"):
        shutil.rmtree(data / name, ignore_errors=True)
    for name in (STATE_FILE, _COMMAND_LOCK):
        (data / name).unlink(missing_ok=True)
    with suppress(OSError):
        data.rmdir()


def _new_cluster_id() -> str:
    """A Kafka UUID: 128 bits in URL-safe base64. A leading dash would read as an option."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text
