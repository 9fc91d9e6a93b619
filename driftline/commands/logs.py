"""`driftline logs`: what a server of the local stack has said."""

import click

from driftline.cluster_options import present_settings
from driftline.stack.logs import follow, read

__all__ = ["logs"]


@click.command(epilog="Example: driftline logs kafka --lines 200 --follow")
@click.argument("name")
@click.option("--data", type=click.Path(file_okay=False), help="Where servers keep their data and logs.")
@click.option("--lines", type=click.IntRange(0), default=50, show_default=True, help="How many to begin with.")
@click.option("--follow", "-f", "followed", is_flag=True, help="Go on with what it says from now on, until Ctrl-C.")
def logs(name: str, data: str | None, lines: int, followed: bool) -> None:
    """Show the last lines of server NAME's log."""
    settings = present_settings({"data": data})
    click.echo(read(settings.data, name, lines=lines), nl=False)
    if followed:
        for text in follow(settings.data, name):
            click.echo(text, nl=False)
