"""The options of every worker that say where it answers `/health`, `/ready` and `/metrics`."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from driftline.endpoints import Endpoints, Watched

__all__ = ["Watch", "watch_app", "watched"]

Watch = Callable[[Watched], None]


def watched(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a worker --metrics-port and --metrics-host; it receives `watch`, to call once it can be asked."""

    @click.option(
        "--metrics-port", type=click.IntRange(1, 65535),
        help="Answer /health, /ready and /metrics here.",
    )  # fmt: skip
    @click.option(
        "--metrics-host", default="127.0.0.1", show_default=True, metavar="ADDRESS",
        help="Who may ask: loopback, or an address of this machine.",
    )  # fmt: skip
    @wraps(command)
    def with_watch(*args: Any, metrics_port: int | None, metrics_host: str, **kwargs: Any) -> Any:
        def watch(of: Watched) -> None:
            if metrics_port is not None:
                Endpoints(metrics_host, metrics_port, of)

        return command(*args, watch=watch, **kwargs)

    made: Callable[..., Any] = with_watch
    return made


def watch_app(app: Any) -> Watched:
    """What a bulk app, a `faust.App`, can be asked."""
    from streams.kafka import figures

    told = figures(app)
    return Watched(waiting=told.waiting, silent_s=told.silent_s, registries=[told.registry])
