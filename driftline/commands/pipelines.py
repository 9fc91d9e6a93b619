"""`driftline pipelines`: which there are, and what one of them makes of readings."""

import json
from pathlib import Path

import click
import numpy as np

from driftline.groups import Group
from driftline.pipeline_option import PIPELINE
from driftline.tables import plain_table, show
from driftline.time_option import time_format_option
from sensing import PIPELINES, Pipeline, pipeline_named
from trainer.data.files import from_file

__all__ = ["pipelines"]


@click.group(
    cls=Group, invoke_without_command=True, epilog="Example: driftline pipelines show press.toml --data readings.csv"
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_context
def pipelines(context: click.Context, as_json: bool) -> None:
    """List the pipelines that every gateway has; others are declared in a file, and come with the models."""
    if context.invoked_subcommand is not None:
        return
    if as_json:
        click.echo(json.dumps([_plain(one) for one in PIPELINES.values()], indent=2))
        return
    table = plain_table("PIPELINE", "A READING EVERY", "CHANNELS", "FEATURES")
    for one in PIPELINES.values():
        table.add_row(one.id, f"{one.every_ms / 1000:g} s", ", ".join(one.channel_names), str(len(one.features)))
    show(table)


@pipelines.command(name="show", epilog="Example: driftline pipelines show press.toml --data readings.csv")
@click.argument("pipeline", type=PIPELINE)
@click.option(
    "--data", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Readings to compute the features of, CSV or Parquet.",
)  # fmt: skip
@time_format_option
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def show_(pipeline: str, data: Path | None, time_format: str, as_json: bool) -> None:
    """Show the channels and features of a pipeline, and what they are of given readings."""
    one = pipeline_named(pipeline)
    matrix = None if data is None else from_file(data, pipeline, time_format=time_format).matrix
    if as_json:
        click.echo(json.dumps(_plain(one), indent=2))
        return
    click.echo(f"{one.id}: a reading every {one.every_ms / 1000:g} s, a vector looks back on {one.span}")
    table = plain_table("CHANNEL", "UNIT", "FROM", "TO")
    for channel in one.channels:
        table.add_row(channel.name, channel.unit, f"{channel.low:g}", f"{channel.high:g}")
    show(table)
    click.echo()
    table = plain_table("FEATURE", "KIND", *(("MISSING", "LOWEST", "MEDIAN", "HIGHEST") if matrix is not None else ()))
    for column, feature in enumerate(one.features):
        seen = () if matrix is None else _seen(matrix[:, column].astype(np.float64))
        table.add_row(feature.name, feature.kind.value, *seen)
    show(table)
    if matrix is not None:
        click.echo(f"{len(matrix)} vectors")


def _seen(values: np.ndarray) -> tuple[str, ...]:
    known = values[np.isfinite(values)]
    missing = f"{1 - len(known) / max(len(values), 1):.1%}"
    return (missing, *(f"{value:.4g}" for value in np.quantile(known, (0, 0.5, 1)))) if len(known) else (missing,)


def _plain(pipeline: Pipeline) -> dict[str, object]:
    return {
        "pipeline": pipeline.id,
        "every_ms": pipeline.every_ms,
        "channels": [{"name": one.name, "unit": one.unit} for one in pipeline.channels],
        "features": [{"name": one.name, "kind": one.kind.value} for one in pipeline.features],
    }
