"""`driftline status`: how the servers of the local stack fare."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from driftline.cluster_options import present_settings
from driftline.stack import Condition, ServerStatus, server_statuses
from driftline.stack.state import State, load

__all__ = ["show", "status"]

_WIDTH = 200


@click.command(epilog="Example: driftline status --json")
@click.option("--data", type=click.Path(file_okay=False), help="Where servers keep their data and logs.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def status(data: str | None, as_json: bool) -> None:
    """Show every server of the local stack, with the last words of one that crashed.

    Exits 0 when all of them run and 1 otherwise.
    """
    settings = present_settings({"data": data})
    state = load(settings.data)
    statuses = server_statuses(settings.data, state) if state else []
    if as_json:
        click.echo(json.dumps(_plain(settings.data, state, statuses), indent=2))
    elif state is None:
        click.echo(f"no stack has been started in {settings.data}; `driftline up` starts one")
    else:
        show(settings.data, state)
    sys.exit(0 if statuses and all(s.condition is Condition.RUNNING for s in statuses) else 1)


def show(data: Path, state: State) -> None:
    statuses = server_statuses(data, state)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("SERVER", "STATE", "ADDRESS", "PID"):
        table.add_column(heading, no_wrap=True)
    for server in statuses:
        table.add_row(server.name, server.condition, server.address, str(server.pid or "-"))
    Console(highlight=False, soft_wrap=True).print(table)
    click.echo(f"data and logs: {data}")
    for server in statuses:
        if server.condition is Condition.CRASHED:
            click.echo(f"\n{server.name} crashed; its log ends with:\n{_cut(server.last_words)}", err=True)
            click.echo(f"hint: `driftline logs {server.name}` shows more, `driftline up` starts it again", err=True)


def _cut(text: str) -> str:
    return "\n".join(line if len(line) <= _WIDTH else f"{line[:_WIDTH]}…" for line in text.splitlines())


def _plain(data: Path, state: State | None, statuses: list[ServerStatus]) -> dict[str, object]:
    up = state is not None and state.up
    return {
        "up": up,
        "data": str(data),
        "endpoints": asdict(state.endpoints) if state is not None and up else None,
        "servers": [asdict(server) for server in statuses],
    }
