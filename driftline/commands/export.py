"""`driftline export`: stretches of topics into files that any tool reads."""

from pathlib import Path

import click

from driftline.cluster_options import on_a_cluster
from driftline.settings import Settings

__all__ = ["export"]


@click.command(epilog="Example: driftline export telemetry.feature-stats --from 2026-11-01 -o nov.parquet")
@click.argument("topics", nargs=-1, metavar="[TOPIC]...")
@click.option("--from", "start", metavar="TIME", help="Arrived at this broker time or later; all there is unless said.")
@click.option("--to", "end", metavar="TIME", help="Arrived before this broker time.")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path),
    help="A file, .avro or .parquet, for one topic; a folder for any number.",
)  # fmt: skip
@click.option("--for-backtest", is_flag=True, help="All topics that a backtest without a cluster may want.")
@on_a_cluster
def export(
    settings: Settings, topics: tuple[str, ...], start: str | None, end: str | None, output: Path, for_backtest: bool
) -> None:
    """Write topics to a file or an archive folder."""
    from driftline.progress_bar import progress_bar
    from schemas.catalogue import topic_named
    from streams.backtest.exporting import NEEDED, export_file, export_folder
    from streams.backtest.history import ClusterHistory
    from streams.backtest.history.files import is_history_file
    from streams.backtest.span import span_of

    span, wanted = span_of(start, end), (*topics, *(NEEDED if for_backtest else ()))
    for name in wanted:
        topic_named(name)
    if not wanted:
        raise click.UsageError("no topic was named; `driftline topics` lists them, --for-backtest takes several")
    history = ClusterHistory(settings.cluster(), cache_dir=settings.cache)
    if output.suffix and not is_history_file(output) and not output.is_dir():
        raise click.UsageError(f"{output} ends in {output.suffix!r}; wanted: .avro, .parquet, or a folder's name")
    if is_history_file(output) and len(wanted) > 1:
        raise click.UsageError(f"{output}: one file holds one topic; name a folder for {len(wanted)} of them")
    total = sum(share.records for name in wanted for share in history.shares(name, span))
    with progress_bar("exporting", total) as told:
        if is_history_file(output):
            done = export_file(history, wanted[0], span, output, told=told)
        else:
            done = export_folder(history, wanted, span, output, told=told)
    for trouble in done.troubles:
        click.echo(f"left out: {trouble}", err=True)
    click.echo(f"{done.records:,} records in {len(done.files)} files, {len(done.troubles)} left out: {output}")
