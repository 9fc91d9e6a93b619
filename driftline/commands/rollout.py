"""`driftline rollout`: plan, start, steer and watch rollouts."""

import json
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from driftline.asking import ask
from driftline.cluster_options import on_a_cluster
from driftline.groups import Group
from driftline.rollout_view import follow_rollout, shown_duration, shown_status
from driftline.settings import Settings
from driftline.tables import plain_table
from driftline.tables import show as show_table
from driftline.text_files import read_text_file
from driftline.why_option import WHY
from schemas import feeds
from schemas.cluster import Cluster
from schemas.errors import DriftlineError
from schemas.model_health import ModelHealth
from schemas.rollouts import RolloutStatus
from streams.rollouts.documents import load_document
from streams.rollouts.plan import Plan, parse_plan
from streams.rollouts.rehearsal import (
    USUAL_PER_DEVICE_HOUR,
    Foreseen,
    decisions_per_device_hour,
    foresee,
    power_of,
    rehearse,
)

__all__ = ["rollout"]

_FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_ID = click.argument("rollout_id", metavar="ID")
_JSON = click.option("--json", "as_json", is_flag=True, help="For scripts.")
# Long enough for devices that report once an hour; few enough windows to be read at once.
_RECENT_MS = 3 * 3_600_000
_ENOUGH_WINDOWS = 20_000


@click.group(
    cls=Group, epilog="Example: driftline rollout start bearings-14.toml && driftline rollout watch bearings-14"
)
def rollout() -> None:
    """Plan, start, steer and watch rollouts."""


@rollout.command(epilog="Example: driftline rollout plan bearings-14.toml --dry-run --history-h 168")
@_FILE
@click.option("--dry-run", is_flag=True, help="Say which devices each stage would take, and when.")
@click.option(
    "--history-h",
    type=click.FloatRange(min=0, min_open=True),
    metavar="HOURS",
    help="Rehearse over health, drift scores and alerts of so many hours.",
)
@click.option("--until", metavar="TIME", help="When these hours end; now unless said.")
@click.option("--devices", "named", is_flag=True, help="Name the devices.")
@on_a_cluster
def plan(
    settings: Settings, file: Path, dry_run: bool, history_h: float | None, until: str | None, named: bool
) -> None:
    """Check a plan; with --dry-run against the fleet as it is now."""
    checked = _read(file)
    click.echo(
        f"{checked.rollout_id}: {checked.model}, {checked.strategy}, {len(checked.stages)} stages; the plan is sound"
    )
    if dry_run or history_h is not None:
        _foresee(checked, settings, named)
    if history_h is not None:
        _rehearse(checked, settings, history_h, until)
    elif until is not None:
        raise click.UsageError("--until says when the hours of --history-h end, which is missing")


@rollout.command(epilog="Example: driftline rollout start bearings-14.toml --why 'fixes the false alarms'")
@_FILE
@WHY
@on_a_cluster
def start(settings: Settings, file: Path, why: str) -> None:
    """Hand a plan to the controller."""
    checked = _read(file)
    entry = ask(
        settings.cluster(),
        f"rollout/{checked.rollout_id}",
        "start",
        why=why,
        arguments={"document": checked.document},
        hint="`driftline models list` names the releases, `driftline rollout list` the rollouts that are there",
    )
    click.echo(f"{checked.rollout_id}: {entry.action}")


@rollout.command(name="list", epilog="Example: driftline rollout list --json")
@_JSON
@on_a_cluster
def list_(settings: Settings, as_json: bool) -> None:
    """List all rollouts, the latest change first."""
    statuses = sorted(
        feeds.snapshot(settings.cluster(), "rollouts.status").values(), key=lambda status: -status.changed_ms
    )
    if as_json:
        click.echo(json.dumps([_plain(status) for status in statuses], indent=2))
        return
    table = plain_table("ROLLOUT", "MODEL", "PHASE", "STAGE", "DEVICES", "WHY")
    for status in statuses:
        devices = ", ".join(f"{count} {state}" for state, count in sorted(status.devices.items()))
        stage = f"{status.stage + 1}/{status.stages}"
        table.add_row(status.rollout_id, status.model_id, status.phase.value, stage, devices, status.reason)
    show_table(table)


