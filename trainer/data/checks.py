"""Whether data are fit to learn from: every check has a finding in words, and those that failed refuse the data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sensing import pipeline_named
from trainer.check import Check
from trainer.data.dataset import Bools, Dataset, Floats, Vectors
from trainer.data.splitting import Split
from trainer.errors import DataRefusedError

__all__ = ["Limits", "check_data", "refuse_failed", "silent_devices"]

# A device with fewer vectors than this says nothing of its sensors.
_TELLING_ROWS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How bad data may be."""

    min_rows: int = 500
    max_missing: float = 0.5
    max_out_of_range: float = 0.05
    max_shared: float = 0.01


def check_data(split: Split, limits: Limits) -> tuple[Check, ...]:
    """Return all checks, passed or not, for a report."""
    if len(split.training) < limits.min_rows:
        # The others would only say in many words that there are no data.
        return (_enough(split, limits),)
    return tuple(check(split, limits) for check in _CHECKS)


def refuse_failed(checks: Sequence[Check]) -> None:
    failed = tuple(f"{check.name}: {check.finding}" for check in checks if not check.passed)
    if failed:
        raise DataRefusedError(failed, checks=tuple(checks))


def silent_devices(dataset: Dataset, *, share: float = 0.9) -> tuple[str, ...]:
    """Name devices with a channel that is dead or stuck: missing, or one and the same value, for most of their time.

    Their data are of a broken sensor, not of a new world, and nothing should be learned from them.
    """
    pipeline = pipeline_named(dataset.pipeline)
    channels = [column for column, name in enumerate(pipeline.feature_names) if name in pipeline.channel_names]
    silent = []
    for number, name in enumerate(dataset.devices):
        rows = dataset.matrix[dataset.device == number]
        if len(rows) >= _TELLING_ROWS and any(_silent_share(rows[:, column]) >= share for column in channels):
            silent.append(name)
    return tuple(silent)


def _silent_share(values: Vectors) -> float:
    present = values[np.isfinite(values)]
    if len(present) < 2:
        return 1.0
    _, times = np.unique(present, return_counts=True)
    return float((len(values) - len(present) + times.max()) / len(values))


def _enough(split: Split, limits: Limits) -> Check:
    rows = len(split.training)
    return Check("enough data", rows >= limits.min_rows, f"{rows} vectors to learn from; wanted {limits.min_rows}")


def _held_out(split: Split, limits: Limits) -> Check:
    rows, wanted = len(split.holdout), limits.min_rows // 10
    return Check("held-out data", rows >= wanted, f"{rows} vectors to judge by; wanted {wanted}")


def _changed(split: Split, limits: Limits) -> Check:
    if not split.changed_ms:
        return Check("the new world", True, "the world is not known to have changed")
    rows, wanted = int((split.training.at_ms >= split.changed_ms).sum()), limits.min_rows // 5
    return Check("the new world", rows >= wanted, f"{rows} vectors to learn the new world from; wanted {wanted}")


def _missing(split: Split, limits: Limits) -> Check:
    missing = (~np.isfinite(split.training.matrix)).mean(axis=0)
    worst = _named(split, missing > limits.max_missing, missing)
    return Check("missing values", not worst, worst or f"at most {missing.max():.1%} of a feature is missing")


def _constant(split: Split, _: Limits) -> Check:
    with np.errstate(invalid="ignore"):
        finite = np.where(np.isfinite(split.training.matrix), split.training.matrix, np.nan)
        known = np.isfinite(finite).any(axis=0)
        ranges = np.zeros(finite.shape[1])
        ranges[known] = np.nanmax(finite[:, known], axis=0) - np.nanmin(finite[:, known], axis=0)
    constant = [name for name, flat in zip(_names(split), known & (ranges == 0), strict=True) if flat]
    return Check(
        "constant features", not constant, f"{', '.join(constant)} never change" if constant else "every feature varies"
    )


def _range(split: Split, limits: Limits) -> Check:
    features = pipeline_named(split.training.pipeline).features
    low = np.array([-np.inf if feature.low is None else feature.low for feature in features])
    high = np.array([np.inf if feature.high is None else feature.high for feature in features])
    values = split.training.matrix
    outside = (np.isfinite(values) & ((values < low) | (values > high))).mean(axis=0)
    worst = _named(split, outside > limits.max_out_of_range, outside)
    return Check("physical range", not worst, worst or f"at most {outside.max():.1%} of a feature is out of range")


def _leakage(split: Split, limits: Limits) -> Check:
    # Each once: what a dead sensor sends again and again is no copy.
    learned = {row.tobytes() for row in split.training.matrix}
    judged_by = {row.tobytes() for row in split.holdout.matrix}
    shared = len(learned & judged_by)
    share = shared / max(len(judged_by), 1)
    return Check(
        "leakage by duplicates",
        share <= limits.max_shared,
        f"{shared} of {len(judged_by)} different held-out vectors are also learned from",
    )


def _named(split: Split, failed: Bools, shares: Floats) -> str:
    return ", ".join(
        f"{name} {share:.0%}" for name, bad, share in zip(_names(split), failed, shares, strict=True) if bad
    )


def _names(split: Split) -> tuple[str, ...]:
    return pipeline_named(split.training.pipeline).feature_names


_CHECKS: tuple[Callable[[Split, Limits], Check], ...] = (
    _enough,
    _held_out,
    _changed,
    _missing,
    _constant,
    _range,
    _leakage,
)
