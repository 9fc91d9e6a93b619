"""What is known of one server before it runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Server", "clean_environment"]


@dataclass(frozen=True, slots=True, eq=False)
class Server:
    """How one server is run, and how to tell that it serves.

    `ready` asks over the network, once the process listens on its `ports`; it returns False, and never raises,
    while there is no answer.
    """

    name: str
    command: tuple[str, ...]
    folder: Path
    ports: tuple[int, ...]
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    # Run once, before the first start, when `prepared` does not exist yet.
    prepare: tuple[str, ...] = ()
    prepared: Path | None = None
    # Run after each start, when `ready`.
    complete: Callable[[], None] = lambda: None


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What of our environment servers may see.

    Not more: a `JAVA_TOOL_OPTIONS`, `KAFKA_OPTS` or `QUARKUS_...` meant for other programs could make
    them listen elsewhere.
    """
    return {name: environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "TZ") if name in environ}
