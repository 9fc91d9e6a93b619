"""`driftline doctor`: what is wrong, and what to do about it."""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import click

from driftline.cluster_options import on_a_cluster
from driftline.doctor import examine
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
    findings = []
    now_ms = time.time_ns() // 1_000_000
    for finding in examine(settings.cluster(), settings.redis, keyring=keyring, now_ms=now_ms):
        findings.append(finding)
        if not as_json:
            click.echo(finding)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    sys.exit(0 if all(finding.well for finding in findings) else 1)
