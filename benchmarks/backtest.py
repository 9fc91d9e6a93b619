"""How fast backtests are: `python -m benchmarks.backtest` (about 6 minutes; `--quick` for a look).

A fleet of 100 devices with 32 features on 16 bins, a window a minute, is written to an archive; one device in fifty
drifts at any time. The archive is replayed under 1, 10 and 100 policies; then over 30 days (4.3 million
device-windows) in two processes, with the memory that all processes took. `--part kafka` replays from a cluster
(--stack FOLDER names one that is up). Beside it stands the same judgement by SciPy from raw samples: two-sample
Kolmogorov-Smirnov of each feature against the reference, extrapolated from a sample whose size is told.
"""

import argparse
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import NormalDist

import numpy as np
from scipy import stats

from schemas.canonical import with_content_id
from schemas.catalogue import topic_named
from schemas.grid import Baseline, FeatureBaseline, FeatureGrid, FeatureKind, Grid
from schemas.partition import partition_of
from schemas.record import as_plain
from streams.backtest.candidate import Candidate
from streams.backtest.exporting import import_file
from streams.backtest.grid import grid_of
from streams.backtest.history import ClusterHistory, Entry, FileHistory, History
from streams.backtest.history.parquet_file import ParquetWriter
from streams.backtest.running import Plan, run

FEATURES, BINS, SAMPLES = 32, 16, 600
MINUTE_MS, DAY_MINUTES = 60_000, 1440
START_MS = 1_767_225_600_000
PARTITIONS, ROWS = 12, 2048
EDGES = tuple(NormalDist().inv_cdf(share / BINS) for share in range(1, BINS))
# A window in so many drifts, in one feature, for hours at a time.
ONE_IN, DRIFT_MINUTES, SHIFT = 50, 180, 0.8


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--part", choices=("policies", "month", "kafka", "scipy", "all"), default="all")
    parser.add_argument("--quick", action="store_true", help="a tenth of it, to see that it runs")
    parser.add_argument("--stack", type=Path, help="data folder of a stack that is up, for --part kafka")
    parser.add_argument("--keep", type=Path, help="keep archives here, and use those that are there")
    chosen = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    folder = chosen.keep or Path(tempfile.mkdtemp(prefix="driftline-backtest-"))
    scale = 0.1 if chosen.quick else 1.0
    try:
        if chosen.part in ("policies", "all"):
            policies(archive(folder, days=max(1, round(3 * scale))))
        if chosen.part in ("month", "all"):
            month(archive(folder, days=max(1, round(30 * scale))))
        if chosen.part == "kafka" or (chosen.part == "all" and chosen.stack is not None):
            kafka(archive(folder, days=1), chosen.stack)
        if chosen.part in ("scipy", "all"):
            by_scipy()
    finally:
        if chosen.keep is None:
            shutil.rmtree(folder)


def policies(path: Path) -> None:
    """Print the time that 1, 10 and 100 policies take in one process."""
    history = FileHistory(path)
    windows = history.extent("telemetry.feature-stats").records
    print(f"\nArchive of {windows:,} device-windows, one process\n")
    print(f"{'policies':>8}{'seconds':>10}{'windows/s':>12}{'times one':>11}{'alerts':>9}")
    alone_s = 0.0
    # Once before it counts: loops are compiled, and files are in the page cache.
    run(history, Plan(candidates=many(1)))
    for count in (1, 10, 100):
        took_s, alerts = timed(history, Plan(candidates=many(count)))
        alone_s = alone_s or took_s
        print(f"{count:>8}{took_s:>10.1f}{windows / took_s:>12,.0f}{took_s / alone_s:>11.2f}{alerts:>9,}", flush=True)


