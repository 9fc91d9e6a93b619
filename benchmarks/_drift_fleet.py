"""A fleet for the drift engine's benchmark: windows from a pool, in one of twenty devices drifted."""

from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np

from benchmarks.detection_quality import FEATURES, MINUTE_MS, SAMPLES, START_MS, Pool, Simulated, healthy_pool, learned
from schemas.canonical import with_content_id
from schemas.codec import codec_of
from schemas.feature_stats import FeatureStats
from streams.drift.measured import Group
from streams.drift.windows import Windows

__all__ = ["BATCH", "Fleet", "bodies"]

BATCH = 2000
BOOT = "00000000-0000-4000-8000-000000000000"
_COLUMNS = ("counts", "missing", "out_of_range", "mean", "m2", "min", "max")


class Fleet:
    """Devices whose windows of a minute come from a pool; device n drifts from minute `since[n]` on."""

    def __init__(self, rng: np.random.Generator, devices: int) -> None:
        self.rng, self.devices = rng, devices
        self.pool = healthy_pool(rng, "0.3", 4000)
        self.drifted = Pool.of(Simulated(rng, "0.3", 2000).window() + np.float32(1.0))
        against = learned(rng, self.pool)
        self.grid = with_content_id(replace(against.grid, grid_id=""))
        self.baseline = with_content_id(replace(against.baseline, baseline_id="", grid_id=self.grid.grid_id))
        self.group = Group(replace(against, grid=self.grid, baseline_id=self.baseline.baseline_id))
        self.names = [f"device-{number:06}" for number in range(devices)]
        self.start_ms = START_MS
        self.since = np.where(np.arange(devices) % 20 == 0, 0, np.iinfo(np.int64).max)

    def batches(self, minute: int) -> Iterator[Windows]:
        for first in range(0, self.devices, BATCH):
            yield self.batch(minute, first, min(BATCH, self.devices - first))

    def batch(self, minute: int, first: int, some: int) -> Windows:
        which = self.rng.integers(0, len(self.pool.mean), (some, FEATURES))
        columns = {one.name: getattr(self.pool, one.name)[which] for one in fields(Pool)}
        drifting = np.flatnonzero(self.since[first : first + some] <= minute)
        theirs = self.rng.integers(0, len(self.drifted.mean), len(drifting))
        for name, column in columns.items():
            column[drifting, 0] = getattr(self.drifted, name)[theirs]
        low, high = (np.full((some, FEATURES), edge, np.float32) for edge in (-20, 20))
        end_ms = self.start_ms + (minute + 1) * MINUTE_MS
        return Windows(
            offset=np.arange(some) + minute * self.devices + first, arrival_ms=np.full(some, end_ms + 500),
            device_id=self.names[first : first + some], model_id=["bench/1"] * some, pipeline=["bench/1"] * some,
            boot_id=[BOOT] * some, seq=np.full(some, minute), start_ms=np.full(some, end_ms - MINUTE_MS),
            end_ms=np.full(some, end_ms), samples=np.full(some, SAMPLES), min=low, max=high, **columns,
        )  # fmt: skip


def bodies(windows: Windows, grid_id: str) -> Iterator[bytes]:
    """Encode windows, as bodies without the header that names their schema."""
    codec = codec_of(FeatureStats)
    packed = {name: np.ascontiguousarray(getattr(windows, name)) for name in _COLUMNS}
    for i, device in enumerate(windows.device_id):
        yield codec.encode(
            FeatureStats(
                device_id=device, model_id=windows.model_id[i], pipeline=windows.pipeline[i], grid_id=grid_id,
                boot_id=windows.boot_id[i], seq=int(windows.seq[i]), window_start_ms=int(windows.start_ms[i]),
                window_end_ms=int(windows.end_ms[i]), samples=SAMPLES,
                **{name: column[i].tobytes() for name, column in packed.items()},
            )
        )  # fmt: skip
