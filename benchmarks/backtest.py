"""How fast backtests are: `python -m benchmarks.backtest [--part policies|live|month|kafka|rivals] [--small]`.

A fleet of 100 devices with 32 features on 16 bins, a window a minute, is written to an archive; one device in fifty
drifts at any time.

* policies: three days under 1, 10 and 100 policies in one process, reading included; so many with fixed limits too;
* live: the live engine on the same windows, without reading, Kafka and publishing, and a backtest beside it;
* month: 30 days (4.3 million device-windows) in two processes, with the memory that all processes took;
* kafka: a day from a cluster (--stack FOLDER names a local stack that is up), under 1, 10 and 100 policies;
* rivals: the same judgement from raw samples by SciPy (two-sample Kolmogorov-Smirnov of each feature) and by Evidently
  (its drift preset, the same test), extrapolated from so many windows as are told. Evidently runs where
  .venv-rivals has it.

Times are the clock's; the processor's stand beside them, for a busy machine disturbs those less. --small takes a day,
one and three days for the month (its time is then extrapolated, and said to be), and a tenth of a day from Kafka.
"""

import argparse
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import stats

from schemas.canonical import with_content_id
from schemas.catalogue import topic_named
from schemas.grid import Baseline, FeatureBaseline, FeatureGrid, FeatureKind, Grid
from schemas.partition import partition_of
from schemas.record import as_plain
from streams.backtest.candidate import Candidate
from streams.backtest.exporting import import_file
from streams.backtest.grid import grid_of
from streams.backtest.history import ClusterHistory, Entry, FileHistory, History, state_of
from streams.backtest.history.arrow import arrow_schema
from streams.backtest.history.parquet_file import ParquetWriter
from streams.backtest.running import Plan, run
from streams.backtest.span import EVER
from streams.drift.desk import stretch, usable
from streams.drift.known import Known
from streams.drift.partition import Partition
from streams.drift.policy import Rules, read_policy

