"""What a stack remembers of itself between commands: a small JSON file in its data folder."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["STATE_FILE", "Endpoints", "State", "load", "save"]

STATE_FILE = "stack.json"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a stack is reached.

    `registry_url` is the root of the Confluent API, as its clients want it.
    """

    bootstrap: str
    registry_url: str
    redis_url: str


@dataclass(frozen=True, slots=True)
class State:
    """A stack as it was last brought up.

    `ports` and `cluster_id` outlive a `down`, so that the next `up` finds its data and, if it can, its old
    addresses. While it is `up`, a server of `servers` without a process has crashed.
    """

    kind: str
    brokers: int
    cluster_id: str
    up: bool
    servers: tuple[str, ...]
    ports: dict[str, int]
    endpoints: Endpoints


def load(data: Path) -> State | None:
    """The state of the stack in `data`, or None where no stack has been yet."""
    try:
        text = (data / STATE_FILE).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    fields = json.loads(text)
    fields["servers"] = tuple(fields["servers"])
    fields["endpoints"] = Endpoints(**fields["endpoints"])
    return State(**fields)


def save(data: Path, state: State) -> None:
    """Replace the state at once: a reader sees the old one or the new one."""
    half = data / f"{STATE_FILE}.{os.getpid()}"
    half.write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")
    half.replace(data / STATE_FILE)