@rollout.command(epilog="Example: driftline rollout show bearings-14")
@_ID
@_JSON
@on_a_cluster
def show(settings: Settings, rollout_id: str, as_json: bool) -> None:
    """Show one rollout with its gates."""
    status = feeds.snapshot(settings.cluster(), "rollouts.status").get(rollout_id)
    if status is None:
        raise DriftlineError(f"no rollout {rollout_id!r}", hint="`driftline rollout list` shows them")
    if as_json:
        click.echo(json.dumps(_plain(status), indent=2))
    else:
        Console().print(shown_status(status))


@rollout.command(epilog="Example: driftline rollout watch bearings-14")
@_ID
@on_a_cluster
def watch(settings: Settings, rollout_id: str) -> None:
    """Show live how a rollout goes, until it is settled; exits 1 unless it succeeded."""
    status = follow_rollout(settings.cluster(), rollout_id, Console())
    raise SystemExit(0 if status.phase.value == "succeeded" else 1)


@rollout.command(epilog="Example: driftline rollout promote bearings-14 --full --why 'the fix is urgent'")
@_ID
@click.option("--full", is_flag=True, help="To everybody, unwatched.")
@WHY
@on_a_cluster
def promote(settings: Settings, rollout_id: str, full: bool, why: str) -> None:
    """Send a rollout to its next stage without waiting for the gates."""
    _ask(settings, rollout_id, "promote", why, {"full": str(full).lower()})


@rollout.command(epilog="Example: driftline rollout abort bearings-14 --leave --why 'superseded by hand'")
@_ID
@click.option("--leave", is_flag=True, help="Leave devices with what they have.")
@WHY
@on_a_cluster
def abort(settings: Settings, rollout_id: str, leave: bool, why: str) -> None:
    """Stop a rollout; devices that were reached go back."""
    _ask(settings, rollout_id, "abort", why, {"rollback": str(not leave).lower()})


@rollout.command(epilog="Example: driftline rollout lift bearings-14 --trait hw=rev2 --why 'its firmware was mended'")
@_ID
@click.option("--trait", required=True, help="What the devices share, as `rollout show` names it.")
@WHY
@on_a_cluster
def lift(settings: Settings, rollout_id: str, trait: str, why: str) -> None:
    """Let a class of devices back in that was set apart for its failures; it is not set apart again."""
    _ask(settings, rollout_id, "lift", why, {"trait": trait})


def _control(action: str, about: str) -> None:
    @rollout.command(name=action, help=about, epilog=f"Example: driftline rollout {action} bearings-14 --why reason")
    @_ID
    @WHY
    @on_a_cluster
    def control(settings: Settings, rollout_id: str, why: str) -> None:
        _ask(settings, rollout_id, action, why, {})


_control("pause", "Command nobody new until it is resumed.")
_control("resume", "Go on; gates that it paused for as inconclusive are accepted for this stage.")
_control("skip-bake", "End the present bake; gates still count.")
_control("approve", "Let a stage that waits for approval go on.")
_control("cancel", "Give up a rollout that has not begun.")
_control("retry", "Try failed devices again, or begin an aborted rollout anew.")


def _ask(settings: Settings, rollout_id: str, action: str, why: str, arguments: dict[str, str]) -> None:
    hint = f"`driftline rollout show {rollout_id}` says how it stands, and who is set apart"
    entry = ask(settings.cluster(), f"rollout/{rollout_id}", action, why=why, arguments=arguments, hint=hint)
    click.echo(f"{rollout_id}: {entry.action}")


def _read(file: Path) -> Plan:
    return parse_plan(load_document(read_text_file(file), kind=file.suffix.lstrip(".").lower()))


