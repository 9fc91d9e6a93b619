"""How quiet cohorts are, and how much sooner than single devices they show a small shift.

    python -m benchmarks.cohort_quality [--cohort-days 20] [--runs 10] [--devices 40] [--seed 1] [--rho 0.9]

Devices are those of `benchmarks.detection_quality`: a window a minute of 600 autocorrelated readings. All devices of a
cohort share a baseline. Their shares go through the very telling and merging that workers do. A shift is of one
feature, in all devices of the cohort alike.
"""

import argparse
import math
import time

import numpy as np

from benchmarks.detection_quality import (
    DAY_WINDOWS,
    MINUTE_MS,
    START_MS,
    WARM_UP,
    Pool,
    Simulated,
    Watch,
    healthy_pool,
    learned,
)
from schemas.drift_alert import AlertState
from streams.drift.cohort_merger import Merger
from streams.drift.policy import own_policy

POLICY = own_policy('cohorts = ["region"]')
SETTLE_MS = 60_000
SERIES = ("0.0", "0.5", "0.9")
SHIFTS = (0.1, 0.2, 0.3)
WATCHED = 240


class WatchedCohort:
    """A cohort with its devices, and when the first alert of it fired, and of each of them."""

    def __init__(self, rng: np.random.Generator, pool: Pool, devices: int) -> None:
        self.pool, against = pool, learned(rng, pool)
        self.watch = Watch(rng, POLICY.rules, [against], devices)
        self.against, self.merger = against, Merger(POLICY, settle_ms=SETTLE_MS)
        self.labels = {name: {"region": "eu"} for name in self.watch.names}
        self.fired: dict[str, int] = {}

    def give(self, faulty: Pool | None = None) -> None:
        """Give each device a window, and let the minute go by."""
        self.watch.give(self.pool, faulty)
        # Of the windows that come next.
        arrival_ms = START_MS + (self.watch.minute + 1) * MINUTE_MS + 500
        found = self.merger.pass_time(arrival_ms)
        for alert in found.alerts:
            if alert.state is AlertState.FIRING:
                self.fired.setdefault(alert.alert_id, self.watch.minute)
        for share in self.watch.partition.tell(arrival_ms, self.labels, number=0):
            self.merger.take(share, self.against, arrival_ms)


def quiet(rng: np.random.Generator, pools: dict[str, Pool], days: int, devices: int) -> None:
    """Print what healthy cohorts raise."""
    print(f"\nQuiet: alerts of healthy cohorts of {devices} devices\n")
    print(f"{'rho':>5}{'cohort-days':>13}{'alerts of cohorts':>19}{'of their devices':>18}")
    for series, pool in pools.items():
        cohorts = [WatchedCohort(rng, pool, devices) for _ in range(days)]
        for cohort in cohorts:
            for _ in range(DAY_WINDOWS):
                cohort.give()
        alone = sum(len(cohort.watch.opened) for cohort in cohorts)
        print(f"{series:>5}{days:>13}{sum(len(one.fired) for one in cohorts):>19}{alone:>18}", flush=True)


def sharp(rng: np.random.Generator, pools: dict[str, Pool], runs: int, devices: int) -> None:
    """Print how soon a shift is found, by cohorts and by single devices."""
    print(f"\nSharp: minutes to the alert of a shift in all {devices} devices; {runs} runs, {WATCHED} minutes each\n")
    print(
        f"{'shift':>6}{'rho':>5}{'cohort, median':>16}{'slowest':>9}{'a device, median':>18}{'devices that alert':>20}"
    )
    for shift in SHIFTS:
        for series, pool in pools.items():
            mine, theirs = [], []
            for _ in range(runs):
                cohort, simulated = WatchedCohort(rng, pool, devices), Simulated(rng, series, devices)
                for minute in range(WARM_UP + WATCHED):
                    moved = Pool.of(simulated.window() + np.float32(shift)) if minute >= WARM_UP else None
                    cohort.give(moved)
                after = [minute - WARM_UP for minute in cohort.fired.values() if minute >= WARM_UP]
                mine.append(min(after, default=math.inf))
                theirs.append(cohort.watch.delays())
            alone = np.concatenate(theirs)
            print(
                f"{shift:>6}{series:>5}{_minutes(np.median(mine)):>16}{_minutes(max(mine)):>9}"
                f"{_minutes(np.median(alone)):>18}{np.isfinite(alone).mean():>20.0%}",
                flush=True,
            )


def _minutes(delay: float) -> str:
    return f"{delay:.0f}" if math.isfinite(delay) else "never"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=20260101)
    parser.add_argument("--cohort-days", type=int, default=20, help="of healthy cohorts, for each series")
    parser.add_argument("--runs", type=int, default=10, help="of each shift")
    parser.add_argument("--devices", type=int, default=40, help="of each cohort")
    parser.add_argument("--rho", choices=SERIES, action="append", help="only this series; may be repeated")
    chosen = parser.parse_args()
    rng, started = np.random.default_rng(chosen.seed), time.monotonic()
    pools = {series: healthy_pool(rng, series, 40_000) for series in chosen.rho or SERIES}
    quiet(rng, pools, chosen.cohort_days, chosen.devices)
    sharp(rng, pools, chosen.runs, chosen.devices)
    print(f"\n{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
