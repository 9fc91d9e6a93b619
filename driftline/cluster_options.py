"""The options that point a command at a cluster, and the settings that it then runs with."""

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from driftline.settings import Endpoints, Settings, load

__all__ = ["on_a_cluster", "present_settings"]

_OPTIONS = (
    click.option("--bootstrap", metavar="HOST:PORT", help="Kafka brokers, with commas between."),
    click.option("--registry", metavar="URL", help="Schema registry."),
    click.option("--prefix", metavar="TEXT", help="What the names of topics and groups begin with."),
)


def on_a_cluster(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --bootstrap, --registry and --prefix; it receives `settings` in their place."""

    @wraps(command)
    def with_settings(
        *args: Any, bootstrap: str | None, registry: str | None, prefix: str | None, **kwargs: Any
    ) -> Any:
        options = {"bootstrap": bootstrap, "registry": registry, "prefix": prefix}
        return command(*args, settings=present_settings(options), **kwargs)

    made: Callable[..., Any] = with_settings
    for option in reversed(_OPTIONS):
        made = option(made)
    return made


def present_settings(options: dict[str, str | None] | None = None) -> Settings:
    """Read the settings of this process."""
    return load(os.environ, folder=Path.cwd(), options=options, running=_running)


def _running(data: Path) -> Endpoints | None:
    # Only who does not say where the cluster is needs to know the stack.
    from driftline.stack import running

    return running(data)
