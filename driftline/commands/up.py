"""`driftline up`: the local stack, started."""

import shlex

import click

from driftline.cluster_options import present_settings
from driftline.commands.status import show
from driftline.stack import bring_up
from driftline.stack.interrupts import interrupted_once
from driftline.stack.layout import SIZES

__all__ = ["up"]


@click.command(epilog="Example: driftline up --brokers 3 --data ./stack")
@click.option("--brokers", type=click.Choice([str(size) for size in SIZES]), help="1 unless said otherwise.")
@click.option("--data", type=click.Path(file_okay=False), help="Where servers keep their data and logs.")
@click.option("--port", type=click.IntRange(1, 65_535), help="The first broker's; 9092 or a free one otherwise.")
@click.option("--docker", is_flag=True, help="Run the official images instead.")
def up(brokers: str | None, data: str | None, port: int | None, docker: bool) -> None:
    """Start Kafka, a schema registry and Valkey on this machine, on 127.0.0.1 only.

    Neither Docker nor Java is needed. What is downloaded, once, is verified before it is run. The servers
    go on running until `driftline down`, and find their data again at the next `up`.
    """
    settings = present_settings({"data": data})
    with interrupted_once():
        click.echo(f"starting the stack in {settings.data}", err=True)
        risen = bring_up(
            settings.data, brokers=int(brokers) if brokers else None, port=port, cache=settings.cache, docker=docker
        )
    if not risen.started:
        click.echo("the stack is up already")
    elif len(risen.started) < len(risen.state.servers):
        click.echo(f"started again: {', '.join(risen.started)}")
    show(settings.data, risen.state)
    if data is not None:
        click.echo(f"other commands find this stack with DRIFTLINE_DATA={shlex.quote(str(settings.data))}", err=True)
