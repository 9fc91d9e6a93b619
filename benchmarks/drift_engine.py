"""What the drift engine costs: `python -m benchmarks.drift_engine [--part engine|raw|memory|restore]`.

Windows of 32 features x 16 bins, a minute each, 600 samples; in 5 % of them one feature has drifted. Everything is
processor time of one core, without Kafka:

* engine: from columns to alerts and score records, with one horizon and with the four default ones, beside the
  decoding of the same windows by plain fastavro;
* raw: PSI, KS, Jensen-Shannon, Wasserstein and two tests by scipy on the raw samples behind the windows;
* memory: resident bytes for each device, rings of an hour filled;
* restore: filling rings again from the log, for a million windows.
"""

import argparse
import io
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import fastavro
import numpy as np
from scipy import stats
from scipy.spatial.distance import jensenshannon

from benchmarks.detection_quality import (
    BINS,
    FEATURES,
    MINUTE_MS,
    SAMPLES,
    START_MS,
    Pool,
    Simulated,
    healthy_pool,
    learned,
)
from schemas.codec import codec_of
from schemas.feature_stats import FeatureStats
from schemas.parsing import parsed
from schemas.record import avro_schema
from streams.drift.measured import Group
from streams.drift.partition import Partition, Stretch
from streams.drift.policy import Rules, read_policy
from streams.drift.refill import FastRefill
from streams.drift.windows import Windows

BATCH, WARM_MINUTES, MINUTES = 2000, 6, 15
POLICIES = {"one horizon": "horizons_minutes = [15]", "four horizons": ""}
BOOT = "00000000-0000-4000-8000-000000000000"


class Fleet:
    """Devices whose windows come from a pool, of which one in twenty drifts."""

    def __init__(self, rng: np.random.Generator, devices: int) -> None:
        self.rng, self.devices = rng, devices
        self.pool = healthy_pool(rng, "0.3", 4000)
        self.drifted = Pool.of(Simulated(rng, "0.3", 2000).window() + np.float32(1.0))
        self.group = Group(learned(rng, self.pool))
        self.names = [f"device-{number:06}" for number in range(devices)]

    def batches(self, minute: int) -> Iterator[Windows]:
        for first in range(0, self.devices, BATCH):
            yield self.batch(minute, first, min(BATCH, self.devices - first))

    def batch(self, minute: int, first: int, some: int) -> Windows:
        which = self.rng.integers(0, len(self.pool.mean), (some, FEATURES))
        columns = {one.name: getattr(self.pool, one.name)[which] for one in fields(Pool)}
        drifting = np.flatnonzero(np.arange(first, first + some) % 20 == 0)
        theirs = self.rng.integers(0, len(self.drifted.mean), len(drifting))
        for name, column in columns.items():
            column[drifting, 0] = getattr(self.drifted, name)[theirs]
        end_ms, nothing = START_MS + (minute + 1) * MINUTE_MS, np.zeros((some, FEATURES), np.float32)
        return Windows(
            offset=np.arange(some) + minute * self.devices + first, arrival_ms=np.full(some, end_ms + 500),
            device_id=self.names[first : first + some], model_id=["bench/1"] * some, pipeline=["bench/1"] * some,
            boot_id=[BOOT] * some, seq=np.full(some, minute), start_ms=np.full(some, end_ms - MINUTE_MS),
            end_ms=np.full(some, end_ms), samples=np.full(some, SAMPLES), min=nothing, max=nothing, **columns,
        )  # fmt: skip

    def work(self, partition: Partition, windows: Windows) -> None:
        partition.work([Stretch(windows, [self.group], np.zeros(len(windows), np.int64))])


def engine(fleet: Fleet) -> None:
    """Print what a window costs."""
    decode_us = _decoding_us(fleet)
    print(f"\n{fleet.devices:,} devices, batches of {BATCH:,}; microseconds of processor time a window")
    print(f"{'decoding by plain fastavro, the counts opened':<50}{decode_us:>8.1f}")
    for name, document in POLICIES.items():
        cost_us = _judging_us(fleet, read_policy(document))
        print(f"{'engine, ' + name:<50}{cost_us:>8.1f}{1e6 / cost_us:>12,.0f} a second", flush=True)


