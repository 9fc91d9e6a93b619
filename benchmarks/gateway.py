"""What a gateway takes and gives: latency, memory, start, spool, bytes on the wire, catch-up, API, a thousand at once.

    python -m benchmarks.gateway [--only latency] [--minutes 5] [--gateways 1000]

Models are trained by our own trainer on simulated fleets and served from signed bundles, as on a device. Readings are
simulated; every stage is the one that ships. The network parts run on an embedded stack.
"""

import asyncio
import contextlib
import functools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from random import Random

import click
import numpy as np
from aiohttp import ClientSession
from confluent_kafka import Producer
from rich.console import Console
from rich.table import Table

from benchmarks._gateway_bundles import Made, make_bundles
from driftline.stack import Stack
from edge_gateway import Gateway, GatewayConfig, SamplingConfig, SpoolConfig, UpdateConfig, WatchConfig, WindowConfig
from edge_gateway.api import Api
from edge_gateway.events import Accepted, BakePassed, Order
from edge_gateway.fleet import PlayedFleet, members
from edge_gateway.kafka_link import KafkaLink
from edge_gateway.spool import Lane, Spool, Write
from edge_gateway.uplink import Uplink
from schemas import feeds
from schemas.catalogue import topic_named
from schemas.cluster import Cluster
from schemas.parcel import Letter, Parcel, pack
from schemas.registry import Registry
from schemas.rollouts import AckPhase
from schemas.topics import create_missing
from schemas.wire import Contract
from sensing import Sketch, feature_stats, make_grid, run_batch
from sensing.simulator import Simulated
from sensing.sources.base import Readings
from trust import sign_record, write_keyring

PARTS = ("latency", "footprint", "spool", "bytes", "catch-up", "api", "fleet")
FLEETS = ("machine", "vibration", "weather")
ALGORITHMS = ("isolation_forest", "autoencoder")
# Readings that make one vector.
PER_VECTOR = {"machine": 1, "vibration": 256, "weather": 1}
# Between single samples, as no sensor of ours gives vectors any faster.
PAUSE_S = 0.002
# Of the fleet's machines, which give one reading a second and are played so many times as fast.
READINGS_A_WINDOW = 10
# Windows for the latency: a minute, and for hourly readings a day.
WINDOW_S = {"machine": 60.0, "vibration": 60.0, "weather": 86_400.0}


@click.command()
@click.option("--only", type=click.Choice(PARTS), multiple=True)
@click.option("--minutes", default=5.0, show_default=True, help="How long the fleet is played.")
@click.option("--gateways", default=1000, show_default=True)
@click.option("--pipeline", "fleets", type=click.Choice(FLEETS), multiple=True, help="All unless said.")
@click.option("--model", "algorithms", type=click.Choice(ALGORITHMS), multiple=True, help="All unless said.")
@click.option("--samples", default=5000, show_default=True, help="Single samples for each latency.")
def main(
    only: tuple[str, ...],
    minutes: float,
    gateways: int,
    fleets: tuple[str, ...],
    algorithms: tuple[str, ...],
    samples: int,
) -> None:
    """Measure the gateway."""
    chosen = only or PARTS
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as name:
        folder = Path(name)
        made = make_bundles(folder, fleets or FLEETS, algorithms or ALGORITHMS)
        if "latency" in chosen:
            show("Sample to decision, spool included", latency(folder, made, samples))
        if "footprint" in chosen:
            show("Start and memory, one model", footprint(folder, made))
        if "spool" in chosen:
            show("Spool, each commit on disk", spool(folder))
        if "api" in chosen:
            show("POST /predict on loopback, one server process", api(folder, made))
        if {"bytes", "catch-up", "fleet"} & set(chosen):
            with Stack.start() as stack:
                cluster = Cluster(bootstrap=stack.endpoints.bootstrap, registry_url=stack.endpoints.registry_url)
                create_missing(cluster)
                if "bytes" in chosen:
                    show("On the wire, from what was measured of live windows", wire(folder, made, cluster))
                if "catch-up" in chosen:
                    show("24 h offline, a window a minute", catch_up(folder, cluster))
                if "fleet" in chosen:
                    show(f"{gateways} gateways in one process", fleet(folder, made, cluster, gateways, minutes))


