"""Have the engine's loops compiled before a worker joins its group.

Compiling takes seconds, once for each version on a machine; in the midst of a run its group would take the worker
for dead.
"""

import numpy as np

from schemas.grid import Baseline, FeatureBaseline, FeatureGrid, FeatureKind, Grid
from streams.drift.kernels import Columns, Found, Packed, find_fields, lay_in_columns
from streams.drift.measured import Group
from streams.drift.partition import Partition, Stretch
from streams.drift.policy import Rules
from streams.drift.references import lay_out
from streams.drift.windows import Windows

__all__ = ["nobodys_windows", "warm_up"]

_BINS, _SAMPLES = 4, 400
_MINUTE_MS = 60_000
# Windows of one pane, of the next, and of other hours: every horizon is measured.
_MINUTES = (1, 2, 10, 70, 140, 400)
# The first has too few to be judged by itself.
_SAMPLES_OF_EACH = (40, *(_SAMPLES,) * 5)


def warm_up() -> None:
    """Read nothing, judge a few windows of a device that does not exist, and forget it."""
    _read_nothing()
    partition = Partition(Rules())
    partition.work([nobodys_windows()])
    partition.tell(2 * max(_MINUTES) * _MINUTE_MS, {}, number=0)


def nobodys_windows() -> Stretch:
    """Return a few windows of a device that does not exist."""
    windows = _windows(np.array(_MINUTES, np.int64) * _MINUTE_MS)
    return Stretch(windows, [Group(lay_out(_GRID, _BASELINE))], np.zeros(len(windows), np.int64))


def _read_nothing() -> None:
    one, found = Packed(np.frombuffer(bytes(1), np.uint8), np.arange(2)), Found.of(1)
    find_fields(one, one, np.zeros(1, np.int64), 0, found)
    lay_in_columns(one, found, np.zeros(1, np.int64), Columns.of(1, 1, _BINS), np.zeros(1, np.bool_))


def _windows(end_ms: np.ndarray) -> Windows:
    some = len(end_ms)
    single = np.full((some, 1), 0.0, np.float32)
    none = np.zeros((some, 1), np.uint32)
    samples = np.array(_SAMPLES_OF_EACH)
    return Windows(
        offset=np.arange(some), arrival_ms=end_ms, device_id=["nobody"] * some, model_id=["none/1"] * some,
        pipeline=["none/1"] * some, boot_id=["0"] * some, seq=np.arange(some), start_ms=end_ms - _MINUTE_MS,
        end_ms=end_ms, samples=samples,
        counts=np.repeat(samples // _BINS, _BINS).reshape(some, 1, _BINS).astype(np.uint32),
        missing=none, out_of_range=none,
        mean=single, m2=samples[:, np.newaxis].astype(np.float32), min=single - 3, max=single + 3,
    )  # fmt: skip


_GRID = Grid(
    grid_id="none",
    pipeline="none/1",
    bins=_BINS,
    features=(FeatureGrid(name="none", kind=FeatureKind.NUMERIC, edges=(-0.67, 0.0, 0.67)),),
)
_BASELINE = Baseline(
    baseline_id="none", model_id="none/1", grid_id="none", pipeline="none/1", samples=_SAMPLES,
    features=(
        FeatureBaseline(
            name="none", counts=(_SAMPLES // _BINS,) * _BINS, missing=0, out_of_range=0, mean=0.0, variance=1.0,
            min=-3.0, max=3.0,
        ),
    ),
)  # fmt: skip
