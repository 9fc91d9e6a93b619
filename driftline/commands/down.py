"""`driftline down`: the local stack, stopped."""

import click

from driftline.cluster_options import present_settings
from driftline.stack import bring_down
from driftline.stack.interrupts import interrupted_once

__all__ = ["down"]


@click.command(epilog="Example: driftline down --purge")
@click.option("--data", type=click.Path(file_okay=False), help="Where servers keep their data and logs.")
@click.option("--purge", is_flag=True, help="Remove their data as well.")
def down(data: str | None, purge: bool) -> None:
    """Stop every server of the local stack; their data stays for the next `up`."""
    settings = present_settings({"data": data})
    with interrupted_once():
        ended = bring_down(settings.data, purge=purge)
    click.echo(f"stopped {', '.join(ended)}" if ended else "nothing was running")
    if purge:
        click.echo(f"removed the data in {settings.data}")