def month(path: Path) -> None:
    """Print the time and memory of a whole month in two processes."""
    history = FileHistory(path)
    windows = history.extent("telemetry.feature-stats").records
    took_s, alerts = timed(history, Plan(candidates=many(1), processes=2))
    own, children = (
        resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(
        f"\n{windows:,} device-windows in two processes: {took_s:.1f} s, {windows / took_s:,.0f}/s, {alerts} alerts; "
        f"at most {own:.0f} MB in the parent and {children:.0f} MB in a child"
    )


def kafka(path: Path, stack: Path | None) -> None:
    """Print the time from a cluster, one process."""
    from driftline.stack import Stack
    from schemas.cluster import Cluster
    from schemas.topics import create_missing

    running = Stack.join(stack) if stack is not None else Stack.start()
    ends = running.endpoints
    cluster = Cluster(bootstrap=ends.bootstrap, registry_url=ends.registry_url, prefix=f"bench-{os.getpid()}-")
    create_missing(cluster)
    import_file(cluster, path)
    history = ClusterHistory(cluster)
    windows = history.extent("telemetry.feature-stats").records
    print(f"\nKafka, {windows:,} device-windows, one process\n")
    for count in (1, 10, 100):
        took_s, alerts = timed(history, Plan(candidates=many(count)))
        print(f"{count:>8}{took_s:>10.1f} s{windows / took_s:>12,.0f}/s{alerts:>9,}", flush=True)
    from confluent_kafka.admin import AdminClient

    admin = AdminClient(cluster.client_settings())
    for deleted in admin.delete_topics([cluster.named(name) for name in history.topics()]).values():
        deleted.result(30)
    if stack is None:
        running.stop()


def by_scipy(windows: int = 40) -> None:
    """Print what the same judgement takes from raw samples, without any memory of earlier windows."""
    rng = np.random.default_rng(1)
    reference = rng.standard_normal((5000, FEATURES))
    readings = rng.standard_normal((windows, SAMPLES, FEATURES))
    started = time.perf_counter()
    for window in readings:
        for feature in range(FEATURES):
            stats.ks_2samp(reference[:, feature], window[:, feature])
    each_s = (time.perf_counter() - started) / windows
    month_h = each_s * 100 * 30 * DAY_MINUTES / 3600
    print(
        f"\nSciPy, ks_2samp of {FEATURES} features with {SAMPLES} samples each: {1000 * each_s:.1f} ms a window "
        f"({windows} windows timed); 30 days of 100 devices would take {month_h:,.1f} h, without reading them"
    )


def timed(history: History, plan: Plan) -> tuple[float, int]:
    started = time.perf_counter()
    found = run(history, plan)
    return time.perf_counter() - started, sum(len(told) for told in found.stories.values())


def many(count: int) -> list[Candidate]:
    """Return so many policies that differ in what they take for sure and for large."""
    rates = [10 ** (-5 + 4 * place / 9) for place in range(10)]
    shifts = [0.05 + 0.1 * place for place in range(10)]
    every = grid_of("", {"budget.false_alarms_per_device_day": rates, "floors.mean_shift": shifts})
    return [Candidate("default")] if count == 1 else every[:: len(every) // count]


def archive(folder: Path, *, days: int, devices: int = 100) -> Path:
    """Write an archive, unless it is there."""
    path = folder / f"{days}-days"
    if path.exists():
        return path
    started = time.perf_counter()
    making = path.with_name(f"{path.name}.part")
    shutil.rmtree(making, ignore_errors=True)
    grid = with_content_id(
        Grid(
            grid_id="", pipeline="bench/1", bins=BINS,
            features=tuple(
                FeatureGrid(name=f"f{i:02}", kind=FeatureKind.NUMERIC, edges=EDGES, low=-50.0, high=50.0)
                for i in range(FEATURES)
            ),
        )
    )  # fmt: skip
    baseline = with_content_id(
        Baseline(
            baseline_id="", model_id="bench/1", grid_id=grid.grid_id, pipeline="bench/1", samples=SAMPLES * DAY_MINUTES,
            features=tuple(_feature(one.name) for one in grid.features),
        )
    )  # fmt: skip
    for topic, record in (("models.grids", grid), ("models.baselines", baseline)):
        (making / topic).mkdir(parents=True)
        named = topic_named(topic)
        with ParquetWriter(making / topic / "000-0.parquet", named) as writer:
            writer.write([Entry(0, 0, 0, named.key_of(record).encode(), as_plain(record))])
    _write_windows(making / "telemetry.feature-stats", grid.grid_id, days, devices)
    making.replace(path)
    size_mb = sum(one.stat().st_size for one in path.rglob("*.parquet")) / 1e6
    print(f"made {path.name}: {size_mb:,.0f} MB in {time.perf_counter() - started:.0f} s", flush=True)
    return path


def _feature(name: str) -> FeatureBaseline:
    total = SAMPLES * DAY_MINUTES
    return FeatureBaseline(
        name=name, counts=(total // BINS,) * BINS, missing=0, out_of_range=0, mean=0.0, variance=1.0, min=-5.0, max=5.0,
        dispersion_windows=DAY_MINUTES,
    )  # fmt: skip


def _write_windows(folder: Path, grid_id: str, days: int, devices: int) -> None:
    rng = np.random.default_rng(1)
    pools = {shift: _pool(rng, shift) for shift in (0.0, SHIFT)}
    names: dict[int, list[str]] = {}
    for i in range(devices):
        names.setdefault(partition_of(f"device-{i:03}", PARTITIONS), []).append(f"device-{i:03}")
    folder.mkdir()
    for partition, mine in names.items():
        path = folder / f"{partition:03}-{0:020}.parquet"
        with ParquetWriter(path, topic_named("telemetry.feature-stats")) as writer:
            held: list[Entry] = []
            for offset, (device, minute) in enumerate(_order(mine, days)):
                held.append(_entry(rng, pools, partition, offset, device, minute, grid_id))
                if len(held) == ROWS:
                    writer.write(held)
                    held = []
            writer.write(held)


def _order(names: list[str], days: int) -> Iterator[tuple[str, int]]:
    return ((name, minute) for minute in range(days * DAY_MINUTES) for name in names)


def _pool(rng: np.random.Generator, shift: float, size: int = 4000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    readings = rng.standard_normal((size, SAMPLES)) + shift
    places = np.searchsorted(EDGES, readings)
    counts = np.stack([(places == one).sum(axis=1) for one in range(BINS)], axis=1).astype("<u4")
    mean = readings.mean(axis=1)
    return counts, mean.astype("<f4"), ((readings - mean[:, None]) ** 2).sum(axis=1).astype("<f4")


def _entry(
    rng: np.random.Generator,
    pools: dict[float, tuple[np.ndarray, np.ndarray, np.ndarray]],
    partition: int,
    offset: int,
    device: str,
    minute: int,
    grid_id: str,
) -> Entry:
    which = rng.integers(0, 4000, FEATURES)
    counts, mean, m2 = (column[which] for column in pools[0.0])
    number = int(device[-3:])
    if (minute // DRIFT_MINUTES + number) % ONE_IN == 0:
        struck = int(rng.integers(0, 4000))
        for column, drifted in zip((counts, mean, m2), pools[SHIFT], strict=True):
            column[number % FEATURES] = drifted[struck]
    end_ms = START_MS + (minute + 1) * MINUTE_MS
    none, wide = bytes(4 * FEATURES), np.full(FEATURES, 4.0, "<f4")
    plain = {
        "device_id": device, "model_id": "bench/1", "pipeline": "bench/1", "grid_id": grid_id,
        "boot_id": f"00000000-0000-4000-8000-{number:012}", "seq": minute, "window_start_ms": end_ms - MINUTE_MS,
        "window_end_ms": end_ms, "samples": SAMPLES, "counts": counts.tobytes(), "missing": none,
        "out_of_range": none, "mean": mean.tobytes(), "m2": m2.tobytes(), "min": (-wide).tobytes(),
        "max": wide.tobytes(), "windows": 1, "arrival_hour_ms": 0,
    }  # fmt: skip
    return Entry(partition, offset, end_ms + 1000, device.encode(), plain)


if __name__ == "__main__":
    main()
