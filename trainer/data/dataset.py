"""Feature vectors with what is known about them: what every model is trained on and judged by."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensing import pipeline_named
from trainer.errors import DatasetError

__all__ = ["Bools", "Dataset", "Floats", "Ints", "Split", "Vectors", "split_by_time"]

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Vectors of one pipeline, device by device and in the order of time.

    `label` is 1 for an anomaly, 0 for none, NaN where nobody knows; for a forecaster the value that came true.
    """

    pipeline: str
    devices: tuple[str, ...]
    device: Ints  # index into `devices`, per row
    at_ms: Ints
    matrix: Vectors
    label: Floats

    @classmethod
    def of(
        cls,
        pipeline: str,
        parts: Sequence[tuple[str, NDArray[Any], NDArray[Any], NDArray[Any] | None]],
    ) -> "Dataset":
        """Join (device, at_ms, matrix, labels) parts; a device may come in several."""
        wanted = len(pipeline_named(pipeline).features)
        for name, at_ms, matrix, label in parts:
            if matrix.ndim != 2 or matrix.shape[1] != wanted:
                raise DatasetError(f"{name}: the matrix is of shape {matrix.shape}; {pipeline} has {wanted} features")
            if len(at_ms) != len(matrix) or (label is not None and len(label) != len(matrix)):
                raise DatasetError(f"{name}: {len(matrix)} vectors, {len(at_ms)} times")
        devices = tuple(sorted({name for name, *_ in parts}))
        number = {name: index for index, name in enumerate(devices)}
        nothing = [np.empty(0)]
        device = np.concatenate([np.full(len(at_ms), number[name]) for name, at_ms, *_ in parts] or nothing)
        at_ms = np.concatenate([np.asarray(times) for _, times, *_ in parts] or nothing).astype(np.int64)
        matrix = np.concatenate([rows for _, _, rows, _ in parts] or [np.empty((0, wanted))]).astype(np.float32)
        label = np.concatenate(
            [np.full(len(times), np.nan) if known is None else known for _, times, _, known in parts] or nothing
        ).astype(np.float64)
        order = np.lexsort((at_ms, device))
        return cls(pipeline, devices, device[order].astype(np.int64), at_ms[order], matrix[order], label[order])

    def __len__(self) -> int:
        return len(self.at_ms)

    def rows(self, chosen: Bools) -> "Dataset":
        return replace(
            self,
            device=self.device[chosen],
            at_ms=self.at_ms[chosen],
            matrix=self.matrix[chosen],
            label=self.label[chosen],
        )

    def without(self, devices: Sequence[str]) -> "Dataset":
        """Leave devices out, such as those whose sensors are at fault."""
        names = set(devices)
        return self.rows(np.array([self.devices[number] not in names for number in self.device], dtype=bool))

    @property
    def labelled(self) -> Bools:
        return np.isfinite(self.label)

    @property
    def anomalous(self) -> Bools:
        anomalous: Bools = np.equal(self.label, 1)
        return anomalous

    @property
    def settling(self) -> Bools:
        """Rows that are called normal, but still look back on anomalous readings of their device.

        A mean over the last minute knows of a spike for a minute: such a vector is neither.
        """
        pipeline = pipeline_named(self.pipeline)
        reach_ms = pipeline.span * pipeline.every_ms
        last_bad = np.where(self.anomalous, self.at_ms, np.iinfo(np.int64).min // 2)
        for start, stop in self._runs():
            last_bad[start:stop] = np.maximum.accumulate(last_bad[start:stop])
        settling: Bools = np.logical_and(self.at_ms - last_bad < reach_ms, ~self.anomalous)
        return settling

    @property
    def healthy(self) -> Bools:
        """Rows that nothing speaks against: not labelled an anomaly, and not settling after one."""
        return ~self.anomalous & ~self.settling

    def fingerprint(self) -> str:
        """Return the SHA-256, in hex, over everything in here; equal data have equal fingerprints."""
        digest = hashlib.sha256()
        digest.update("\n".join((self.pipeline, *self.devices, "")).encode())
        for array, kind in ((self.device, "<i8"), (self.at_ms, "<i8"), (self.matrix, "<f4"), (self.label, "<f8")):
            digest.update(np.ascontiguousarray(array.astype(kind)).tobytes())
        return digest.hexdigest()

    def _runs(self) -> list[tuple[int, int]]:
        edges = np.flatnonzero(np.diff(self.device)) + 1
        return list(zip([0, *edges.tolist()], [*edges.tolist(), len(self)], strict=True))


@dataclass(frozen=True, slots=True)
class Split:
    """What is learned from, and what it is judged by."""

    training: Dataset
    holdout: Dataset


def split_by_time(dataset: Dataset, *, holdout: float = 0.25, gap_ms: int | None = None) -> Split:
    """Keep the last share of the time for judging; nothing within the gap before it is learned from.

    The gap defaults to the pipeline's look-back, so that no reading is in vectors of both sides.
    """
    if not 0 < holdout < 1:
        raise DatasetError(f"holdout is {holdout}; wanted: between 0 and 1")
    if not len(dataset):
        raise DatasetError("there is nothing to split: no vectors")
    pipeline = pipeline_named(dataset.pipeline)
    gap_ms = pipeline.span * pipeline.every_ms if gap_ms is None else gap_ms
    first, last = int(dataset.at_ms.min()), int(dataset.at_ms.max())
    cut = last - round((last - first) * holdout)
    return Split(
        training=dataset.rows(dataset.at_ms < cut - gap_ms),
        holdout=dataset.rows(dataset.at_ms >= cut),
    )
