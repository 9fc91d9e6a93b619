"""Windows in columns: what a run of feature statistics looks like to the engine."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Ints", "Rows", "Summary", "Windows"]

Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Summary:
    """Summaries of samples, a row each: what windows, panes and roll-ups have in common.

    Counts are rows × bins × features, bins before features, so that sums over bins are sums of whole rows.
    """

    samples: Ints
    counts: npt.NDArray[np.uint32]
    missing: npt.NDArray[np.uint32]
    out_of_range: npt.NDArray[np.uint32]
    mean: npt.NDArray[np.floating[Any]]
    m2: npt.NDArray[np.floating[Any]]

    def __getitem__(self, rows: Any) -> "Summary":
        return replace(self, **{field.name: getattr(self, field.name)[rows] for field in fields(self)})


@dataclass(frozen=True)
class Windows:
    """Windows on one grid, in the order of their offsets; entry i of everything is one window."""

    offset: Ints
    # Broker time of arrival.
    arrival_ms: Ints
    device_id: list[str]
    model_id: list[str]
    pipeline: list[str]
    boot_id: list[str]
    seq: Ints
    start_ms: Ints
    end_ms: Ints
    samples: Ints
    # Windows × features × bins, as on the wire.
    counts: npt.NDArray[np.uint32]
    missing: npt.NDArray[np.uint32]
    out_of_range: npt.NDArray[np.uint32]
    mean: npt.NDArray[np.float32]
    m2: npt.NDArray[np.float32]
    min: npt.NDArray[np.float32]
    max: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.offset)

    def take(self, which: Ints) -> "Windows":
        """Return some of the windows, in the order given."""
        chosen: dict[str, Any] = {}
        for field in fields(self):
            column = getattr(self, field.name)
            chosen[field.name] = [column[i] for i in which] if isinstance(column, list) else column[which]
        return Windows(**chosen)

    def summary(self, which: Ints) -> Summary:
        """Return the summaries of some windows, bins before features."""
        return Summary(
            samples=self.samples[which],
            counts=np.ascontiguousarray(self.counts[which].transpose(0, 2, 1)),
            missing=self.missing[which],
            out_of_range=self.out_of_range[which],
            mean=self.mean[which],
            m2=self.m2[which],
        )
