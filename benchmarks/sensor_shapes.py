"""How quiet and how sharp detection is on readings of the shapes that real sensors give.

    python -m benchmarks.sensor_shapes [--part quiet|sharp] [--days 1] [--devices 6] [--seed 1]

Cycles from seconds to a day, modes that switch, saw teeth, long tails, bursts, counters, values of few digits: one
reading a second, windows of a minute, a baseline as the trainer makes it of a day. Nothing is told to the engine of
how the readings came about.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from schemas.drift_alert import AlertState
from sensing import Binner, Pipeline, learn, make_grid
from sensing.pipelines.declared import declared
from streams.drift.measured import Group
from streams.drift.partition import Partition, Stretch
from streams.drift.policy import read_policy
from streams.drift.references import ScoredAgainst, lay_out
from streams.drift.windows import Windows
from trainer.baseline import make_baseline
from trainer.data.dataset import Dataset, Part

SECONDS, MINUTE_MS, DAY_S = 60, 60_000, 86_400
START_MS = 1_767_225_600_000
CYCLES_S = (20, 90, 300, 314, 600, 900, 1800, 3600, 5 * 3600, DAY_S)
WARM_UP, WATCHED = 120, 300

Readings = np.ndarray
Shape = Callable[[np.random.Generator, np.ndarray], Readings]


def cycle(period_s: int) -> Shape:
    return lambda rng, t: 2 * np.sin(2 * np.pi * t / period_s) + rng.normal(size=len(t))


def strokes(period_s: int) -> Shape:
    return lambda rng, t: 3.0 * (t % period_s < period_s / 3) + rng.normal(size=len(t))


def teeth(period_s: int) -> Shape:
    return lambda rng, t: 4 * (t % period_s) / period_s + 0.3 * rng.normal(size=len(t))


def modes(stay_s: int) -> Shape:
    return lambda rng, t: 2.0 * (np.cumsum(rng.random(len(t)) < 1 / stay_s) % 2) + 0.5 * rng.normal(size=len(t))


def bursts(rng: np.random.Generator, t: np.ndarray) -> Readings:
    return np.where(rng.random(len(t)) < 0.002, rng.exponential(20, len(t)), 0) + 0.1 * rng.normal(size=len(t))


SHAPES: Mapping[str, Shape] = {
    **{f"cycle of {one} s": cycle(one) for one in CYCLES_S},
    **{f"strokes of {one} s": strokes(one) for one in (40, 300, 1200)},
    **{f"teeth of {one} s": teeth(one) for one in (240, 2000)},
    **{f"modes of {one} s": modes(one) for one in (30, 300, 1800)},
    "long tail, both sides": lambda rng, t: rng.standard_t(3, size=len(t)),
    "long tail, one side": lambda rng, t: rng.lognormal(0, 1.2, len(t)),
    "bursts": bursts,
    "mostly 0": lambda rng, t: np.where(rng.random(len(t)) < 0.9, 0, rng.exponential(1, len(t))),
    "whole numbers": lambda rng, t: np.round(rng.normal(20, 0.6, len(t))),
    "counter": lambda _, t: (t % 8).astype(float),
}
FAULTS: Mapping[str, Callable[[Readings, float, np.random.Generator], Readings]] = {
    "+0.5 sd": lambda x, sd, _: x + 0.5 * sd,
    "+1 sd": lambda x, sd, _: x + sd,
    "x 1.5": lambda x, _sd, _rng: x.mean() + (x - x.mean()) * 1.5,
    "unit": lambda x, _sd, _rng: x * 1.8 + 32,
    "constant": lambda x, _sd, _rng: np.full_like(x, x[0]),
    "20 % gone": lambda x, _sd, rng: np.where(rng.random(len(x)) < 0.2, np.nan, x),
}


def pipeline_of(shapes: Sequence[str]) -> Pipeline:
    names = {f"f{place:02}": {} for place in range(len(shapes))}
    return learn(
        declared(
            json.dumps(
                {
                    "name": f"shapes-{len(shapes)}",
                    "version": 1,
                    "every_ms": 1000,
                    "channels": names,
                    "features": {name: name for name in names},
                }
            )
        )
    )


def readings(shapes: Sequence[str], seed: int, first_s: int, seconds: int) -> Readings:
    """Return seconds × shapes; the clock goes on from `first_s`, chance does not."""
    rng, t = np.random.default_rng(seed), np.arange(first_s, first_s + seconds)
    return np.stack([SHAPES[shape](rng, t) for shape in shapes], axis=1).astype(np.float32)


def learned(shapes: Sequence[str], days: float, seed: int) -> tuple[ScoredAgainst, Readings]:
    """Return a baseline as the trainer makes it, and what it was made of."""
    pipeline, seen = pipeline_of(shapes), readings(shapes, seed, 0, int(days * DAY_S))
    dataset = Dataset.of(pipeline.id, [Part("device", START_MS + 1000 * np.arange(len(seen)), seen)])
    grid = make_grid(pipeline, seen)
    return lay_out(grid, make_baseline("shapes/1", grid, dataset)), seen


def opened(against: ScoredAgainst, devices: Mapping[str, Readings], first_s: int) -> list[tuple[str, str, str, int]]:
    """Give each device a window a minute; return the alerts that fired: device, feature, kind, minute."""
    binner, partition, group = Binner(against.grid), Partition(read_policy("")), [Group(against)]
    names, many, seen = list(devices), len(devices), {}
    for minute in range(len(next(iter(devices.values()))) // SECONDS):
        tallies = [binner.count(one[minute * SECONDS : (minute + 1) * SECONDS]) for one in devices.values()]
        columns = {
            name: np.stack([getattr(tally, name) for tally in tallies]).astype(kind)
            for kind, these in ((np.uint32, ("counts", "missing", "out_of_range")), (np.float32, ("mean", "m2")))
            for name in these
        }
        end_ms = START_MS + first_s * 1000 + (minute + 1) * MINUTE_MS
        nothing = np.zeros((many, len(against.features)), np.float32)
        windows = Windows(
            offset=np.arange(minute * many, (minute + 1) * many), arrival_ms=np.full(many, end_ms + 500),
            device_id=names, model_id=["shapes/1"] * many, pipeline=[against.grid.pipeline] * many,
            boot_id=["boot"] * many, seq=np.full(many, minute), start_ms=np.full(many, end_ms - MINUTE_MS),
            end_ms=np.full(many, end_ms), samples=np.full(many, SECONDS), min=nothing, max=nothing, **columns,
        )  # fmt: skip
        for alert in partition.work([Stretch(windows, group, np.zeros(many, np.int64))]).alerts:
            if alert.state is AlertState.FIRING:
                seen.setdefault(alert.alert_id, (alert.subject, alert.feature, alert.kind, minute))
    return list(seen.values())


def quiet(shapes: Sequence[str], *, days: float, devices: int, seed: int) -> Counter[str]:
    """Count the alerts that healthy devices raise, by shape."""
    against, before = learned(shapes, 1, seed)
    fleet = {
        f"d{number}": readings(shapes, seed + 1 + number, len(before), int(days * DAY_S)) for number in range(devices)
    }
    return Counter(shapes[int(feature[1:])] for _, feature, _, _ in opened(against, fleet, len(before)))


def sharp(shapes: Sequence[str], *, seed: int) -> dict[tuple[str, str], int]:
    """Return how many minutes each fault of each shape took to be alerted; negative is before it began."""
    against, before = learned(shapes, 1, seed)
    healthy, rng = readings(shapes, seed + 1, len(before), (WARM_UP + WATCHED) * SECONDS), np.random.default_rng(seed)
    deviation, begins = before.std(axis=0), WARM_UP * SECONDS
    fleet = {}
    for fault, damage in FAULTS.items():
        fleet[fault] = healthy.copy()
        for column in range(len(shapes)):
            fleet[fault][begins:, column] = damage(healthy[begins:, column], deviation[column], rng)
    found: dict[tuple[str, str], int] = {}
    for fault, feature, _, minute in opened(against, fleet, len(before)):
        found.setdefault((fault, shapes[int(feature[1:])]), minute - WARM_UP)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("quiet", "sharp"))
    parser.add_argument("--days", type=float, default=1.0)
    parser.add_argument("--devices", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    shapes = tuple(SHAPES)
    if options.part in (None, "quiet"):
        alerts = quiet(shapes, days=options.days, devices=options.devices, seed=options.seed)
        told = ", ".join(f"{many} of {shape}" for shape, many in alerts.items()) or "none"
        print(f"alerts in {options.devices * options.days:g} healthy device-days of {len(shapes)} shapes: {told}\n")
    if options.part in (None, "sharp"):
        minutes = sharp(shapes, seed=options.seed)
        print(f"minutes to an alert, of {WATCHED}\n\n| shape | {' | '.join(FAULTS)} |\n|---|{'---|' * len(FAULTS)}")
        for shape in shapes:
            print(f"| {shape} | {' | '.join(str(minutes.get((fault, shape), '–')) for fault in FAULTS)} |")


if __name__ == "__main__":
    main()
