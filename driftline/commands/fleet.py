"""`driftline fleet`: who is registered, how they are labelled, and how they fare."""

import json
import time
from typing import Any

import click

from driftline.asking import ask
from driftline.cluster_options import on_a_cluster
from driftline.groups import Group
from driftline.settings import Settings
from driftline.tables import plain_table
from driftline.tables import show as show_table
from driftline.why_option import WHY
from schemas import feeds
from schemas.errors import DriftlineError
from schemas.fleet import Device
from streams.rollouts.cohort import parse_cohort
from streams.rollouts.fleet import traits_of

__all__ = ["fleet"]

_DEVICE = click.argument("device_id", metavar="DEVICE")
_DONE = {
    "register done": "registered",
    "revoke done": "revoked",
    "label done": "labelled",
    "group done": "put into its groups",
}
_JSON = click.option("--json", "as_json", is_flag=True, help="For scripts.")


@click.group(cls=Group, epilog="Example: driftline fleet list --cohort 'region:us-east AND hw:rev2'")
def fleet() -> None:
    """Register, revoke, label and list devices."""


@fleet.command(name="list", epilog="Example: driftline fleet list --cohort 'firmware >= 2.4' --json")
@click.option("--cohort", default="all", help="Which, as plans say it.")
@_JSON
@on_a_cluster
def list_(settings: Settings, cohort: str, as_json: bool) -> None:
    """List devices."""
    chosen = parse_cohort(cohort)
    known = feeds.snapshot(settings.cluster(), "fleet.devices")
    devices = [device for _, device in sorted(known.items()) if chosen.takes(traits_of(device))]
    if as_json:
        click.echo(json.dumps([_plain(device) for device in devices], indent=2))
        return
    table = plain_table("DEVICE", "STATE", "MODEL", "SEEN", "LABELS", "GROUPS")
    for device in devices:
        labels = " ".join(f"{name}={value}" for name, value in sorted(device.labels.items()))
        seen, groups = _ago(device.last_seen_ms), ",".join(device.groups)
        table.add_row(device.device_id, device.state.value, device.model_id, seen, labels, groups)
    show_table(table)


@fleet.command(epilog="Example: driftline fleet show press-7")
@_DEVICE
@on_a_cluster
def show(settings: Settings, device_id: str) -> None:
    """Show one device, with its slots, as JSON."""
    device = feeds.snapshot(settings.cluster(), "fleet.devices").get(device_id)
    if device is None:
        raise DriftlineError(f"no device {device_id!r}", hint="`driftline fleet list` shows them")
    click.echo(json.dumps(_plain(device), indent=2))


@fleet.command(epilog="Example: driftline fleet register press-7 region=us-east hw=rev2")
@_DEVICE
@click.argument("labels", nargs=-1)
@WHY
@on_a_cluster
def register(settings: Settings, device_id: str, labels: tuple[str, ...], why: str) -> None:
    """Register a device, with labels if any; a revoked one takes part again."""
    _ask(settings, device_id, "register", why, _labels(labels))


@fleet.command(epilog="Example: driftline fleet revoke press-7 --why stolen")
@_DEVICE
@WHY
@on_a_cluster
def revoke(settings: Settings, device_id: str, why: str) -> None:
    """Take a device out: it is told nothing any more."""
    _ask(settings, device_id, "revoke", why, {})


@fleet.command(epilog="Example: driftline fleet label press-7 ring=canary site=")
@_DEVICE
@click.argument("labels", nargs=-1, required=True)
@WHY
@on_a_cluster
def label(settings: Settings, device_id: str, labels: tuple[str, ...], why: str) -> None:
    """Set labels; NAME= takes one away."""
    _ask(settings, device_id, "label", why, _labels(labels))


@fleet.command(epilog="Example: driftline fleet group press-7 lab night-shift")
@_DEVICE
@click.argument("groups", nargs=-1)
@WHY
@on_a_cluster
def group(settings: Settings, device_id: str, groups: tuple[str, ...], why: str) -> None:
    """Put a device into these groups, and no others."""
    _ask(settings, device_id, "group", why, {"groups": ",".join(groups)})


def _ask(settings: Settings, device_id: str, action: str, why: str, arguments: dict[str, str]) -> None:
    entry = ask(settings.cluster(), f"device/{device_id}", action, why=why, arguments=arguments)
    click.echo(f"{device_id}: {_DONE.get(entry.action, entry.action)}")


def _labels(said: tuple[str, ...]) -> dict[str, str]:
    labels = {}
    for text in said:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.UsageError(f"a label is NAME=VALUE, found {text!r}")
        labels[name] = value
    return labels


def _ago(at_ms: int) -> str:
    if not at_ms:
        return "never"
    seconds = max(0, time.time_ns() // 1_000_000 - at_ms) // 1_000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _plain(device: Device) -> dict[str, Any]:
    from schemas.record import as_plain

    return as_plain(device)
