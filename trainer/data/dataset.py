"""Feature vectors with what is known about them: what every model is trained on and judged by."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensing import pipeline_named
from trainer.errors import DatasetError

__all__ = ["Bools", "Dataset", "Floats", "Ints", "Part", "Vectors"]

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Part(NamedTuple):
    """Some vectors of one device; without labels nothing is known of them, and they are a fair sample.

    `troubled` vectors are made of some anomalous reading; without it, those are that the pipeline's time tells.
    """

    device: str
    at_ms: NDArray[Any]
    matrix: NDArray[Any]
    label: NDArray[Any] | None = None
    representative: NDArray[Any] | None = None
    troubled: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class Dataset:
    """Vectors of one pipeline, device by device and in the order of time.

    `label` is 1 for an anomaly, 0 for none, NaN where nobody knows; for a forecaster the value that came true.
    `representative` rows are a fair sample of what devices see; others were kept because something was odd about
    them: good to learn labels from, and wrong to count. `troubled` rows are anomalous or look back on what was.
    """

    pipeline: str
    devices: tuple[str, ...]
    device: Ints  # index into `devices`, per row
    at_ms: Ints
    matrix: Vectors
    label: Floats
    representative: Bools
    troubled: Bools

    @classmethod
    def of(cls, pipeline: str, parts: Sequence[Part]) -> "Dataset":
        """Join parts; a device may come in several."""
        wanted = len(pipeline_named(pipeline).features)
        for part in parts:
            if part.matrix.ndim != 2 or part.matrix.shape[1] != wanted:
                raise DatasetError(
                    f"{part.device}: the matrix is of shape {part.matrix.shape}; {pipeline} has {wanted} features"
                )
            for column in (part.at_ms, part.label, part.representative, part.troubled):
                if column is not None and len(column) != len(part.matrix):
                    raise DatasetError(f"{part.device}: {len(part.matrix)} vectors, {len(column)} times or labels")
        devices = tuple(sorted({part.device for part in parts}))
        number = {name: index for index, name in enumerate(devices)}
        device = _joined([np.full(len(part.at_ms), number[part.device]) for part in parts], np.int64)
        at_ms = _joined([part.at_ms for part in parts], np.int64)
        order = np.lexsort((at_ms, device))
        matrix = np.concatenate([np.empty((0, wanted)), *(part.matrix for part in parts)]).astype(np.float32)
        made = cls(
            pipeline=pipeline,
            devices=devices,
            device=device[order],
            at_ms=at_ms[order],
            matrix=matrix[order],
            label=_joined([_or_full(part.label, part, np.nan) for part in parts], np.float64)[order],
            representative=_joined([_or_full(part.representative, part, True) for part in parts], np.bool_)[order],
            troubled=_joined([_or_full(part.troubled, part, False) for part in parts], np.bool_)[order],
        )
        untold = _joined([np.full(len(part.at_ms), part.troubled is None) for part in parts], np.bool_)[order]
        return replace(made, troubled=made.troubled | (untold & _in_time(made)))

    def __len__(self) -> int:
        return len(self.at_ms)

    def rows(self, chosen: Bools) -> "Dataset":
        return replace(
            self,
            device=self.device[chosen],
            at_ms=self.at_ms[chosen],
            matrix=self.matrix[chosen],
            label=self.label[chosen],
            representative=self.representative[chosen],
            troubled=self.troubled[chosen],
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
        settling: Bools = np.logical_and(self.troubled, ~self.anomalous)
        return settling

    @property
    def healthy(self) -> Bools:
        """Rows that nothing speaks against: not labelled an anomaly, and not settling after one."""
        return ~self.troubled

    @property
    def reference(self) -> "Dataset":
        """What healthy devices look like, in fair shares: the rows that may be counted."""
        return self.rows(self.healthy & self.representative)

    def fingerprint(self) -> str:
        """Return the SHA-256, in hex, over everything in here; equal data have equal fingerprints."""
        digest = hashlib.sha256()
        digest.update("\n".join((self.pipeline, *self.devices, "")).encode())
        columns = (self.device, "<i8"), (self.at_ms, "<i8"), (self.matrix, "<f4"), (self.label, "<f8")
        for array, kind in (*columns, (self.representative, "u1"), (self.troubled, "u1")):
            digest.update(np.ascontiguousarray(array.astype(kind)).tobytes())
        return digest.hexdigest()


def _in_time(dataset: Dataset) -> Bools:
    """Trouble by the clock: what was anomalous troubles its device for as long as the pipeline looks back.

    Labels other than 0 and 1 are what came true of a forecast, and speak of no anomaly.
    """
    if not np.isin(dataset.label[dataset.labelled], (0, 1)).all():
        return np.zeros(len(dataset), dtype=bool)
    pipeline = pipeline_named(dataset.pipeline)
    last_bad = np.where(dataset.anomalous, dataset.at_ms, np.iinfo(np.int64).min // 2)
    edges = [0, *(np.flatnonzero(np.diff(dataset.device)) + 1).tolist(), len(dataset)]
    for start, stop in pairwise(edges):
        last_bad[start:stop] = np.maximum.accumulate(last_bad[start:stop])
    troubled: Bools = dataset.at_ms - last_bad < pipeline.span * pipeline.every_ms
    return troubled


def _joined(columns: list[NDArray[Any]], kind: Any) -> NDArray[Any]:
    return np.concatenate([np.empty(0), *columns]).astype(kind)


def _or_full(column: NDArray[Any] | None, part: Part, value: float) -> NDArray[Any]:
    return np.full(len(part.matrix), value) if column is None else column
