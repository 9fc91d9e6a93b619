"""`driftline gateway`: run one, look into it, and tell it what to do."""

import getpass
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from random import Random
from typing import Any

import click

from driftline.cluster_options import on_a_cluster
from driftline.findings_view import tell_and_exit
from driftline.groups import Group
from driftline.settings import Settings
from driftline.typed_values import Given
from edge_gateway import ConfigError, GatewayConfig, GatewayError, Station, online, open_source, run_together
from edge_gateway.doctor import examine
from edge_gateway.installation import SLOTS
from edge_gateway.lock import is_running
from edge_gateway.logs import log_to
from edge_gateway.selftest import check_fits, probe
from edge_gateway.slots import Slots
from edge_gateway.spool import look_into
from edge_gateway.trusted import Trusted
from edge_gateway.wishes import Wish, apply_wish, leave
from trust.sealed import load_device_key, make_device_key, public_text

__all__ = ["gateway"]

_TAKEN_UP_WITHIN_S = 5.0


@click.group(cls=Group, epilog="Example: driftline gateway run --device-id press-7 --duration 60")
def gateway() -> None:
    """Run a gateway, look into it, and tell it what to do."""


def of_a_gateway(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --device-id and --data; it receives `config` and `settings`."""

    @wraps(command)
    def with_config(*args: Any, settings: Settings, device_id: str | None, data: str | None, **kwargs: Any) -> Any:
        return command(*args, settings=settings, config=gateway_config(settings, device_id, data), **kwargs)

    made: Callable[..., Any] = on_a_cluster(with_config)
    made = click.option("--data", type=click.Path(file_okay=False), help="The gateway's folder.")(made)
    return click.option("--device-id", metavar="ID", help="Which gateway; gateway.device_id otherwise.")(made)


def gateway_config(settings: Settings, device_id: str | None, data: str | None) -> GatewayConfig:
    """Read the settings of one gateway; what is not said gets its place below the data folder."""
    given = dict(settings.rooms.get("gateway", {}))
    variables = settings.variables
    if device_id:
        given["device_id"] = Given(device_id, "option --device-id")
    if data:
        given["data"] = Given(data, "option --data")
    name = given.get("device_id") or variables.get("gateway_device_id")
    if name is None:
        raise GatewayError(
            "gateway.device_id is not set, wanted the name of the device",
            hint="--device-id or DRIFTLINE_GATEWAY_DEVICE_ID gives it, or device_id in the [gateway] of driftline.toml",
        )
    if "data" not in given and "gateway_data" not in variables:
        given["data"] = Given(str(settings.data / "gateways" / str(name.value)), "default")
    if "keyring" not in given and "gateway_keyring" not in variables:
        given["keyring"] = Given(str(settings.data / "keyring.json"), "default")
    return replace(settings, rooms={**settings.rooms, "gateway": given}).section("gateway", GatewayConfig)


@gateway.command(name="run", epilog="Example: driftline gateway run --device-id press-7 --duration 60 --offline")
@click.option("--duration", type=click.FloatRange(min=0, min_open=True), metavar="S", help="End after S seconds.")
@click.option("--sync-interval", type=click.FloatRange(min=0), metavar="S", help="Send every S seconds, in one go.")
@click.option("--offline", is_flag=True, help="Work without a network; what is made waits in the spool.")
@click.option(
    "--also",
    "others",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings of one more gateway of this box, for another model, in the same process; repeatable.",
)
@of_a_gateway
def run_(
    settings: Settings,
    config: GatewayConfig,
    duration: float | None,
    sync_interval: float | None,
    offline: bool,
    others: tuple[Path, ...],
) -> None:
    """Sense, decide, summarise and obey, until SIGINT or SIGTERM."""
    log_to(sys.stderr, config.logs)
    configs = [config, *(gateway_config(settings.with_room_of(path, "gateway"), None, None) for path in others)]
    if sync_interval is not None:
        configs = [replace(each, sync_interval_s=sync_interval) for each in configs]
    if offline:
        click.echo("offline: buffering all that is made", err=True)
    connect = None if offline else lambda each: online(each, settings.cluster(), rng=Random())
    stations = [Station(each, open_source(each.source, os.environ)) for each in configs]
    summaries = run_together(stations, connect, duration_s=duration)
    for each, summary in zip(configs, summaries, strict=True):
        click.echo(
            f"{f'{each.device_id}: ' if others else ''}decided {summary.readings_decided}, "
            f"discarded {summary.readings_discarded}, refused {summary.readings_refused}, "
            f"late {summary.readings_late}, sent {summary.sent}, waiting {summary.waiting}, "
            f"lost: {summary.lost}"
        )


@gateway.command(epilog="Example: driftline gateway slots --device-id press-7")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@of_a_gateway
def slots(settings: Settings, config: GatewayConfig, as_json: bool) -> None:
    """Show what is installed, and what serves."""
    del settings
    installation = Slots(config.data).installation
    rows = [
        {
            "slot": name,
            "model": installation.slots[name].model_id,
            "state": installation.slots[name].state.value,
            "active": name == installation.active,
        }
        for name in SLOTS
    ]
    if as_json:
        order = installation.order
        said = {"slots": rows, "safe_mode": installation.safe_mode.value, "revision": order.revision if order else 0}
        click.echo(json.dumps(said | {"phase": installation.phase.value, "reason": installation.reason}, indent=2))
        return
    click.echo(f"{'SLOT':6}{'MODEL':24}{'STATE':12}SERVES")
    for row in rows:
        click.echo(f"{row['slot']:6}{row['model'] or '-':24}{row['state']:12}{'yes' if row['active'] else ''}".rstrip())
    if installation.safe_mode:
        click.echo(f"safe mode ({installation.safe_mode.value}): the rules decide")
    if installation.order is not None:
        reason = f" ({installation.reason})" if installation.reason else ""
        click.echo(f"revision {installation.order.revision}: {installation.phase.value}{reason}")


@gateway.command(epilog="Example: driftline gateway spool --json")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@of_a_gateway
def spool(settings: Settings, config: GatewayConfig, as_json: bool) -> None:
    """Show what waits to be sent."""
    del settings
    depth, by_topic = look_into(config.data / "spool.db")
    if as_json:
        said = {"records": depth.records, "bytes": depth.bytes, "dropped": depth.dropped, "topics": by_topic}
        click.echo(json.dumps(said | {"oldest_ms": depth.oldest_ms}, indent=2))
        return
    for topic, count in by_topic.items():
        click.echo(f"{count:8}  {topic}")
    age = "" if depth.oldest_ms is None else f", the oldest for {max(_now_ms() - depth.oldest_ms, 0) / 1000:.0f} s"
    click.echo(f"{depth.records} records wait, {depth.bytes} bytes{age}; {depth.dropped} were given up so far")


@gateway.command(epilog="Example: driftline gateway apply ./m9.bundle --device-id press-7")
@click.argument("bundle", type=click.Path(dir_okay=False, path_type=Path))
@of_a_gateway
def apply(settings: Settings, config: GatewayConfig, bundle: Path) -> None:
    """Install a bundle by hand; it must be signed, and is baked like any other."""
    del settings
    opened = Trusted.of(config).read(bundle)
    check_fits(opened, None)
    _wish(config, apply_wish(opened, bundle, _who()), f"{opened.manifest.model_id} is being installed")


@gateway.command(epilog="Example: driftline gateway rollback --device-id press-7")
@of_a_gateway
def rollback(settings: Settings, config: GatewayConfig) -> None:
    """Go back to the model before, at once."""
    del settings
    installation = Slots(config.data).installation
    if not installation.fallback:
        raise GatewayError(
            f"there is nothing to go back to: {installation.model_id or 'no model'} serves, no other slot is stable",
            hint="`driftline gateway slots` shows the slots; `driftline gateway safe-mode on` lets the rules decide",
        )
    before = installation.slots[installation.fallback].model_id
    _wish(config, Wish(what="rollback", who=_who()), f"back to {before}")


@gateway.command(name="safe-mode", epilog="Example: driftline gateway safe-mode on --device-id press-7")
@click.argument("state", type=click.Choice(["on", "off"]))
@of_a_gateway
def safe_mode(settings: Settings, config: GatewayConfig, state: str) -> None:
    """Let the rules decide instead of the model, or the model again."""
    del settings
    _wish(config, Wish(what=f"safe-mode {state}", who=_who()), f"safe mode is {state}")


@gateway.command(epilog="Example: driftline gateway verify ./m9.bundle")
@click.argument("bundle", type=click.Path(dir_okay=False, path_type=Path))
@of_a_gateway
def verify(settings: Settings, config: GatewayConfig, bundle: Path) -> None:
    """Say whether this gateway would take a bundle: signature, digests, pipeline, self-test."""
    del settings
    opened = Trusted.of(config).read(bundle)
    check_fits(opened, None)
    probed = probe(opened, threads=config.inference.threads)
    click.echo(
        f"{opened.manifest.model_id} ({opened.sha256:.12}, {opened.size} bytes) is signed, whole, and passes its "
        f"self-test: loaded in {probed.load_s:.3f} s, {probed.latency_p99_ms:.3f} ms an inference (p99)"
    )


@gateway.command(epilog="Example: driftline gateway doctor --device-id press-7")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@of_a_gateway
def doctor(settings: Settings, config: GatewayConfig, as_json: bool) -> None:
    """Say what is wrong, and what to do; exit 1 if anything is."""
    tell_and_exit(examine(config, settings.cluster(), now_ms=_now_ms()), as_json=as_json)


@gateway.command(epilog="Example: driftline gateway key --device-id press-7")
@of_a_gateway
def key(settings: Settings, config: GatewayConfig) -> None:
    """Make the device's own key, if it has none, and print what bundles are encrypted to."""
    del settings
    path = config.updates.device_key
    if path is None:
        raise ConfigError("updates.device_key", None, "a file for the device's key")
    click.echo(public_text(load_device_key(path).public_key()) if path.exists() else make_device_key(path))


def _wish(config: GatewayConfig, wish: Wish, done: str) -> None:
    path = leave(config.data, wish)
    if not is_running(config.data):
        click.echo("the gateway does not run; it does so at its next start")
        return
    deadline_s = time.monotonic() + _TAKEN_UP_WITHIN_S
    while path.exists():
        if time.monotonic() > deadline_s:
            raise GatewayError("the gateway runs but has not taken it up", hint="see its log; the wish stays for it")
        time.sleep(0.1)
    click.echo(done)


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
