"""`driftline drift summary`: the story of one device."""

from pathlib import Path

import click

from driftline.cluster_options import on_a_cluster
from driftline.device_story import DeviceStory, FeatureStory, story_of
from driftline.settings import Settings
from driftline.story_page import story_page
from driftline.tables import plain_table, show
from driftline.times import utc

__all__ = ["summary"]

_SPARKS = "▁▂▃▄▅▆▇█"
_WIDTH, _MOST_FEATURES = 48, 12


@click.command(epilog="Example: driftline drift summary press-7 --days 7 -o press-7.html")
@click.argument("device_id", metavar="DEVICE")
@click.option(
    "--days", type=click.FloatRange(min=0, min_open=True), default=7.0, show_default=True, help="How far back."
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with plots, HTML, here."
)
@on_a_cluster
def summary(settings: Settings, device_id: str, days: float, output: Path | None) -> None:
    """Tell how far a device has drifted, what was alerted, and how its model fared."""
    story = story_of(settings.cluster(), device_id, days=days)
    if output is not None:
        output.write_text(story_page(story), encoding="utf-8")
        click.echo(f"wrote {output}")
        return
    _print(story, days)


def _print(story: DeviceStory, days: float) -> None:
    device = story.device
    model = f", runs {device.model_id or 'nothing'}, {device.state.value}" if device else ""
    click.echo(f"{story.device_id}{model}: {story.windows} windows told of in {days:g} days")
    if story.features:
        table = plain_table("FEATURE", "WORST", "HIGHEST PSI", "OVER TIME")
        for feature in story.features[:_MOST_FEATURES]:
            worst = feature.worst.replace("_", " ")
            table.add_row(feature.name, worst, f"{feature.highest:.3g}", _spark(feature))
        show(table)
    if story.alerts:
        table = plain_table("SINCE", "STATE", "SEVERITY", "ALERT")
        for alert in story.alerts:
            table.add_row(utc(alert.opened_ms), alert.state.value, alert.severity.value, alert.alert_id)
        show(table)
    else:
        click.echo("no alerts")


def _spark(feature: FeatureStory) -> str:
    """Draw a score over time in one line; the highest of each stretch counts."""
    if not feature.psi:
        return ""
    first, last = feature.psi[0][0], feature.psi[-1][0]
    columns: dict[int, float] = {}
    for at_ms, value in feature.psi:
        column = (at_ms - first) * (_WIDTH - 1) // max(last - first, 1)
        columns[column] = max(value, columns.get(column, 0.0))
    top = max(feature.highest, 0.3)
    steps = len(_SPARKS) - 1
    return "".join(
        _SPARKS[round(columns[place] / top * steps)] if place in columns else " " for place in range(_WIDTH)
    )  # fmt: skip
