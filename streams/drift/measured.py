"""What the engine measures, before any policy judges it: the first half of the seam between scores and verdicts."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from streams.drift.evidence import Look
from streams.drift.kernels import Totals
from streams.drift.references import ScoredAgainst
from streams.drift.scores import SCORES, Floats, Pair, Reference, Sample
from streams.drift.windows import Ints, Rows

__all__ = ["Group", "Looked", "Measured"]


@dataclass(frozen=True)
class Group:
    """What some devices have in common: what they are compared with, and their labels."""

    against: ScoredAgainst
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Looked:
    """Looks that were completed: look i is of the measured entry `at[i]`."""

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
    totals: Totals
    reference: Reference
    # How long until the next such measurement.
    every_ms: int
    # Scores that are known already, by name.
    scores: dict[str, Floats]
    # By the samples that a look takes; of the first horizon, whose evidence adds up.
    looks: Mapping[int, Looked] | None = None
    # Of the other horizons, which are judged by themselves.
    alone: Look | None = None
    # Entries of which enough of the horizon is known, where that is asked.
    is_filled: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def samples(self) -> Ints:
        return self.totals.samples

    def score(self, name: str) -> Floats:
        """Return one score of all entries, computed when it is first asked for."""
        found = self.scores.get(name)
        if found is None:
            found = self.scores[name] = SCORES[name](self.pair)
        return found

    @cached_property
    def pair(self) -> Pair:
        """What all entries hold, and what they are compared with."""
        return self.pair_of(np.arange(len(self)))

    def elements(self, entries: Rows, features: Rows) -> Pair:
        """Return single features of entries, as if they were so many features of one device, the last of them twice.

        NumPy adds up a column that stands alone in another order than one among others.
        """
        totals, reference = self.totals, self.reference
        entries, features = np.append(entries, entries[-1:]), np.append(features, features[-1:])

        def picked(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return values[entries, features][np.newaxis]

        def theirs(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
            rows = entries if values.shape[-2] > 1 else 0
            return np.ascontiguousarray(values[..., rows, features][..., np.newaxis, :])

        live = Sample(
            counts=np.ascontiguousarray(totals.counts[entries, :, features].T[:, np.newaxis]),
            missing=picked(totals.missing), out_of_range=picked(totals.out_of_range), mean=picked(totals.mean),
            m2=picked(totals.m2),
        )  # fmt: skip
        return Pair(
            reference=Reference(**{one.name: theirs(getattr(reference, one.name)) for one in fields(Reference)}),
            live=live,
        )

    def moments_of(self, entries: Rows) -> Pair:
        """Return what some entries hold with all bins as one: enough for what is about means and spreads."""
        totals, reference = self.totals, self.reference
        usable = totals.samples[entries][:, np.newaxis] - totals.missing[entries]
        live = Sample(
            counts=usable[np.newaxis].astype(np.float32), missing=totals.missing[entries],
            out_of_range=totals.out_of_range[entries], mean=totals.mean[entries], m2=totals.m2[entries],
        )  # fmt: skip
        shared = reference.missing.shape[0] == 1
        theirs = reference if shared else reference.only(entries)
        return Pair(reference=replace(theirs, counts=theirs.usable[np.newaxis]), live=live)

    def pair_of(self, entries: Rows) -> Pair:
        """Return what some entries hold, and what they are compared with."""
        totals = self.totals
        live = Sample(
            # Bins come first where scores are computed.
            counts=np.ascontiguousarray(totals.counts[entries].transpose(1, 0, 2)),
            missing=totals.missing[entries],
            out_of_range=totals.out_of_range[entries],
            mean=totals.mean[entries],
            m2=totals.m2[entries],
        )
        shared = self.reference.missing.shape[0] == 1
        return Pair(reference=self.reference if shared else self.reference.only(entries), live=live)
