"""`driftline simulate`: fleets of gateways in one process, or the data that they would see."""

import csv
import math
import signal
import time
from pathlib import Path

import click

from driftline.cluster_options import on_a_cluster
from driftline.groups import Group
from driftline.settings import Settings
from edge_gateway import GatewayConfig, GatewayError, WatchConfig, WindowConfig
from edge_gateway.fleet import PlayedFleet, members
from sensing.simulator import WORLDS, Simulated, kinds_in, scripted_faults
from trust import read_keyring

__all__ = ["simulate"]

_KINDS = tuple(WORLDS)
_BEHIND_CLOCK_S = 3 * 3600.0


@click.group(cls=Group, invoke_without_command=True, epilog="Example: driftline simulate --devices 30 --duration 300")
@click.option("--devices", type=click.IntRange(1), help="How many gateways to play.")
@click.option("--fleet", "fleets", type=click.Choice(_KINDS), multiple=True, help="Kinds, in turn; all unless said.")
@click.option("--duration", type=click.FloatRange(min=0, min_open=True), metavar="S", help="End after S seconds.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Readings a second of each device; a machine closes a window of 60 every 60 / SPEED seconds.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed plays the same world.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Where the gateways keep their things.")
@click.option("--keyring", type=click.Path(dir_okay=False, path_type=Path), help="Keys that they trust.")
@on_a_cluster
@click.pass_context
def simulate(
    context: click.Context,
    settings: Settings,
    devices: int | None,
    fleets: tuple[str, ...],
    duration: float | None,
    speed: float,
    seed: int,
    data: Path | None,
    keyring: Path | None,
) -> None:
    """Play many gateways in one process, each with an identity, a spool and slots of its own.

    Devices that live faster than the clock begin in the past. They catch up with it at the end of the duration, or
    after three hours without one, and keep its pace from then on.
    """
    if context.invoked_subcommand is not None:
        return
    if devices is None:
        raise click.UsageError("how many? --devices N", context)
    folder = data or settings.data / "simulated"
    base = GatewayConfig(
        device_id="simulated",
        data=folder,
        keyring=keyring or settings.data / "keyring.json",
        windows=WindowConfig(length_s=60.0, lateness_s=1.0, checkpoint_s=30.0),
        watch=WatchConfig(bake_s=10.0),
    )
    # SIGTERM ends it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with PlayedFleet(
        settings.cluster(),
        members(devices, fleets or _KINDS),
        folder,
        read_keyring(base.keyring),
        base=base,
        speed=speed,
        seed=seed,
        now_ms=_now_ms,
        behind_clock_s=duration or _BEHIND_CLOCK_S,
    ) as fleet:
        try:
            click.echo(f"playing {devices} gateways in {folder}; Ctrl-C ends", err=True)
            fleet.run(duration or float("inf"))
        except KeyboardInterrupt:
            click.echo("ending", err=True)
    summary = fleet.summary
    decided = summary.readings_decided
    click.echo(f"decided {decided}, sent {summary.sent}, waiting {summary.waiting}, lost: {summary.lost}")


@simulate.command(name="data", epilog="Example: driftline simulate data --samples 5000 -o train.parquet")
@click.option("--samples", type=click.IntRange(1), default=5000, show_default=True, help="Readings of each device.")
@click.option("--fleet", type=click.Choice(_KINDS), default="machine", show_default=True, help="Kind of device.")
@click.option("--devices", type=click.IntRange(1), default=1, show_default=True, help="How many, side by side.")
@click.option("--faults", type=click.FloatRange(0, 0.9), default=0.1, show_default=True, help="Share in trouble.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same readings.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help=".parquet or .csv."
)
def data_(samples: int, fleet: str, devices: int, faults: float, seed: int, output: Path) -> None:
    """Write readings to a Parquet or CSV file; `label` is 1 in trouble and 0 otherwise, `fault` names the trouble."""
    columns = _columns(samples, fleet, devices, faults, seed)
    if output.suffix == ".parquet":
        _write_parquet(output, columns)
    elif output.suffix == ".csv":
        _write_csv(output, columns)
    else:
        raise GatewayError(f"{output} ends in {output.suffix or 'nothing'!r}; wanted: .parquet or .csv")
    rows = len(columns["at_ms"])
    troubled = sum(1 for fault in columns["fault"] if fault)
    click.echo(f"{output}: {rows} readings of {devices} {fleet} devices, {troubled} of them in trouble")


def _columns(samples: int, fleet: str, devices: int, faults: float, seed: int) -> dict[str, list[object]]:
    columns: dict[str, list[object]] = {"at_ms": [], "device_id": []}
    for device in range(devices):
        script = scripted_faults(fleet, samples, seed=seed * 1000 + device, share=faults) if faults else ()
        sensor = Simulated(fleet, device=device, stream=device, seed=seed, faults=script)
        readings = sensor.take(samples)
        columns["at_ms"] += readings.at_ms.tolist()
        columns["device_id"] += [f"{fleet}-{device:04d}"] * len(readings.at_ms)
        for place, name in enumerate(sensor.pipeline.channel_names):
            values = readings.values[:, place]
            columns.setdefault(name, []).extend(None if math.isnan(value) else value for value in values.tolist())
        columns.setdefault("label", []).extend(int(label > 0) for label in readings.labels)
        names = [" ".join(kind.value for kind in kinds_in(int(label))) for label in readings.labels]
        columns.setdefault("fault", []).extend(names)
    return columns


def _write_parquet(path: Path, columns: dict[str, list[object]]) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise GatewayError("writing Parquet needs pyarrow", hint="pip install 'driftline[gateway,parquet]'") from None
    parquet.write_table(pyarrow.table(columns), path)


def _write_csv(path: Path, columns: dict[str, list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