def show(title: str, rows: list[dict[str, str]]) -> None:
    table = Table(title=title, title_justify="left", box=None)
    for column in rows[0]:
        table.add_column(column, justify="left" if column in ("what", "pipeline", "model") else "right")
    for row in rows:
        table.add_row(*row.values())
    Console(width=140).print(table, "")


@contextlib.contextmanager
def serving(
    folder: Path, made: Made, config: GatewayConfig | None = None, *, as_run: bool = False
) -> Iterator[Gateway]:
    """A gateway with a model that serves, its bake taken as passed; `as_run` writes beside the loop, as in earnest."""
    config = config or GatewayConfig(
        device_id="bench", data=folder, keyring=folder / "k", updates=UpdateConfig(reserve_bytes=0)
    )
    with ThreadPoolExecutor(1) as executor, ThreadPoolExecutor(1) as writer:
        gateway = Gateway(
            config, made.keyring, executor=executor, rng=Random(1), now_ms=0, writer=writer if as_run else None
        )
        order = Order(
            revision=1,
            rollout_id="bench",
            model_id=made.model_id,
            sha256=made.sha256,
            size=made.path.stat().st_size,
            url=made.path.as_uri(),
        )
        gateway.happen(Accepted(order), 0)
        while gateway.serving is None:
            gateway.tick(0)
            if gateway.slots.installation.phase in (AckPhase.FAILED, AckPhase.REFUSED):
                raise click.ClickException(f"the model was not taken: {gateway.slots.installation}")
            time.sleep(0.01)
        gateway.happen(BakePassed(), 0)
        gateway.tick(0)
        yield gateway
        gateway.stop(0)


