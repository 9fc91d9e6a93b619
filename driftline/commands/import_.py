"""`driftline import`: what was exported, back onto the topics of a cluster."""

from pathlib import Path

import click

from driftline.cluster_options import on_a_cluster
from driftline.settings import Settings

__all__ = ["import_"]


@click.command(name="import", epilog="Example: driftline import nov.parquet --prefix replay-")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--topic", "topics", multiple=True, help="Only this topic of a folder; may be said again.")
@on_a_cluster
def import_(settings: Settings, source: Path, topics: tuple[str, ...]) -> None:
    """Write an exported file or folder to a cluster; broker time and offsets are given anew."""
    from driftline.progress_bar import progress_bar
    from streams.backtest.exporting import import_file
    from streams.backtest.history import FileHistory

    history = FileHistory(source)
    total = sum(history.extent(name).records for name in history.topics() if not topics or name in topics)
    with progress_bar("importing", total) as told:
        done = import_file(settings.cluster(), source, topics=topics or None, told=told)
    for trouble in done.troubles:
        click.echo(f"left out: {trouble}", err=True)
    click.echo(f"{done.records:,} records written, {len(done.troubles)} left out")
