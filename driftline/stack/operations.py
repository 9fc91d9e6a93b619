"""Bringing the stack of a data folder up and down.

It keeps three rules:

* one command works on a data folder at a time;
* a start that fails, or is interrupted, leaves nothing running;
* what is asked for twice is done once.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from driftline.stack.containers import Containers
from driftline.stack.embedded import Embedded
from driftline.stack.errors import StackError
from driftline.stack.exclusive import exclusive
from driftline.stack.places import cache_folder
from driftline.stack.state import STATE_FILE, State, load, save

__all__ = ["Runner", "Up", "bring_down", "bring_up", "runner_for"]

_COMMAND_LOCK = "command.lock"


class Runner(Protocol):
    """One way to run the servers of a data folder."""

    @property
    def kind(self) -> str: ...

    def running(self) -> dict[str, int | None]:
        """The servers that run, each with its process number where it has one."""

    def start(self, before: State | None, *, brokers: int, port: int | None) -> State:
        """Start all servers and return when they serve; `before` is what is known of an earlier time."""

    def start_again(self, state: State, names: Sequence[str]) -> None:
        """Start servers that are missing from a stack that is up."""

    def kill(self, name: str) -> None: ...

    def restart(self, state: State, name: str) -> None: ...

    def stop(self) -> tuple[str, ...]:
        """Stop all servers and return the names of those that ran."""

    def purge(self, state: State) -> None:
        """Remove the data of servers that do not run."""


@dataclass(frozen=True, slots=True)
class Up:
    """A stack that serves. `started` names what this call started: nothing, if it was up already."""

    state: State
    started: tuple[str, ...]


def bring_up(
    data: Path,
    *,
    brokers: int | None = None,
    port: int | None = None,
    cache: Path | None = None,
    docker: bool = False,
    usual_ports: bool = True,
) -> Up:
    """Start whatever of the stack in `data` does not run yet, and return when all of it serves.

    `brokers` is 1 or 3 and stays what it was at the first start; `port` is the first broker's. Without
    `usual_ports`, 9092 and the like are left to others even where they are free.
    """
    data = data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    with exclusive(data / _COMMAND_LOCK, f"another command is at work on {data}; waiting for it"):
        before = load(data)
        runner = runner_for(data, Containers.kind if docker else Embedded.kind, cache=cache, usual_ports=usual_ports)
        _refuse_changes(data, before, runner, brokers=brokers, port=port)
        if before is not None and before.up and (running := runner.running()):
            missing = tuple(name for name in before.servers if name not in running)
            if missing:
                runner.start_again(before, missing)
            return Up(before, started=missing)

        state = runner.start(before, brokers=brokers or (before.brokers if before else 1), port=port)
        save(data, serving := replace(state, up=True))
        return Up(serving, started=serving.servers)


def bring_down(data: Path, *, purge: bool = False) -> tuple[str, ...]:
    """Stop every server of the stack in `data` and return their names; `purge` removes its data as well."""
    data = data.resolve()
    if not data.is_dir():
        return ()
    with exclusive(data / _COMMAND_LOCK, f"another command is at work on {data}; waiting for it"):
        state = load(data)
        runner = runner_for(data, state.kind if state else Embedded.kind)
        ended = runner.stop()
        if state is not None:
            save(data, replace(state, up=False))
        if purge:
            _purge(data, state, runner)
    return ended


def runner_for(data: Path, kind: str, *, cache: Path | None = None, usual_ports: bool = True) -> Runner:
    runner = Containers if kind == Containers.kind else Embedded
    return runner(data, cache=cache or cache_folder(os.environ), usual_ports=usual_ports)


def _refuse_changes(data: Path, before: State | None, runner: Runner, *, brokers: int | None, port: int | None) -> None:
    if before is None:
        return
    start_over = "choose another --data, or run `driftline down --purge` first"
    if before.kind != runner.kind:
        raise StackError(
            f"the data in {data} is of the {before.kind} kind, asked for was {runner.kind}", hint=start_over
        )
    if brokers is not None and brokers != before.brokers:
        raise StackError(
            f"the data in {data} belongs to {before.brokers} broker(s), asked for were {brokers}", hint=start_over
        )
    if port is not None and before.up and port != before.ports["broker-1"] and runner.running():
        raise StackError(
            f"the stack in {data} is up on port {before.ports['broker-1']}, asked for was {port}",
            hint="run `driftline down` first",
        )


def _purge(data: Path, state: State | None, runner: Runner) -> None:
    """Remove what is ours, and the folder itself if nothing else is in it."""
    if state is not None:
        runner.purge(state)
    for name in (STATE_FILE, _COMMAND_LOCK):
        (data / name).unlink(missing_ok=True)
    with suppress(OSError):
        data.rmdir()
