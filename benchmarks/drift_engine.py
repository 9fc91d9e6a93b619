"""What the drift engine costs: `python -m benchmarks.drift_engine [--only kafka --only delay ...] [--quick]`.

Windows of 32 features x 16 bins, a minute each, 600 samples; in 5 % of them one feature has drifted.

* kafka: windows a second from Kafka to committed scores, with one horizon and with the four default ones, beside Quix
  Streams and Faust that do the same arithmetic a window at a time, and beside only reading and decoding them;
* delay: from a window's arrival on its topic to its alert's, at 1,000 and 10,000 windows a second;
* engine: processor time of one core without Kafka, from columns to alerts and score records;
* raw: PSI, KS, Jensen-Shannon, Wasserstein and two tests by scipy on the raw samples behind the windows;
* memory: resident bytes for each device, rings of an hour filled, at 10,000, 50,000 and 100,000 devices;
* restore: filling rings again from the log, for a million windows.
"""

import argparse
import io
import subprocess
import sys
import time
from pathlib import Path

import fastavro
import numpy as np
from scipy import stats
from scipy.spatial.distance import jensenshannon

from benchmarks._drift_delay import delays
from benchmarks._drift_fleet import BATCH, Fleet, bodies
from benchmarks._drift_rates import POLICIES, rates
from benchmarks.detection_quality import BINS, FEATURES, SAMPLES, Simulated
from schemas.feature_stats import FeatureStats
from schemas.parsing import parsed
from schemas.record import avro_schema
from streams.drift.partition import Outcome, Partition, Stretch
from streams.drift.policy import Rules, read_policy
from streams.drift.refill import FastRefill
from streams.drift.windows import Windows

WARM_MINUTES, MINUTES = 6, 15
PARTS = ("kafka", "delay", "engine", "raw", "memory", "restore")


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
            len(_work(fleet, partition, batch).written)
            if minute >= WARM_MINUTES:
                spent_s, windows = spent_s + time.process_time() - began_s, windows + len(batch)
    return spent_s / windows * 1e6


def _work(fleet: Fleet, partition: Partition, windows: Windows) -> Outcome:
    return partition.work([Stretch(windows, [fleet.group], np.zeros(len(windows), np.int64))])


def _decoding_us(fleet: Fleet, records: int = 1000) -> float:
    schema, values = (
        parsed(avro_schema(FeatureStats)),
        list(bodies(fleet.batch(0, 0, min(records, fleet.devices)), fleet.grid.grid_id)),
    )
    began_s = time.process_time()
    for _ in range(5):
        for value in values:
            np.frombuffer(fastavro.schemaless_reader(io.BytesIO(value), schema)["counts"], "<u4")
    return (time.process_time() - began_s) / (5 * len(values)) * 1e6


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
            _work(fleet, partition, batch)
    taken = (_resident_bytes() - before) / devices
    print(f"\n{devices:,} devices x {FEATURES} features: {taken / 1000:,.1f} KB a device", flush=True)


def _resident_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def restore(rng: np.random.Generator, devices: int) -> None:
    """Print how long rings take to fill again."""
    fleet, partition = Fleet(rng, devices), Partition(read_policy(""))
    for batch in fleet.batches(0):
        _work(fleet, partition, batch)
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
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be given several times")
    parser.add_argument("--quick", action="store_true", help="small numbers, to try it")
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=2, help="of the part `kafka`")
    parser.add_argument("--stack", default="", help="the data folder of a stack that is up; otherwise one is started")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    parts, rng, now_ms = chosen.only or PARTS, np.random.default_rng(chosen.seed), time.time_ns() // 1_000_000
    devices, rounds = (min(chosen.devices, 2000), 1) if chosen.quick else (chosen.devices, chosen.rounds)
    if "kafka" in parts:
        others = 2000 if chosen.quick else 15_000
        # An hour of each device's: half as many devices are records enough.
        some = 500 if chosen.quick else devices // 2
        rates(rng, devices=some, rounds=rounds, others=others, folder=chosen.stack, now_ms=now_ms)
    if "delay" in parts:
        delays(rng, rates=(200,) if chosen.quick else (1000, 10_000), folder=chosen.stack, now_ms=now_ms)
    if "engine" in parts:
        engine(Fleet(rng, devices))
    if "raw" in parts:
        raw(rng)
    if chosen.only == ["memory"]:
        memory(rng, chosen.devices)
    elif "memory" in parts:
        # Memory that one fleet gave back another would fill, so each has a process of its own.
        for some in (2000,) if chosen.quick else (10_000, 50_000, 100_000):
            own = ("--only", "memory", "--devices", str(some))
            subprocess.run([sys.executable, "-m", "benchmarks.drift_engine", *own], check=True)
    if "restore" in parts:
        restore(rng, devices)


if __name__ == "__main__":
    main()
