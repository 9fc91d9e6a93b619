"""How quiet and how sharp drift detection is.

    python -m benchmarks.detection_quality [--part quiet|sharp] [--device-days 3000] [--jobs 2] [--seed 1] [--rho 0.9]

Readings are simulated, as AR(1) series of unit variance with autocorrelation rho at ten readings a second, and as
means that roll over a minute ("roll"), and binned on the grid; nothing is drawn from the distributions that the
tests assume. Series go on from window to window. A healthy fleet's features each walk along one of the series of a
pool, from a place of their own. Baselines are what a trainer would learn from two days of such windows, dispersions
included, and each is used by 150 devices.
"""

import argparse
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from multiprocessing import get_context
from statistics import NormalDist

import numpy as np

from schemas.drift_alert import AlertState
from schemas.grid import Baseline, FeatureBaseline, FeatureGrid, FeatureKind, Grid, SpanDispersion
from streams.drift.calibration import look_budget, needed
from streams.drift.measured import Group
from streams.drift.partition import Partition, Stretch
from streams.drift.policy import Rules, read_policy
from streams.drift.references import ScoredAgainst, lay_out
from streams.drift.warming import warm_up
from streams.drift.windows import Windows
from trainer.spans import WindowSums, over_spans

BINS, FEATURES, SAMPLES = 16, 32, 600
MINUTE_MS, DAY_WINDOWS = 60_000, 1440
START_MS = 1_767_225_600_000
EDGES = np.array([NormalDist().inv_cdf(share / BINS) for share in range(1, BINS)], np.float32)
POLICIES = {"calibrated": read_policy(""), "thresholds": read_policy('mode = "thresholds"')}
# Series by name: AR(1) by its rho; "roll" for rolling means.
RHOS = (0.0, 0.3, 0.5, 0.7, 0.9)
ROLLING = "roll"
SERIES = (*map(str, RHOS), ROLLING)
# Windows of one baseline; stretches that dispersion is learned over, in windows.
LEARNED_WINDOWS, SPANS = 2 * DAY_WINDOWS, (5, 15, 60)
WARM_UP, WATCHED = 30, 60

Readings = np.ndarray
Fault = Callable[[Readings, int, np.random.Generator], Readings]


@dataclass
class Pool:
    """Simulated windows of one feature, an entry each."""

    counts: np.ndarray
    missing: np.ndarray
    out_of_range: np.ndarray
    mean: np.ndarray
    m2: np.ndarray

    @staticmethod
    def of(readings: Readings) -> "Pool":
        """Summarise readings: windows × samples, NaN for missing."""
        usable = ~np.isnan(readings)
        n = usable.sum(axis=1)
        known = np.where(usable, readings, 0)
        mean = known.sum(axis=1, dtype=np.float64) / np.maximum(n, 1)
        m2 = (np.where(usable, readings - mean[:, None], 0.0) ** 2).sum(axis=1)
        places = np.searchsorted(EDGES, known)
        counts = np.stack([((places == one) & usable).sum(axis=1) for one in range(BINS)], axis=1)
        outside = (np.abs(known) > 20).sum(axis=1)
        return Pool(
            counts.astype(np.uint32), (~usable).sum(axis=1).astype(np.uint32), outside.astype(np.uint32),
            np.where(n > 0, mean, np.nan).astype(np.float32), m2.astype(np.float32),
        )  # fmt: skip

    @staticmethod
    def joined(pools: "list[Pool]") -> "Pool":
        return Pool(*(np.concatenate([getattr(pool, one.name) for pool in pools]) for one in fields(Pool)))


class Simulated:
    """So many series side by side, a window at a time."""

    def __init__(self, rng: np.random.Generator, series: str, many: int) -> None:
        self.rng, self.series, self.many = rng, series, many
        self.last = rng.standard_normal(many, dtype=np.float32)
        self.past = rng.standard_normal((SAMPLES, many), dtype=np.float32)

    def window(self) -> Readings:
        """Return the next series × samples."""
        fresh = self.rng.standard_normal((SAMPLES, self.many), dtype=np.float32)
        if self.series == ROLLING:
            both = np.cumsum(np.concatenate([self.past, fresh]), axis=0, dtype=np.float64)
            self.past = fresh
            rolled = (both[SAMPLES:] - both[:-SAMPLES]) / math.sqrt(SAMPLES)
            return rolled.T.astype(np.float32)
        rho = np.float32(self.series)
        scale = np.float32(math.sqrt(1 - float(rho) ** 2))
        for now in range(SAMPLES):
            fresh[now] = self.last = rho * self.last + scale * fresh[now]
        return fresh.T.copy()


