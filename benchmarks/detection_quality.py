"""How quiet and how sharp drift detection is: `python -m benchmarks.detection_quality` (some minutes; `--quick`).

Readings are simulated, as AR(1) series of unit variance with autocorrelation ρ, and binned on the grid; nothing is
drawn from the distributions that the tests assume. For the healthy fleet, windows are drawn at random from a pool
of simulated ones (40,000 a ρ), so that a day of a thousand devices takes seconds; what this leaves out is the
correlation between neighbouring windows, which for 600 samples is below 0.01 even at ρ = 0.9. Baselines are what a
trainer would learn from one device-day of such windows, dispersions included, and each is used by 150 devices.
"""

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from statistics import NormalDist

import numpy as np

from schemas.drift_alert import AlertState
from schemas.grid import Baseline, FeatureBaseline, FeatureGrid, FeatureKind, Grid
from streams.drift.calibration import look_budget, needed
from streams.drift.measured import Group
from streams.drift.partition import Partition, Stretch
from streams.drift.policy import Rules, read_policy
from streams.drift.references import ScoredAgainst, lay_out
from streams.drift.windows import Windows

BINS, FEATURES, SAMPLES = 16, 32, 600
MINUTE_MS, DAY_WINDOWS = 60_000, 1440
START_MS = 1_767_225_600_000
EDGES = np.array([NormalDist().inv_cdf(share / BINS) for share in range(1, BINS)], np.float32)
POLICIES = {"calibrated": read_policy(""), "thresholds": read_policy('mode = "thresholds"')}
RHOS = (0.0, 0.3, 0.5, 0.7, 0.9)
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


def ar1(rng: np.random.Generator, rho: float, windows: int) -> Readings:
    """Simulate windows × samples; each window starts in the stationary distribution."""
    readings = rng.standard_normal((SAMPLES, windows), dtype=np.float32)
    fresh = np.float32(math.sqrt(1 - rho * rho))
    for now in range(1, SAMPLES):
        readings[now] = np.float32(rho) * readings[now - 1] + fresh * readings[now]
    return readings.T.copy()


def healthy_pool(rng: np.random.Generator, rho: float, size: int) -> Pool:
    return Pool.joined([Pool.of(ar1(rng, rho, 4000)) for _ in range(0, size, 4000)])


def learned(rng: np.random.Generator, pool: Pool, windows: int = DAY_WINDOWS) -> ScoredAgainst:
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
        _learned_feature(feature.name, pool, rng.integers(0, len(pool.mean), windows)) for feature in grid.features
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
    size, total = counts.sum(), counts.sum(axis=0)
    centre = mean.mean()
    variance = (m2.sum() + SAMPLES * ((mean - centre) ** 2).sum()) / (size - 1)
    expected = SAMPLES * total / size
    return FeatureBaseline(
        name=name,
        counts=tuple(total.astype(int).tolist()),
        missing=0,
        out_of_range=0,
        mean=centre,
        variance=variance,
        min=-4.5,
        max=4.5,
        dispersion_counts=max(1.0, (((counts - expected) ** 2 / expected).sum(axis=1) / (BINS - 1)).mean()),
        dispersion_mean=max(1.0, mean.var(ddof=1) / (variance / SAMPLES)),
        dispersion_variance=max(1.0, (m2 / (SAMPLES - 1)).var(ddof=1) / (2 * variance**2 / (SAMPLES - 1))),
        dispersion_windows=len(which),
    )


class Watch:
    """A partition with devices that are given a window a minute, and the alerts that came of it."""

    def __init__(self, rules: Rules, againsts: list[ScoredAgainst], devices: int) -> None:
        self.partition, self.devices, self.minute = Partition(rules), devices, 0
        self.names = [f"d{i}" for i in range(devices)]
        self.groups = [Group(against) for against in againsts]
        self.which = np.arange(devices) % len(againsts)
        self.opened: dict[str, tuple[str, str, str, int]] = {}

    def give(self, rng: np.random.Generator, pool: Pool, faulty: Pool | None = None) -> None:
        """Give each device a healthy window; with `faulty`, its first feature has that pool's entry instead."""
        which = rng.integers(0, len(pool.mean), (self.devices, FEATURES))
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


