"""How the servers of a stack fare."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from driftline.stack.processes import marked
from driftline.stack.state import Endpoints, State, load

__all__ = ["Condition", "ServerStatus", "running", "server_statuses"]


class Condition(StrEnum):
    RUNNING = "running"
    CRASHED = "crashed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """`address` is where clients reach the server; `pid` is None unless it runs."""

    name: str
    condition: Condition
    address: str
    pid: int | None


def running(data: Path) -> Endpoints | None:
    """Where the stack in `data` is reached, or None while none of its brokers runs."""
    data = data.resolve()
    state = load(data)
    if state is None or not state.up:
        return None
    return state.endpoints if any(process.name.startswith("kafka") for process in marked(data)) else None


def server_statuses(data: Path, state: State) -> list[ServerStatus]:
    """The status of each server: one that should run and has no process has crashed."""
    pids = {process.name: process.pid for process in marked(data.resolve())}
    absent = Condition.CRASHED if state.up else Condition.STOPPED
    return [
        ServerStatus(name, Condition.RUNNING if name in pids else absent, _address(name, state), pids.get(name))
        for name in state.servers
    ]


def _address(name: str, state: State) -> str:
    match name:
        case "registry":
            return state.endpoints.registry_url
        case "valkey":
            return state.endpoints.redis_url
        case _:
            node = int(name.rpartition("-")[2]) if "-" in name else 1
            return state.endpoints.bootstrap.split(",")[node - 1]