def _foresee(checked: Plan, settings: Settings, named: bool) -> None:
    cluster = settings.cluster()
    devices = list(feeds.snapshot(cluster, "fleet.devices").values())
    release = feeds.snapshot(cluster, "models.releases").get(checked.model)
    if release is None:
        click.echo(f"note: no release {checked.model} is known yet")
    table = plain_table("STAGE", "DEVICES", "OFFLINE", "BEGINS", "ENDS")
    stages = foresee(checked, devices, release, now_ms=time.time_ns() // 1_000_000)
    for stage in stages:
        shown = ", ".join(stage.devices) if named else str(len(stage.devices))
        table.add_row(
            stage.stage,
            shown,
            str(stage.offline),
            f"+{shown_duration(stage.begins_s)}",
            f"+{shown_duration(stage.ends_s)}",
        )
    show_table(table)
    if windows := {stage.window for stage in checked.stages if stage.window}:
        click.echo(f"beside that, each device waits for its maintenance window, {' or '.join(sorted(windows))}")
    if checked.gates:
        _tell_power(checked, cluster, stages)


def _tell_power(checked: Plan, cluster: Cluster, stages: list[Foreseen]) -> None:
    """Say what the gates can see, at the rate at which these devices decide."""
    taken = {device_id for stage in stages for device_id in stage.devices}
    measured = decisions_per_device_hour(_recent_health(cluster, taken))
    per_hour = USUAL_PER_DEVICE_HOUR if measured is None else measured
    later = sum(len(stage.devices) for stage in stages[1:])
    told = [
        said
        for name, gate in checked.gates.items()
        if (said := power_of(name, gate, control_devices=later, per_device_hour=per_hour))
    ]
    if told:
        source = "as they reported of late" if measured is not None else "assumed: none of them has reported of late"
        click.echo("\n".join([f"at {per_hour:,.0f} decisions a device-hour, {source}:", *told]))


def _recent_health(cluster: Cluster, device_ids: set[str]) -> list[ModelHealth]:
    from_ms = time.time_ns() // 1_000_000 - _RECENT_MS
    found: list[ModelHealth] = []
    with feeds.follow(cluster, "telemetry.model-health", from_ms=from_ms, until_current=True) as log:
        for event in log:
            if isinstance(event, feeds.Changed) and event.value.device_id in device_ids:
                found.append(event.value)
            if len(found) == _ENOUGH_WINDOWS:
                break
    return found


def _rehearse(checked: Plan, settings: Settings, history_h: float, until: str | None) -> None:
    from streams.backtest.history import ClusterHistory
    from streams.backtest.rollout_past import seen_in
    from streams.backtest.span import Span, moment_ms

    end_ms = time.time_ns() // 1_000_000 if until is None else moment_ms(until, name="--until")
    span = Span(max(0, end_ms - int(history_h * 3_600_000)), end_ms)
    cluster = settings.cluster()
    devices = list(feeds.snapshot(cluster, "fleet.devices").values())
    release = feeds.snapshot(cluster, "models.releases").get(checked.model)
    history = ClusterHistory(cluster, cache_dir=settings.cache)
    click.echo(f"rehearsed over {span}:")
    seen = seen_in(history, span, alerts_from_ms=0)
    steps = list(rehearse(checked, devices, release, seen, begin_ms=span.from_ms))
    if not steps:
        click.echo("  nothing was recorded then")
    for step in steps:
        gates = "; ".join(f"{gate.gate} {gate.verdict.value}" for gate in step.gates)
        at_s = (step.at_ms - span.from_ms) / 1_000
        click.echo(f"  +{shown_duration(at_s)}  stage {step.stage + 1} {step.phase.value}: {step.reason}  {gates}")
    for trouble in history.troubles:
        click.echo(f"left out: {trouble}", err=True)


def _plain(status: RolloutStatus) -> dict[str, Any]:
    return {
        "rollout_id": status.rollout_id,
        "model_id": status.model_id,
        "phase": status.phase.value,
        "stage": status.stage,
        "stages": status.stages,
        "reason": status.reason,
        "changed_ms": status.changed_ms,
        "devices": dict(status.devices),
        "gates": [{"gate": gate.gate, "verdict": gate.verdict.value, "reason": gate.reason} for gate in status.gates],
    }