def _judging_us(fleet: Fleet, rules: Rules) -> float:
    partition, spent_s, windows = Partition(rules), 0.0, 0
    for minute in range(WARM_MINUTES + MINUTES):
        for batch in fleet.batches(minute):
            began_s = time.process_time()
            fleet.work(partition, batch)
            if minute >= WARM_MINUTES:
                spent_s, windows = spent_s + time.process_time() - began_s, windows + len(batch)
    return spent_s / windows * 1e6


def _decoding_us(fleet: Fleet, records: int = 1000) -> float:
    schema, values = parsed(avro_schema(FeatureStats)), _encoded(fleet.batch(0, 0, min(records, fleet.devices)))
    began_s = time.process_time()
    for _ in range(5):
        for value in values:
            np.frombuffer(fastavro.schemaless_reader(io.BytesIO(value), schema)["counts"], "<u4")
    return (time.process_time() - began_s) / (5 * len(values)) * 1e6


def _encoded(windows: Windows) -> list[bytes]:
    codec = codec_of(FeatureStats)
    packed = ("counts", "missing", "out_of_range", "mean", "m2", "min", "max")
    return [
        codec.encode(
            FeatureStats(
                device_id=windows.device_id[i], model_id="bench/1", pipeline="bench/1", grid_id="grid", boot_id=BOOT,
                seq=0, window_start_ms=START_MS, window_end_ms=START_MS + MINUTE_MS, samples=SAMPLES,
                **{name: np.ascontiguousarray(getattr(windows, name)[i]).tobytes() for name in packed},
            )
        )
        for i in range(len(windows))
    ]  # fmt: skip


def raw(rng: np.random.Generator, windows: int = 20) -> None:
    """Print what scipy takes for the same scores on raw samples."""
    reference, series = rng.standard_normal((FEATURES, 5000)), Simulated(rng, "0.3", FEATURES)
    edges = [np.quantile(one, np.arange(1, BINS) / BINS) for one in reference]
    expected = [np.bincount(np.searchsorted(*two), minlength=BINS) / 5000 for two in zip(edges, reference, strict=True)]
    began_s = time.process_time()
    for _ in range(windows):
        for feature, live in enumerate(series.window()):
            before, share = reference[feature], expected[feature]
            counts = np.bincount(np.searchsorted(edges[feature], live), minlength=BINS)
            now = np.maximum(counts / len(live), 1e-4)
            np.sum((now - share) * np.log(now / share))
            jensenshannon(now, share)
            stats.ks_2samp(before, live)
            stats.wasserstein_distance(before, live)
            stats.ttest_ind(before, live, equal_var=False)
            stats.bartlett(before, live)
    cost_us = (time.process_time() - began_s) / windows * 1e6
    print(f"\nscipy on raw samples (5,000 against {SAMPLES}, {FEATURES} features): {cost_us:,.0f} us a window")


def memory(rng: np.random.Generator, devices: int) -> None:
    """Print what a device takes, its fast ring of an hour filled."""
    fleet = Fleet(rng, devices)
    before, partition = _resident_bytes(), Partition(read_policy(""))
    for minute in range(0, 60, 5):
        for batch in fleet.batches(minute):
            fleet.work(partition, batch)
    taken = (_resident_bytes() - before) / devices
    print(f"\n{devices:,} devices x {FEATURES} features: {taken / 1000:,.1f} KB a device", flush=True)


def _resident_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def restore(rng: np.random.Generator, devices: int) -> None:
    """Print how long rings take to fill again."""
    fleet, partition = Fleet(rng, devices), Partition(read_policy(""))
    for batch in fleet.batches(0):
        fleet.work(partition, batch)
    refill, spent_s, windows = FastRefill(next(iter(partition.engines.values()))), 0.0, 0
    for minute in range(1, 1 + max(100_000 // devices, 1)):
        for batch in fleet.batches(minute):
            began_s = time.process_time()
            refill.add(batch)
            spent_s, windows = spent_s + time.process_time() - began_s, windows + len(batch)
    refill.finish()
    print(f"\nrings filled again: {spent_s / windows * 1e6:,.1f} s a million windows, decoding not counted")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--part", choices=("engine", "raw", "memory", "restore"), action="append")
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    parts, rng = chosen.part or ["engine", "raw", "memory", "restore"], np.random.default_rng(chosen.seed)
    if "engine" in parts:
        engine(Fleet(rng, chosen.devices))
    if "raw" in parts:
        raw(rng)
    if "memory" in parts:
        memory(rng, chosen.devices)
    if "restore" in parts:
        restore(rng, chosen.devices)


if __name__ == "__main__":
    main()