def quiet(rng: np.random.Generator, pools: dict[float, Pool], device_days: int) -> None:
    """Print what a healthy fleet raises."""
    print(f"\nQuiet: alerts of a healthy fleet, {FEATURES} features, a window of {SAMPLES} samples a minute\n")
    print(f"{'policy':<12}{'rho':>5}{'device-days':>13}{'alerts':>9}{'per 1,000 device-days':>24}")
    for name, rules in POLICIES.items():
        alerts, days = 0, 0
        # Fixed limits raise so much that a tenth of the time tells the same.
        minutes = DAY_WINDOWS if name == "calibrated" else DAY_WINDOWS // 10
        for rho, pool in pools.items():
            devices = device_days // len(pools)
            watch = Watch(rules, [learned(rng, pool) for _ in range(max(devices // 150, 1))], devices)
            for _ in range(minutes):
                watch.give(rng, pool)
            mine = devices * minutes / DAY_WINDOWS
            alerts, days = alerts + len(watch.opened), days + mine
            print(
                f"{name:<12}{rho:>5}{mine:>13,.0f}{len(watch.opened):>9,}{1000 * len(watch.opened) / mine:>24,.2f}",
                flush=True,
            )
        print(f"{name:<12}{'all':>5}{days:>13,.0f}{alerts:>9,}{1000 * alerts / days:>24,.2f}", flush=True)


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


def sharp(rng: np.random.Generator, pools: dict[float, Pool], runs: int) -> None:
    """Print how soon faults are found."""
    print(f"\nSharp: a fault in one of {FEATURES} features, after {WARM_UP} healthy windows; {runs} runs each\n")
    head = f"{'fault':<30}{'rho':>5}  {'policy':<12}{'within 3':>9}{'median delay':>14}{'9 of 10 by':>12}"
    print(f"{head}{f'within {WATCHED}':>11}  information allows")
    for fault, spoil in FAULTS.items():
        for rho, pool in pools.items():
            for name, rules in POLICIES.items():
                watch = Watch(rules, [learned(rng, pool) for _ in range(4)], runs)
                for minute in range(WARM_UP + WATCHED):
                    broken = None
                    if minute >= WARM_UP:
                        broken = Pool.of(spoil(ar1(rng, rho, runs), minute - WARM_UP, rng))
                    watch.give(rng, pool, broken)
                delays = watch.delays()
                ninth = np.sort(delays)[math.ceil(0.9 * runs) - 1]
                allowed = f"{informed_delay(rho)} windows" if fault.startswith("mean shift") else ""
                print(
                    f"{fault:<30}{rho:>5}  {name:<12}{np.mean(delays <= 3):>9.0%}{_windows(np.median(delays)):>14}"
                    f"{_windows(ninth):>12}{np.mean(np.isfinite(delays)):>11.0%}  {allowed}",
                    flush=True,
                )


def _windows(delay: float) -> str:
    return f"{delay:.0f}" if math.isfinite(delay) else "never"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of it, to see that it runs")
    parser.add_argument("--seed", type=int, default=20260101)
    parser.add_argument("--part", choices=("quiet", "sharp", "both"), default="both")
    chosen = parser.parse_args()
    rng = np.random.default_rng(chosen.seed)
    started = time.monotonic()
    pools = {rho: healthy_pool(rng, rho, 8000 if chosen.quick else 40_000) for rho in RHOS}
    if chosen.part != "sharp":
        quiet(rng, pools, 300 if chosen.quick else 3000)
    if chosen.part != "quiet":
        sharp(rng, {rho: pools[rho] for rho in (0.0, 0.5, 0.9)}, 50 if chosen.quick else 200)
    print(f"\n{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
