"""How the servers of a stack fare."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from driftline.stack.logs import last_words, read
from driftline.stack.operations import runner_for
from driftline.stack.state import Endpoints, State, load

__all__ = ["Condition", "ServerStatus", "running", "server_statuses"]

_LOOKED_AT = 300


class Condition(StrEnum):
    RUNNING = "running"
    CRASHED = "crashed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """`address` is where clients reach the server; `last_words` end the log of one that crashed."""

    name: str
    condition: Condition
    address: str
    pid: int | None
    last_words: str = ""


def running(data: Path) -> Endpoints | None:
    """Where the stack in `data` is reached, or None while none of its brokers runs.

    An installation that cannot look at processes takes the stack's word for it.
    """
    data = data.resolve()
    state = load(data)
    if state is None or not state.up:
        return None
    try:
        present = runner_for(data, state.kind).running()
    except ModuleNotFoundError as error:
        if error.name != "psutil":
            raise
        return state.endpoints
    return state.endpoints if any(name.startswith("kafka") for name in present) else None


def server_statuses(data: Path, state: State) -> list[ServerStatus]:
    """The status of each server: one that should run and does not has crashed."""
    data = data.resolve()
    present = runner_for(data, state.kind).running()
    return [_status(data, state, name, present) for name in state.servers]


def _status(data: Path, state: State, name: str, present: dict[str, int | None]) -> ServerStatus:
    address = _address(name, state)
    if name in present:
        return ServerStatus(name, Condition.RUNNING, address, present[name])
    if not state.up:
        return ServerStatus(name, Condition.STOPPED, address, None)
    return ServerStatus(
        name, Condition.CRASHED, address, None, last_words=last_words(read(data, name, lines=_LOOKED_AT))
    )


def _address(name: str, state: State) -> str:
    match name:
        case "registry":
            return state.endpoints.registry_url
        case "valkey":
            return state.endpoints.redis_url
        case _:
            node = int(name.rpartition("-")[2]) if "-" in name else 1
            return state.endpoints.bootstrap.split(",")[node - 1]