ROOT = Path(__file__).parents[1]
RIVALS = ROOT / ".venv-rivals" / "bin" / "python"
FEATURES, BINS, SAMPLES = 32, 16, 600
MINUTE_MS, DAY_MINUTES, MONTH_DAYS, DEVICES = 60_000, 1440, 30, 100
START_MS = 1_767_225_600_000
PARTITIONS, ROWS = 12, 2048
SOURCE = "telemetry.feature-stats"
EDGES = tuple(NormalDist().inv_cdf(share / BINS) for share in range(1, BINS))
# A window in so many drifts, in one feature, for hours at a time.
ONE_IN, DRIFT_MINUTES, SHIFT = 50, 180, 0.8
Ints = np.ndarray
# Counts, means and sums of squared differences of windows of one feature.
Pool = tuple[np.ndarray, np.ndarray, np.ndarray]
PARTS = ("policies", "live", "month", "kafka", "rivals")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--part", choices=PARTS, help="only this one; all but kafka unless said")
    parser.add_argument("--small", action="store_true", help="less of everything, for a busy machine")
    parser.add_argument("--stack", type=Path, help="data folder of a stack that is up, for --part kafka")
    parser.add_argument("--keep", type=Path, help="keep archives here, and use those that are there")
    chosen = parser.parse_args()
    parts = [chosen.part] if chosen.part else [one for one in PARTS if one != "kafka" or chosen.stack is not None]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    folder = chosen.keep or Path(tempfile.mkdtemp(prefix="driftline-backtest-"))
    days = 1 if chosen.small else 3
    try:
        if "policies" in parts:
            policies(archive(folder, minutes=days * DAY_MINUTES))
        if "live" in parts:
            live(archive(folder, minutes=DAY_MINUTES))
        if "month" in parts:
            month([archive(folder, minutes=some * DAY_MINUTES) for some in ((1, 3) if chosen.small else (MONTH_DAYS,))])
        if "kafka" in parts:
            kafka(archive(folder, minutes=DAY_MINUTES // (10 if chosen.small else 1)), chosen.stack)
        if "rivals" in parts:
            by_scipy()
            by_evidently()
    finally:
        if chosen.keep is None:
            shutil.rmtree(folder)


def policies(path: Path) -> None:
    """Print the time that 1, 10 and 100 policies take in one process."""
    history = FileHistory(path)
    print(f"\nArchive of {history.extent(SOURCE).records:,} device-windows, one process, reading included\n")
    by_count(history)
    print("\nThe same, policies with fixed limits\n")
    by_count(history, many_by_limits)


def by_count(history: History, made: Callable[[int], list[Candidate]] | None = None) -> None:
    made = made or many
    windows = history.extent(SOURCE).records
    print(f"{'policies':>8}{'seconds':>10}{'windows/s':>12}{'processor us':>14}{'times one':>11}{'alerts':>9}")
    alone_s = 0.0
    # Once before it counts: loops are compiled, and files are in the page cache.
    run(history, Plan(candidates=made(1)))
    for count in (1, 10, 100):
        took_s, spent_s, alerts = timed(history, Plan(candidates=made(count)))
        alone_s = alone_s or spent_s
        print(
            f"{count:>8}{took_s:>10.1f}{windows / took_s:>12,.0f}{spent_s / windows * 1e6:>14.1f}"
            f"{spent_s / alone_s:>11.2f}{alerts:>9,}",
            flush=True,
        )


def live(path: Path) -> None:
    """Print what the live engine costs on the same windows, partition by partition in runs of a worker's size."""
    history = FileHistory(path)
    known = Known(state_of(history, "models.grids"), state_of(history, "models.baselines"))
    windows, spent_s = 0, 0.0
    for _ in range(2):
        windows, spent_s = 0, 0.0
        for share in history.shares(SOURCE, EVER):
            partition = Partition(Rules())
            for batch in history.stats(share, known.shape_of):
                (part,) = batch.sorted.runs
                found = usable(part, batch.offsets, batch.at_ms, known)
                began_s = time.process_time()
                partition.work([stretch(found.windows, found.against, {})])
                spent_s += time.process_time() - began_s
                windows += len(found.windows)
    _, backtest_s, _ = timed(history, Plan(candidates=many(1)))
    print(f"\nOne policy, {windows:,} device-windows, microseconds of processor time a window\n")
    print(f"{'live engine, without reading and publishing':<50}{spent_s / windows * 1e6:>8.1f}")
    print(f"{'backtest, reading included':<50}{backtest_s / windows * 1e6:>8.1f}")


def month(paths: list[Path]) -> None:
    """Print the time and memory of a whole month in two processes, or what two shorter stretches say of it."""
    whole = DEVICES * MONTH_DAYS * DAY_MINUTES
    print(
        f"\n{'windows':>10}{'seconds':>10}{'windows/s':>12}{'processor us':>14}   two processes, their start included\n"
    )
    measured = []
    for path in paths:
        history = FileHistory(path)
        windows = history.extent(SOURCE).records
        for told, of_cohorts in (("devices", ()), ("devices and cohorts", many(1))):
            plan = Plan(candidates=many(1), cohort_candidates=of_cohorts, processes=2)
            took_s, spent_s, _ = timed(history, plan)
            rate, each_us = windows / took_s, spent_s / windows * 1e6
            print(f"{windows:>10,}{took_s:>10.1f}{rate:>12,.0f}{each_us:>14.1f}   {told}", flush=True)
            if not of_cohorts:
                measured.append((windows, took_s))
    own, children = (
        resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(f"at most {own:.0f} MB in the parent and {children:.0f} MB in a child")
    if len(measured) > 1:
        (few, short_s), (more, long_s) = measured
        each_s = (long_s - short_s) / (more - few)
        told_s = long_s + each_s * (whole - more)
        print(f"extrapolated from these two, not measured: {whole:,} device-windows would take {told_s:.0f} s")


def kafka(path: Path, stack: Path | None) -> None:
    """Print the time from a cluster, one process."""
    from confluent_kafka.admin import AdminClient

    from driftline.stack import Stack
    from schemas.cluster import Cluster
    from schemas.topics import create_missing

    running = Stack.join(stack) if stack is not None else Stack.start()
    ends = running.endpoints
    cluster = Cluster(bootstrap=ends.bootstrap, registry_url=ends.registry_url, prefix=f"bench-{os.getpid()}-")
    create_missing(cluster)
    history = ClusterHistory(cluster)
    try:
        import_file(cluster, path)
        print(f"\nKafka, {history.extent(SOURCE).records:,} device-windows, one process, reading included\n")
        by_count(history)
    finally:
        admin = AdminClient({**cluster.client_settings()})
        for deleted in admin.delete_topics([cluster.named(name) for name in history.topics()]).values():
            deleted.result(30)
        if stack is None:
            running.stop()


def by_scipy(windows: int = 40) -> None:
    """Print what the same judgement takes from raw samples, without any memory of earlier windows."""
    rng = np.random.default_rng(1)
    reference = rng.standard_normal((5000, FEATURES))
    readings = rng.standard_normal((windows, SAMPLES, FEATURES))
    started_s = time.process_time()
    for window in readings:
        for feature in range(FEATURES):
            stats.ks_2samp(reference[:, feature], window[:, feature])
    told_rival("SciPy, ks_2samp", (time.process_time() - started_s) / windows, windows)


def by_evidently(windows: int = 10) -> None:
    """Print what Evidently takes for the same."""
    if not RIVALS.exists():
        print(f"Evidently is left out: there is no {RIVALS.relative_to(ROOT)} (make bench makes it)")
        return
    command = [str(RIVALS), "-m", "benchmarks._judge_with_evidently", *map(str, (windows, SAMPLES, FEATURES))]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "DO_NOT_TRACK": "1"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        why = done.stderr.strip().rpartition("\n")[2]
        print(f"Evidently is left out: {why}")
        return
    told_rival("Evidently, DataDriftPreset(method='ks')", float(done.stdout), windows)


def told_rival(name: str, each_s: float, windows: int) -> None:
    month_h = each_s * DEVICES * MONTH_DAYS * DAY_MINUTES / 3600
    print(
        f"\n{name}: {FEATURES} features with {SAMPLES} samples each against 5,000: {1000 * each_s:.1f} ms of processor "
        f"time a window ({windows} windows timed); extrapolated, 30 days of {DEVICES} devices: {month_h:,.0f} h, "
        "without reading them"
    )


def timed(history: History, plan: Plan) -> tuple[float, float, int]:
    """Return seconds by the clock, seconds of all processors, and how many alerts."""
    started_s, spent_s = time.perf_counter(), _spent_s()
    found = run(history, plan)
    took_s = time.perf_counter() - started_s
    return took_s, _spent_s() - spent_s, sum(len(told) for told in found.stories.values())


def _spent_s() -> float:
    return sum(os.times()[:4])


def many(count: int) -> list[Candidate]:
    """Return so many policies that differ in what they take for sure and for large."""
    rates = [10 ** (-5 + 4 * place / 9) for place in range(10)]
    shifts = [0.05 + 0.1 * place for place in range(10)]
    every = grid_of("", {"budget.false_alarms_per_device_day": rates, "floors.mean_shift": shifts})
    return [Candidate("default")] if count == 1 else every[:: len(every) // count]


def many_by_limits(count: int) -> list[Candidate]:
    """Return so many policies with fixed limits that differ in two of them."""
    psi, shift = ([0.1 + 0.05 * place for place in range(10)], [4.0 + place for place in range(10)])
    base = 'mode = "thresholds"'
    every = grid_of(base, {"limits.psi.high": psi, "limits.mean_z.high": shift})
    return [Candidate("limits", base, read_policy(base))] if count == 1 else every[:: len(every) // count]


def archive(folder: Path, *, minutes: int) -> Path:
    """Write an archive, unless it is there."""
    path = folder / f"{minutes}-minutes"
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
    _write_windows(making / SOURCE, grid.grid_id, minutes)
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


def _write_windows(folder: Path, grid_id: str, minutes: int) -> None:
    """Write windows as exports have them, though without a record for each on the way."""
    rng = np.random.default_rng(1)
    pools = {shift: _pool(rng, shift) for shift in (0.0, SHIFT)}
    topic = topic_named(SOURCE)
    devices: dict[int, list[int]] = {}
    for number in range(DEVICES):
        devices.setdefault(partition_of(f"device-{number:03}", PARTITIONS), []).append(number)
    folder.mkdir()
    schema = arrow_schema(topic)
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    for partition, mine in devices.items():
        path = folder / f"{partition:03}-{0:020}.parquet"
        with pq.ParquetWriter(
            path, schema, compression="zstd", use_dictionary=texts, write_page_checksum=True
        ) as writer:
            for first in range(0, minutes * len(mine), ROWS):
                offsets = np.arange(first, min(first + ROWS, minutes * len(mine)))
                writer.write_table(_block(rng, pools, partition, mine, offsets, grid_id, schema))


def _block(
    rng: np.random.Generator, pools: dict[float, Pool], partition: int, devices: list[int], offsets: Ints,
    grid_id: str, schema: pa.Schema,
) -> pa.Table:  # fmt: skip
    rows, minute, number = len(offsets), offsets // len(devices), np.array(devices)[offsets % len(devices)]
    which = rng.integers(0, len(pools[0.0][1]), (rows, FEATURES))
    counts, mean, m2 = (column[which] for column in pools[0.0])
    struck = np.flatnonzero((minute // DRIFT_MINUTES + number) % ONE_IN == 0)
    for column, drifted in zip((counts, mean, m2), pools[SHIFT], strict=True):
        column[struck, number[struck] % FEATURES] = drifted[which[struck, 0]]
    end_ms = START_MS + (minute + 1) * MINUTE_MS
    names = [f"device-{one:03}" for one in number.tolist()]
    none, wide = np.zeros((rows, FEATURES), "<u4"), np.full((rows, FEATURES), 4.0, "<f4")
    columns = {
        "kafka_partition": np.full(rows, partition), "kafka_offset": offsets, "kafka_time_ms": end_ms + 1000,
        "kafka_key": [name.encode() for name in names], "kafka_headers": [[]] * rows, "kafka_tombstone": [False] * rows,
        "device_id": names, "model_id": ["bench/1"] * rows, "pipeline": ["bench/1"] * rows, "grid_id": [grid_id] * rows,
        "boot_id": [f"00000000-0000-4000-8000-{one:012}" for one in number.tolist()], "seq": minute,
        "window_start_ms": end_ms - MINUTE_MS, "window_end_ms": end_ms, "samples": np.full(rows, SAMPLES),
        "counts": _packed(counts), "missing": _packed(none), "out_of_range": _packed(none), "mean": _packed(mean),
        "m2": _packed(m2), "min": _packed(-wide), "max": _packed(wide), "windows": np.ones(rows, int),
        "arrival_hour_ms": np.zeros(rows, int),
    }  # fmt: skip
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in schema}, schema=schema)


def _packed(values: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in values]


def _pool(rng: np.random.Generator, shift: float, size: int = 4000) -> Pool:
    readings = rng.standard_normal((size, SAMPLES)) + shift
    places = np.searchsorted(EDGES, readings)
    counts = np.stack([(places == one).sum(axis=1) for one in range(BINS)], axis=1).astype("<u4")
    mean = readings.mean(axis=1)
    return counts, mean.astype("<f4"), ((readings - mean[:, None]) ** 2).sum(axis=1).astype("<f4")


if __name__ == "__main__":
    main()
