"""`driftline topics`: the catalogue, and how a cluster compares with it."""

import json
import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from driftline.cluster_options import on_a_cluster
from driftline.groups import Group
from driftline.settings import Settings
from schemas.asyncapi import document
from schemas.catalogue import CATALOGUE, Topic
from schemas.topics import Comparison, check, create_missing

__all__ = ["topics"]

_DAY_MS = 86_400_000
# `click.exceptions.Exit` would do as well; a difference is an answer, not an error.
DIFFERENT = 1


@click.group(cls=Group, invoke_without_command=True, epilog="Example: driftline topics create --prefix plant7-")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_context
def topics(context: click.Context, as_json: bool) -> None:
    """Show every topic, with its key, how it is kept, and who writes it."""
    if context.invoked_subcommand is not None:
        return
    if as_json:
        click.echo(json.dumps([_plain(topic) for topic in CATALOGUE.values()], indent=2))
        return
    _wide_console().print(_table())


@topics.command(epilog="Example: driftline topics create --bootstrap kafka-1:9092")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@on_a_cluster
def create(settings: Settings, as_json: bool) -> None:
    """Make the topics that are missing; report, and never change, what differs."""
    made, before = create_missing(settings.cluster())
    if as_json:
        click.echo(json.dumps({"created": made, **_told(before), "missing": []}, indent=2))
    else:
        for name in made:
            click.echo(f"created {name}")
        click.echo(f"{len(made)} created, {len(before.present)} were there, {_differ(before)}")
        _report(before, missing=False)
    sys.exit(DIFFERENT if before.differences else 0)


@topics.command(name="check", epilog="Example: driftline topics check && echo as declared")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@on_a_cluster
def check_(settings: Settings, as_json: bool) -> None:
    """Compare the cluster with the catalogue; exit 1 on a difference."""
    comparison = check(settings.cluster())
    if as_json:
        click.echo(json.dumps(_told(comparison), indent=2))
    else:
        click.echo(
            f"{len(comparison.present)} topics are there, {len(comparison.missing)} missing, {_differ(comparison)}"
        )
        _report(comparison, missing=True)
    sys.exit(0 if comparison.clean else DIFFERENT)


@topics.command(epilog="Example: driftline topics asyncapi > asyncapi.json")
def asyncapi() -> None:
    """Print the AsyncAPI 3 document of all topics."""
    click.echo(json.dumps(document(), indent=2, ensure_ascii=False))


def _report(comparison: Comparison, *, missing: bool) -> None:
    for name in comparison.missing if missing else ():
        click.echo(f"missing: {name}")
    for difference in comparison.differences:
        click.echo(f"differs: {difference}")
    if missing and comparison.missing:
        click.echo("hint: `driftline topics create` makes what is missing", err=True)
    if any(difference.setting not in ("partitions", "replicas") for difference in comparison.differences):
        click.echo("hint: settings are changed with kafka-configs.sh, by whoever runs the cluster", err=True)


def _differ(comparison: Comparison) -> str:
    topics_that_differ = {difference.topic for difference in comparison.differences}
    return f"{len(topics_that_differ)} differ from the catalogue"


def _told(comparison: Comparison) -> dict[str, Any]:
    return {
        "present": comparison.present,
        "missing": comparison.missing,
        "differences": [
            {"topic": each.topic, "setting": each.setting, "found": each.found, "wanted": each.wanted}
            for each in comparison.differences
        ],
    }


def _plain(topic: Topic) -> dict[str, Any]:
    return {
        "name": topic.name,
        "key": "/".join(topic.key),
        "partitions": topic.partitions,
        "placement": topic.placement.value,
        "cleanup": topic.cleanup.value,
        "retention_ms": topic.retention_ms,
        "record": topic.record.__name__,
        "writer": topic.writer,
        "about": topic.about,
        "settings": topic.settings(),
    }


def _table() -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("TOPIC", "KEY", "PARTITIONS", "KEPT", "RECORD", "WRITER"):
        table.add_column(heading, justify="right" if heading == "PARTITIONS" else "left")
    for topic in CATALOGUE.values():
        table.add_row(
            topic.name, "/".join(topic.key), str(topic.partitions), _kept(topic), topic.record.__name__, topic.writer
        )
    return table


def _kept(topic: Topic) -> str:
    if topic.cleanup.value == "compact":
        return "latest of each key"
    return "for ever" if topic.retention_ms is None else f"{topic.retention_ms / _DAY_MS:g} d"


def _wide_console() -> Console:
    # Into a pipe, a row stays a line.
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=200)
