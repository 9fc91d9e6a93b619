"""Turn summaries into measurements."""

import numpy as np
import numpy.typing as npt

from streams.drift.evidence import Kind, look_at
from streams.drift.measured import Group, Looked
from streams.drift.scores import Pair, Sample
from streams.drift.windows import Ints, Summary

__all__ = ["look_closely", "pair_with"]


def pair_with(group: Group, live: Summary) -> Pair:
    """Pair what was seen with what it is compared with."""
    return Pair(
        reference=group.against.reference,
        live=Sample(
            counts=live.counts.transpose(1, 0, 2).astype(np.float32, order="C"),
            missing=live.missing.astype(np.float32),
            out_of_range=live.out_of_range.astype(np.float32),
            mean=live.mean.astype(np.float32),
            m2=live.m2.astype(np.float32),
        ),
    )


def look_closely(summary: Summary, span_ms: Ints, complete: npt.NDArray[np.bool_], need: int, group: Group) -> Looked:
    """Score the looks that are complete."""
    at = np.flatnonzero(complete)
    pair = pair_with(group, summary if len(at) == len(complete) else summary[at])
    look = look_at(pair)
    few = pair.live.usable < need / 2
    if few.any():
        of_values = look.score[:, : Kind.SHAPE + 1]
        of_values[np.broadcast_to(few[:, np.newaxis], of_values.shape)] = np.nan
    return Looked(at=at, look=look, span_ms=span_ms[at], few=few)