def healthy_pool(rng: np.random.Generator, series: str, size: int) -> Pool:
    """Summarise `size` windows: series of 400 windows one behind the other."""
    length = 400
    simulated = Simulated(rng, series, size // length)
    windows = [Pool.of(simulated.window()) for _ in range(length)]
    stacked = {one.name: np.stack([getattr(pool, one.name) for pool in windows], axis=1) for one in fields(Pool)}
    return Pool(**{name: values.reshape(-1, *values.shape[2:]) for name, values in stacked.items()})


def learned(rng: np.random.Generator, pool: Pool, windows: int = LEARNED_WINDOWS) -> ScoredAgainst:
    """Lay out a baseline that was learned from so many windows of each feature."""
    grid = Grid(
        grid_id="grid",
        pipeline="bench/1",
        bins=BINS,
        features=tuple(
            FeatureGrid(name=f"f{i:02}", kind=FeatureKind.NUMERIC, edges=tuple(map(float, EDGES)), low=-20.0, high=20.0)
            for i in range(FEATURES)
        ),
    )
    features = tuple(
        _learned_feature(feature.name, pool, (rng.integers(0, len(pool.mean)) + np.arange(windows)) % len(pool.mean))
        for feature in grid.features
    )
    return lay_out(
        grid,
        Baseline(
            baseline_id=f"baseline-{rng.integers(1 << 60)}", model_id="bench/1", grid_id="grid", pipeline="bench/1",
            samples=windows * SAMPLES, features=features,
        ),
    )  # fmt: skip


def _learned_feature(name: str, pool: Pool, which: np.ndarray) -> FeatureBaseline:
    counts, mean, m2 = pool.counts[which].astype(float), pool.mean[which].astype(float), pool.m2[which].astype(float)
    sums = WindowSums(counts[:, np.newaxis], mean[:, np.newaxis], m2[:, np.newaxis], np.zeros(len(which), np.int64))
    single, *longer = over_spans(sums, (1, *SPANS))
    centre, size = mean.mean(), int(counts.sum())
    return FeatureBaseline(
        name=name,
        counts=tuple(counts.sum(axis=0).astype(int).tolist()),
        missing=0,
        out_of_range=0,
        mean=centre,
        variance=(m2.sum() + SAMPLES * ((mean - centre) ** 2).sum()) / (size - 1),
        min=-4.5,
        max=4.5,
        dispersion_counts=float(single.counts[0]),
        dispersion_mean=float(single.mean[0]),
        dispersion_variance=float(single.variance[0]),
        dispersion_windows=len(which),
        dispersion_spans=tuple(
            SpanDispersion(
                span_ms=one.length * MINUTE_MS, counts=float(one.counts[0]), mean=float(one.mean[0]),
                variance=float(one.variance[0]), stretches=one.stretches,
            )
            for one in longer
        ),
    )  # fmt: skip


class Watch:
    """A partition with devices that are given a window a minute, and the alerts that came of it."""

    def __init__(self, rng: np.random.Generator, rules: Rules, againsts: list[ScoredAgainst], devices: int) -> None:
        self.place = rng.integers(0, 1 << 40, (devices, FEATURES))
        self.partition, self.devices, self.minute = Partition(rules), devices, 0
        self.names = [f"d{i}" for i in range(devices)]
        self.groups = [Group(against) for against in againsts]
        self.which = np.arange(devices) % len(againsts)
        self.opened: dict[str, tuple[str, str, str, int]] = {}

    def give(self, pool: Pool, faulty: Pool | None = None) -> None:
        """Give each device a healthy window; with `faulty`, its first feature has that pool's entry instead."""
        which = (self.place + self.minute) % len(pool.mean)
        columns = {one.name: getattr(pool, one.name)[which] for one in fields(Pool)}
        if faulty is not None:
            for name, column in columns.items():
                column[:, 0] = getattr(faulty, name)
        minute, some = self.minute, self.devices
        end_ms = START_MS + (minute + 1) * MINUTE_MS
        nothing = np.zeros((some, FEATURES), np.float32)
        windows = Windows(
            offset=np.arange(minute * some, (minute + 1) * some), arrival_ms=np.full(some, end_ms + 500),
            device_id=self.names, model_id=["bench/1"] * some, pipeline=["bench/1"] * some, boot_id=["boot"] * some,
            seq=np.full(some, minute), start_ms=np.full(some, end_ms - MINUTE_MS), end_ms=np.full(some, end_ms),
            samples=np.full(some, SAMPLES), min=nothing, max=nothing, **columns,
        )  # fmt: skip
        for alert in self.partition.work([Stretch(windows, self.groups, self.which)]).alerts:
            if alert.state is AlertState.FIRING:
                self.opened.setdefault(alert.alert_id, (alert.subject, alert.feature, alert.kind, minute))
        self.minute += 1

    def delays(self) -> np.ndarray:
        """Windows from the fault to the first alert of the faulty feature, by device; infinite without any."""
        delays = np.full(self.devices, np.inf)
        for subject, feature, _, minute in self.opened.values():
            if feature == "f00" and minute >= WARM_UP:
                device = int(subject[1:])
                delays[device] = min(delays[device], minute - WARM_UP + 1)
        return delays


def quiet(seed: int, series: str, name: str, device_days: int) -> tuple[float, Counter[str]]:
    """Return for how many device-days healthy devices were watched under a policy, and what kinds of alerts rose."""
    rng = np.random.default_rng([seed, SERIES.index(series)])
    pool = healthy_pool(rng, series, 40_000)
    # Fixed limits raise so much that a tenth of the time tells the same.
    minutes = DAY_WINDOWS if name == "calibrated" else DAY_WINDOWS // 10
    againsts = [learned(rng, pool) for _ in range(max(device_days // 150, 1))]
    watch = Watch(rng, POLICIES[name], againsts, device_days)
    for _ in range(minutes):
        watch.give(pool)
    return device_days * minutes / DAY_WINDOWS, Counter(kind for _, _, kind, _ in watch.opened.values())


def print_quiet(workers: Executor, seed: int, series: Sequence[str], device_days: int, chosen: Sequence[str]) -> None:
    """Print what a healthy fleet raises."""
    print(f"\nQuiet: alerts of a healthy fleet, {FEATURES} features, a window of {SAMPLES} samples a minute\n")
    print(f"{'policy':<12}{'series':>7}{'device-days':>13}{'alerts':>9}{'per 1,000 device-days':>24}  kinds")
    each = max(device_days // len(series), 1)
    tasks = [(name, one, workers.submit(quiet, seed, one, name, each)) for name in chosen for one in series]
    for name in chosen:
        all_days, alerts = 0.0, 0
        for series_name, task in [(one, task) for mine, one, task in tasks if mine == name]:
            days, kinds = task.result()
            _print_quiet(name, series_name, days, kinds.total(), str(dict(kinds)) if kinds else "")
            all_days, alerts = all_days + days, alerts + kinds.total()
        _print_quiet(name, "all", all_days, alerts, "")


def _print_quiet(name: str, series: str, days: float, alerts: int, kinds: str) -> None:
    print(f"{name:<12}{series:>7}{days:>13,.0f}{alerts:>9,}{1000 * alerts / days:>24,.2f}  {kinds}", flush=True)


def _stuck(readings: Readings, _minute: int, rng: np.random.Generator) -> Readings:
    return np.where(rng.random(readings.shape) < 0.3, np.float32(0.05), readings)


def _fading(readings: Readings, minute: int, rng: np.random.Generator) -> Readings:
    return np.where(rng.random(readings.shape) < 0.005 * (minute + 1), np.float32(np.nan), readings)


FAULTS: dict[str, Fault] = {
    "mean shift of 0.3 sd": lambda readings, _minute, _rng: readings + np.float32(0.3),
    "variance ratio of 1.5": lambda readings, _minute, _rng: readings * np.float32(math.sqrt(1.5)),
    "dead sensor (constant)": lambda readings, _minute, _rng: np.full_like(readings, 0.3),
    "stuck bin (30 % of readings)": _stuck,
    "unit change (x 1.8 + 32)": lambda readings, _minute, _rng: readings * np.float32(1.8) + np.float32(32),
    "missing, 0.5 % more a window": _fading,
    "slow drift, 0.02 sd a window": lambda readings, minute, _rng: readings + np.float32(0.02 * (minute + 1)),
}


def informed_delay(rho: float, shift: float = 0.3) -> int:
    """Windows after which a test that knew when the shift began would find it in 9 of 10 runs, at the same budget."""
    level = float(needed(look_budget(0.001, np.array([float(MINUTE_MS)])), FEATURES)[0])
    height = -NormalDist().inv_cdf(math.exp(-level))
    a_window = shift * math.sqrt(SAMPLES * (1 - rho) / (1 + rho))
    return math.ceil(((height + NormalDist().inv_cdf(0.9)) / a_window) ** 2)


def sharp(seed: int, fault: str, series: str, name: str, runs: int) -> np.ndarray:
    """Return after how many windows a fault was found, by run; infinite where it was not."""
    rng = np.random.default_rng([seed, list(FAULTS).index(fault), SERIES.index(series), list(POLICIES).index(name)])
    pool, spoil = healthy_pool(rng, series, 40_000), FAULTS[fault]
    watch = Watch(rng, POLICIES[name], [learned(rng, pool) for _ in range(4)], runs)
    simulated = Simulated(rng, series, runs)
    for minute in range(WARM_UP + WATCHED):
        broken = Pool.of(spoil(simulated.window(), minute - WARM_UP, rng)) if minute >= WARM_UP else None
        watch.give(pool, broken)
    return watch.delays()


def print_sharp(
    workers: Executor, seed: int, series: Sequence[str], faults: Sequence[str], runs: int, chosen: Sequence[str]
) -> None:
    """Print how soon faults are found."""
    print(f"\nSharp: a fault in one of {FEATURES} features, after {WARM_UP} healthy windows; {runs} runs each\n")
    head = f"{'fault':<30}{'rho':>5}  {'policy':<12}{'within 3':>9}{'median delay':>14}{'9 of 10 by':>12}"
    print(f"{head}{f'within {WATCHED}':>11}  information allows")
    lines = [(fault, one, name) for fault in faults for one in series for name in chosen]
    for (fault, one, name), delays in zip(lines, workers.map(partial(_sharp, seed, runs), lines), strict=True):
        ninth = np.sort(delays)[math.ceil(0.9 * runs) - 1]
        allowed = f"{informed_delay(float(one))} windows" if fault.startswith("mean shift") else ""
        print(
            f"{fault:<30}{one:>5}  {name:<12}{np.mean(delays <= 3):>9.0%}{_windows(np.median(delays)):>14}"
            f"{_windows(ninth):>12}{np.mean(np.isfinite(delays)):>11.0%}  {allowed}",
            flush=True,
        )


def _sharp(seed: int, runs: int, line: tuple[str, str, str]) -> np.ndarray:
    return sharp(seed, *line, runs)


def _windows(delay: float) -> str:
    return f"{delay:.0f}" if math.isfinite(delay) else "never"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=20260101)
    parser.add_argument("--part", choices=("quiet", "sharp", "both"), default="both")
    parser.add_argument("--device-days", type=int, default=3000, help="of the healthy fleet, all series together")
    parser.add_argument("--runs", type=int, default=200, help="of each fault")
    parser.add_argument("--rho", choices=SERIES, action="append", help="only this series; may be repeated")
    parser.add_argument("--fault", choices=tuple(FAULTS), action="append", help="only this fault; may be repeated")
    parser.add_argument("--policy", choices=tuple(POLICIES), action="append", help="only this policy")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time")
    chosen = parser.parse_args()
    policies, series = chosen.policy or list(POLICIES), chosen.rho or SERIES
    # Compiled once, not by each process.
    warm_up()
    started = time.monotonic()
    with ProcessPoolExecutor(chosen.jobs, mp_context=get_context("spawn")) as workers:
        if chosen.part != "sharp":
            print_quiet(workers, chosen.seed, series, chosen.device_days, policies)
        if chosen.part != "quiet":
            known = [one for one in ("0.0", "0.5", "0.9") if one in series]
            print_sharp(workers, chosen.seed, known, chosen.fault or list(FAULTS), chosen.runs, policies)
    print(f"\n{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
