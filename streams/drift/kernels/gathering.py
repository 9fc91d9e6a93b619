"""Windows into looks and roll-ups, one after the other."""

from typing import NamedTuple

import numpy as np

from streams.drift.kernels.compiled import compiled
from streams.drift.kernels.fold import merged
from streams.drift.kernels.layout import MOST_SUMMED
from streams.drift.windows import Flags, Ints, Naturals, Rows, Singles, Summary

__all__ = ["OpenLooks", "RollupArrays", "gather_looks", "roll_up"]


class OpenLooks(NamedTuple):
    """The arrays of open looks; see `Looks`."""

    samples: Ints
    span_ms: Ints
    counts: Naturals
    missing: Naturals
    out_of_range: Naturals
    mean: Singles
    m2: Singles


class RollupArrays(NamedTuple):
    """The arrays of roll-ups; see `Rollups`."""

    samples: Ints
    windows: Ints
    counts: Naturals
    missing: Naturals
    out_of_range: Naturals
    mean: Singles
    m2: Singles
    low: Singles
    high: Singles


@compiled
def gather_looks(
    held: OpenLooks, rows: Rows, life_begins: Flags, windows: Summary, span_ms: Ints, need: int, complete: Flags
) -> None:
    """Turn windows, in place, into the looks that they complete; what completes none is kept for the next."""
    bins, features = held.counts.shape[1:]
    for i in range(len(rows)):
        row = rows[i]
        if life_begins[i] or held.samples[row] + windows.samples[i] > MOST_SUMMED:
            held.samples[row] = 0
        before = held.samples[row]
        complete[i] = before + windows.samples[i] >= need
        if before > 0:
            for f in range(features):
                windows.mean[i, f], windows.m2[i, f] = merged(
                    float(before - np.int64(held.missing[row, f])), float(held.mean[row, f]), float(held.m2[row, f]),
                    float(windows.samples[i] - np.int64(windows.missing[i, f])),
                    float(windows.mean[i, f]), float(windows.m2[i, f]),
                )  # fmt: skip
                windows.missing[i, f] += held.missing[row, f]
                windows.out_of_range[i, f] += held.out_of_range[row, f]
            for b in range(bins):
                for f in range(features):
                    windows.counts[i, b, f] += held.counts[row, b, f]
            windows.samples[i] += before
            span_ms[i] += held.span_ms[row]
        held.samples[row] = 0
        if not complete[i]:
            held.samples[row], held.span_ms[row] = windows.samples[i], span_ms[i]
            held.counts[row] = windows.counts[i]
            held.missing[row], held.out_of_range[row] = windows.missing[i], windows.out_of_range[i]
            held.mean[row], held.m2[row] = windows.mean[i], windows.m2[i]


@compiled
def roll_up(into: RollupArrays, slots: Rows, windows: Summary, low: Singles, high: Singles, full: Flags) -> None:
    """Add each window to the roll-up in its slot; says which had no room left in 32 bits."""
    bins, features = into.counts.shape[1:]
    for i in range(len(slots)):
        at = slots[i]
        full[i] = into.samples[at] + windows.samples[i] > MOST_SUMMED
        if full[i]:
            continue
        for f in range(features):
            mean, m2 = merged(
                float(into.samples[at] - np.int64(into.missing[at, f])), float(into.mean[at, f]),
                float(into.m2[at, f]),
                float(windows.samples[i] - np.int64(windows.missing[i, f])),
                float(windows.mean[i, f]), float(windows.m2[i, f]),
            )  # fmt: skip
            into.mean[at, f], into.m2[at, f] = mean, m2
            into.missing[at, f] += windows.missing[i, f]
            into.out_of_range[at, f] += windows.out_of_range[i, f]
            # A value that is not known takes no part.
            if low[i, f] < into.low[at, f] or into.low[at, f] != into.low[at, f]:
                into.low[at, f] = low[i, f]
            if high[i, f] > into.high[at, f] or into.high[at, f] != into.high[at, f]:
                into.high[at, f] = high[i, f]
        counts, added = into.counts[at], windows.counts[i]
        for b in range(bins):
            for f in range(features):
                counts[b, f] += added[b, f]
        into.samples[at] += windows.samples[i]
        into.windows[at] += 1
