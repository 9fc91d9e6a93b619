"""What the engine measures, before any policy judges it: the first half of the seam between scores and verdicts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from streams.drift.evidence import Look
from streams.drift.references import ScoredAgainst
from streams.drift.scores import SCORES, Floats, Pair
from streams.drift.windows import Ints, Rows

__all__ = ["Group", "Looked", "Measured"]


@dataclass(frozen=True)
class Group:
    """What some devices have in common: what they are compared with, and their labels."""

    against: ScoredAgainst
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Looked:
    """Looks that were completed: entry i is of the measured entry `at[i]`."""

    at: Rows
    look: Look
    # How long it took to gather each look's samples.
    span_ms: Ints
    # Features with too few values of their own, though the look as a whole has enough.
    few: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Measured:
    """Windows of one group over one horizon: an entry (or row) each, no device twice."""

    group: Group
    horizon_ms: int
    # Place, in what was admitted, of the window that completed the scores, or whose arrival turned the hour.
    place: Ints
    rows: Rows
    device_id: list[str]
    boot_id: list[str]
    seq: Ints
    end_ms: Ints
    # The life that the row is in; evidence of an earlier one counts no more.
    life: Ints
    pair: Pair
    # By the samples that a look takes. Horizons without looks are judged by themselves, as a single look.
    looks: Mapping[int, Looked] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def score(self, name: str) -> Floats:
        """Return one score of all entries, computed when it is first asked for."""
        found = self._scores.get(name)
        if found is None:
            found = self._scores[name] = SCORES[name](self.pair)
        return found

    @cached_property
    def samples(self) -> Ints:
        samples: Ints = self.pair.live.seen.max(axis=1).astype(np.int64)
        return samples

    @cached_property
    def _scores(self) -> dict[str, Floats]:
        return {}
