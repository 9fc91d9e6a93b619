"""`driftline doctor`: what is wrong, and what to do about it."""

import time
from pathlib import Path

import click

from driftline.cluster_options import on_a_cluster
from driftline.doctor import examine
from driftline.findings_view import tell_and_exit
from driftline.settings import Settings

__all__ = ["doctor"]


@click.command(epilog="Example: driftline doctor --keyring keyring.json")
@click.option(
    "--keyring", type=click.Path(dir_okay=False, path_type=Path), help="The keys that devices have pinned, as well."
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@on_a_cluster
def doctor(settings: Settings, keyring: Path | None, as_json: bool) -> None:
    """Look at broker, topics, lag, clocks, registry, Redis and keys; exit 1 if anything is wrong."""
    now_ms = time.time_ns() // 1_000_000
    tell_and_exit(examine(settings.cluster(), settings.redis, keyring=keyring, now_ms=now_ms), as_json=as_json)
