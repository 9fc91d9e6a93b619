"""Windows in columns: what a run of feature statistics looks like to the engine."""

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Flags", "Ints", "Naturals", "Rows", "Singles", "Summary", "Windows"]

Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]
Naturals = npt.NDArray[np.uint32]
Singles = npt.NDArray[np.float32]


class Summary(NamedTuple):
    """Summaries of samples, an entry each: what windows, looks, panes and roll-ups have in common.

    Counts are entries × bins × features, bins before features, so that sums over bins are sums of whole rows.
    """

    samples: Ints
    counts: Naturals
    missing: Naturals
    out_of_range: Naturals
    mean: Singles
    m2: Singles

    def take(self, which: Any) -> "Summary":
        """Return copies of some entries."""
        return Summary(*(array[which] for array in self))


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