def latency(folder: Path, bundles: dict[tuple[str, str], Made], samples: int) -> list[dict[str, str]]:
    rows = []
    for (fleet_name, algorithm), made in bundles.items():
        home = folder / f"latency-{fleet_name}-{algorithm}"
        windows = WindowConfig(length_s=WINDOW_S[fleet_name], lateness_s=0.0)
        config = GatewayConfig(
            device_id="bench", data=home, keyring=home / "k", windows=windows, updates=UpdateConfig(reserve_bytes=0)
        )
        with serving(home, made, config, as_run=True) as gateway:
            sensor, per = Simulated(fleet_name, device=77), PER_VECTOR[fleet_name]
            warm = sensor.take(2048)
            gateway.take([Readings("s", warm.at_ms, warm.values)], 0)
            times, turns = [], []
            for _ in range(samples if per == 1 else samples // 10):
                reading = sensor.take(per)
                begun = time.perf_counter()
                gateway.take([Readings("s", reading.at_ms, reading.values)], 0)
                times.append((time.perf_counter() - begun) * 1000)
                gateway.tick(0)
                turns.append((time.perf_counter() - begun) * 1000)
                time.sleep(PAUSE_S)
            many = sensor.take(20_000 if per == 1 else 256_000)
            begun = time.perf_counter()
            for start in range(0, len(many.at_ms), 256):
                chosen = slice(start, start + 256)
                gateway.take([Readings("s", many.at_ms[chosen], many.values[chosen])], 0)
                gateway.tick(0)
            # Until the last window is on disk.
            gateway.settle(0)
            rate = len(many.at_ms) / (time.perf_counter() - begun)
        rows.append(
            {
                "pipeline": fleet_name,
                "model": algorithm,
                "readings a vector": str(per),
                "p50 ms": f"{statistics.median(times):.3f}",
                "p99 ms": f"{np.percentile(times, 99):.3f}",
                "p99 ms with all that follows": f"{np.percentile(turns, 99):.3f}",
                "readings/s in batches of 256": f"{rate:,.0f}",
            }
        )
    return rows


def footprint(folder: Path, bundles: dict[tuple[str, str], Made]) -> list[dict[str, str]]:
    rows = []
    for (fleet_name, algorithm), made in bundles.items():
        home = folder / f"footprint-{fleet_name}-{algorithm}"
        with serving(home, made):
            pass
        write_keyring(home / "keyring.json", made.keyring)
        command = [sys.executable, "-m", "benchmarks._gateway_start", str(home), fleet_name]
        begun = time.perf_counter()
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        rows.append(
            {
                "pipeline": fleet_name,
                "model": algorithm,
                "start to first decision s": f"{found['first_decision_at_s'] - begun:.2f}",
                "resident MiB": f"{found['resident_bytes'] / 2**20:.0f}",
                "with the network MiB": f"{found['online_bytes'] / 2**20:.0f}",
            }
        )
    return rows


def spool(folder: Path) -> list[dict[str, str]]:
    rows = []
    for together in (1, 10, 100):
        opened = Spool(folder / f"spool-{together}.db", SpoolConfig(max_bytes=2**30), now_ms=0)
        windows = _windows(together)
        rounds = max(200 // together, 20)
        begun = time.perf_counter()
        write_all = functools.partial(_put_all, windows)
        begun = time.perf_counter()
        for _ in range(rounds):
            opened.write(write_all, now_ms=0)
        rate = rounds * together / (time.perf_counter() - begun)
        depth = opened.depth()
        opened.close()
        rows.append(
            {
                "what": f"{together} windows a commit",
                "windows/s": f"{rate:,.0f}",
                "samples/s at 60 a window": f"{rate * 60:,.0f}",
                "bytes a window": f"{depth.bytes / depth.records:,.0f}",
            }
        )
    return rows


# Length of a window, of the span of change-only reporting, and how much of the device's time is played.
PLAYED = {"machine": (60, 300, 6 * 3_600), "vibration": (60, 300, 900), "weather": (3_600, 21_600, 30 * 86_400)}


def wire(folder: Path, bundles: dict[tuple[str, str], Made], cluster: Cluster) -> list[dict[str, str]]:
    """Play each pipeline live, every window sent by itself as it closes; heartbeats are not among it."""
    rows = []
    for fleet_name, (length_s, quiet_s, played_s) in PLAYED.items():
        made = bundles.get((fleet_name, "isolation_forest"))
        if made is None:
            continue
        for changes_only in (False, True):
            windows = WindowConfig(length_s=length_s, lateness_s=0.0, quiet_s=quiet_s if changes_only else 0.0)
            home = folder / f"wire-{fleet_name}-{changes_only}"
            records, to_kafka, to_bridge = _sent(home, made, fleet_name, windows, played_s, cluster)
            per_day = 86_400 / played_s
            rows.append(
                {
                    "pipeline": fleet_name,
                    "what": f"windows of {length_s} s"
                    + (f", changes only, {quiet_s} s at most" if changes_only else ""),
                    "records a day": f"{records * per_day:,.0f}",
                    "to Kafka kB a device-day": f"{to_kafka * per_day / 1000:,.0f}",
                    "to a bridge kB a device-day": f"{to_bridge * per_day / 1000:,.0f}",
                }
            )
    return rows


def _sent(
    home: Path, made: Made, fleet_name: str, windows: WindowConfig, played_s: int, cluster: Cluster
) -> tuple[int, int, int]:
    sent_bytes = [0]

    def note(text: str) -> None:
        sent_bytes[0] = json.loads(text)["tx_bytes"]

    config = GatewayConfig(
        device_id=f"bench-{home.name}", data=home, keyring=home / "k", windows=windows,
        updates=UpdateConfig(reserve_bytes=0),
    )  # fmt: skip
    link = KafkaLink(cluster, Registry(cluster), {"statistics.interval.ms": 100, "stats_cb": note})
    with serving(home, made, config) as gateway:
        uplink = Uplink(gateway.spool, link, source="bench", rng=Random(1))
        while not link.ready:
            time.sleep(0.01)
        _drain(uplink, link)
        link.poll(0.5)
        before, sent_before, parcels = sent_bytes[0], uplink.state.sent, 0
        sensor = Simulated(fleet_name, device=77)
        step = max(int(windows.length_s * 1000 / sensor.pipeline.every_ms), 1)
        for _ in range(int(played_s / windows.length_s)):
            readings = sensor.take(step)
            gateway.take([Readings("s", readings.at_ms, readings.values)], 0)
            parcels += _parcel_bytes(gateway.spool)
            _drain(uplink, link)
        link.poll(0.5)
        found = uplink.state.sent - sent_before, sent_bytes[0] - before, parcels
    link.close(1.0)
    return found


def _drain(uplink: Uplink, link: KafkaLink) -> None:
    while not (uplink.idle and uplink.empty):
        link.poll(0.005)
        uplink.pump(time.time_ns() // 1_000_000)


def _parcel_bytes(spool: Spool) -> int:
    """What the records that wait would weigh as a parcel, with what HTTP says about it in a kept connection."""
    letters = tuple(
        Letter(number=each.id, topic=each.topic, schema="0" * 64, body=each.body) for each in spool.live(0, 500)
    )
    if not letters:
        return 0
    parcel = Parcel(parcel_id=spool.boot_id, boot_id=spool.boot_id, letters=letters)
    return len(pack(parcel)) + 150


def catch_up(folder: Path, cluster: Cluster) -> list[dict[str, str]]:
    sent_bytes = [0]

    def note(text: str) -> None:
        sent_bytes[0] = json.loads(text)["tx_bytes"]

    link = KafkaLink(cluster, Registry(cluster), {"statistics.interval.ms": 200, "stats_cb": note})
    opened = Spool(folder / "catch-up.db", SpoolConfig(), now_ms=0)
    opened.write(functools.partial(_put_all, _windows(1440)), now_ms=0)
    uplink = Uplink(opened, link, source="bench", rng=Random(1))
    while not link.ready:
        time.sleep(0.01)
    time.sleep(0.5)
    begun = time.perf_counter()
    while not (uplink.idle and uplink.empty):
        link.poll(0.005)
        uplink.pump(time.time_ns() // 1_000_000)
    took = time.perf_counter() - begun
    link.poll(0.5)
    opened.close()
    link.close(1.0)
    return [
        {
            "what": "1,440 windows of 32 features",
            "seconds": f"{took:.2f}",
            "bytes on the wire": f"{sent_bytes[0]:,}",
            "bytes a window": f"{sent_bytes[0] / 1440:,.0f}",
        }
    ]


def api(folder: Path, bundles: dict[tuple[str, str], Made]) -> list[dict[str, str]]:
    rows = []
    made = bundles["machine", "isolation_forest"]
    with serving(folder / "api", made) as gateway:
        server = Api(gateway, now_ms=lambda: 0, port=0)
        server.start()
        sensor = Simulated("machine", device=5).take(64)
        vectors = gateway.take([Readings("s", sensor.at_ms, sensor.values)], 0)[0].matrix[32:]
        for size in (1, 16):
            body = json.dumps({"features": vectors[0].tolist() if size == 1 else vectors[:size].tolist()})
            # The askers take processor time as well: this is a floor.
            times, took = asyncio.run(_ask(server.port, body, requests=2_000, at_once=16))
            rows.append(
                {
                    "what": f"{size} a request, 16 connections, asked from the same process",
                    "requests/s": f"{len(times) / took:,.0f}",
                    "predictions/s": f"{size * len(times) / took:,.0f}",
                    "p99 ms": f"{np.percentile(times, 99) * 1000:.2f}",
                }
            )
        server.stop()
    return rows


async def _ask(port: int, body: str, *, requests: int, at_once: int) -> tuple[list[float], float]:
    times: list[float] = []

    async def asker(session: ClientSession) -> None:
        for _ in range(requests // at_once):
            begun = time.perf_counter()
            headers = {"Content-Type": "application/json"}
            async with session.post(f"http://127.0.0.1:{port}/predict", data=body, headers=headers) as response:
                assert response.status == 200
                await response.read()
            times.append(time.perf_counter() - begun)

    async with ClientSession() as session:
        begun = time.perf_counter()
        await asyncio.gather(*[asker(session) for _ in range(at_once)])
        return times, time.perf_counter() - begun


def fleet(
    folder: Path, bundles: dict[tuple[str, str], Made], cluster: Cluster, count: int, minutes: float
) -> list[dict[str, str]]:
    """One window a second each, of ten readings, after all of them have installed their model from the topic.

    A window is two records, features and health; single predictions are not sent.
    """
    devices = members(count, ["machine"])
    made = bundles["machine", "isolation_forest"]
    contract = Contract.connect(cluster)
    producer = Producer(cluster.producer_settings())
    for member in devices:
        command = sign_record(replace(made.command, device_id=member.device_id), [made.controller])
        key, value = contract.encode("rollouts.commands", command)
        producer.produce(cluster.named(topic_named("rollouts.commands").name), key=key, value=value)
    producer.flush(60)
    base = GatewayConfig(
        device_id="x",
        data=folder / "fleet",
        keyring=folder / "k",
        windows=WindowConfig(length_s=float(READINGS_A_WINDOW), lateness_s=0.0, checkpoint_s=60.0),
        watch=WatchConfig(bake_s=5.0),
        sampling=SamplingConfig(uniform_per_window=0, anomalies_per_window=0),
        updates=UpdateConfig(reserve_bytes=0),
    )
    played = PlayedFleet(
        cluster,
        devices,
        folder / "fleet",
        made.keyring,
        base=base,
        speed=READINGS_A_WINDOW,
        now_ms=lambda: time.time_ns() // 1_000_000,
    )
    try:
        started = time.perf_counter()
        while not all(each.slots.installation.active for each in played.gateways.values()):
            played.run(1.0)
        installed_s = time.perf_counter() - started
        decided_before = sum(each.decided for each in played.gateways.values())
        before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        played.run(minutes * 60)
        after, took = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - begun
        decided = sum(each.decided for each in played.gateways.values()) - decided_before
    finally:
        summary = played.close(drain_s=120.0)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    windows, missing = _windows_on_the_topic(cluster)
    return [
        {
            "what": f"{took:.0f} s, all serving after {installed_s:.0f} s",
            "windows/s": f"{decided / READINGS_A_WINDOW / took:,.0f}",
            "records sent": f"{summary.sent:,}",
            "windows on the topic": f"{windows:,}",
            "missing": str(missing),
            "waiting": str(summary.waiting),
            "lost": str(summary.lost),
            "cores": f"{cpu / took:.2f}",
            "peak MiB": f"{after.ru_maxrss / 1024:,.0f}",
        }
    ]


def _windows_on_the_topic(cluster: Cluster) -> tuple[int, int]:
    """How many windows there are, and how many numbers are missing among those of each device."""
    numbers: dict[str, set[int]] = {}
    with feeds.follow(cluster, "telemetry.feature-stats", from_ms=0) as feed:
        heard_s = time.monotonic()
        while time.monotonic() - heard_s < 5:
            for event in feed.poll(1.0):
                if isinstance(event, feeds.Changed) and event.value.device_id.startswith("machine-"):
                    heard_s = time.monotonic()
                    numbers.setdefault(event.value.device_id, set()).add(event.value.seq)
    windows = sum(map(len, numbers.values()))
    return windows, sum(max(each) + 1 for each in numbers.values()) - windows


def _put_all(windows: list[object], write: Write) -> None:
    for each in windows:
        write.put(Lane.WINDOWS, "telemetry.feature-stats", each, 0)


def _windows(count: int) -> list[object]:
    """Windows of the 32 features of a weather station, 60 samples each."""
    sensor = Simulated("weather")
    readings = sensor.take(2_000)
    vectors = run_batch(sensor.pipeline, readings.at_ms, readings.values)
    grid = make_grid(sensor.pipeline, vectors.matrix)
    made: list[object] = []
    for seq in range(count):
        sketch = Sketch(grid)
        first = seq % 1_900
        sketch.add(np.arange(60) * 1000, vectors.matrix[first : first + 60])
        made.append(
            feature_stats(
                sketch.flush()[0],
                device_id="bench-device",
                model_id="weather/1",
                pipeline=sensor.pipeline.id,
                grid_id=grid.grid_id,
                boot_id="0b5d2f0e-8f2f-4a3a-9a63-0f7f9f0c8f11",
                seq=seq,
            )
        )
    return made


if __name__ == "__main__":
    main()
