"""Windows into rings, looks and roll-ups, one after the other, and what the horizons then hold."""

from typing import Any, NamedTuple

import numpy as np

from streams.drift.kernels.compiled import compiled, inlined
from streams.drift.kernels.layout import MOST_SUMMED, Totals
from streams.drift.windows import Flags, Ints, Naturals, Rows, Singles, Summary

__all__ = ["Arrived", "Became", "Devices", "Panes", "add_panes", "add_up", "fold", "sum_panes", "transposed"]


class Panes(NamedTuple):
    """A ring's arrays; see `Ring`."""

    pane: Ints
    newest: Ints
    first_offset: Ints
    samples: Ints
    counts: Naturals
    missing: Naturals
    out_of_range: Naturals
    mean: Singles
    m2: Singles


class Devices(NamedTuple):
    """What an engine knows of each row."""

    last_seq: Ints
    last_end_ms: Ints
    fast_floor: Ints
    life: Ints
    # Number of the baseline that the row is compared with; 0 is none.
    baseline: Ints


class Arrived(NamedTuple):
    """Windows in their order: what places them."""

    rows: Rows
    baseline: Ints
    pane: Ints
    end_ms: Ints
    seq: Ints
    offset: Ints


class Became(NamedTuple):
    """What became of each window."""

    # It is the newest of its device,
    newer: Flags
    # and of another baseline than the one before.
    changed: Flags
    # It is of the model that its device runs, and in time: it is judged.
    judged: Flags
    # It is older than the ring.
    late: Flags
    # Its pane has no room left in 32 bits.
    full: Flags
    # Its arrival ended a pane.
    closing: Flags
    life: Ints

    @staticmethod
    def of(windows: int) -> "Became":
        """Return room for what becomes of so many windows."""
        newer, changed, judged, late, full, closing = (np.zeros(windows, np.bool_) for _ in range(6))
        return Became(newer, changed, judged, late, full, closing, life=np.zeros(windows, np.int64))


@compiled
def fold(
    ring: Panes, devices: Devices, arrived: Arrived, windows: Summary, back: int, close: bool, became: Became,
    fast: Totals, closed: Totals,
) -> None:  # fmt: skip
    """Add windows to the ring; write each one's fast horizon, and the whole ring where a pane ended before it."""
    slots = ring.pane.shape[1]
    for i in range(len(arrived.rows)):
        row, pane = arrived.rows[i], arrived.pane[i]
        current = _note(devices, arrived, i, row, became)
        became.life[i] = devices.life[row]
        held = pane > ring.newest[row] - 1 - slots and pane >= devices.fast_floor[row]
        became.late[i] = not held
        became.judged[i] = held and current
        became.closing[i] = held and close and ring.newest[row] > 0 and pane >= ring.newest[row]
        became.full[i] = False
        if became.closing[i]:
            _sum(ring, row, ring.newest[row], slots, closed, i)
        if held:
            became.full[i] = not _add(ring, row, pane, arrived.offset[i], windows, i)
        if became.judged[i]:
            _sum(ring, row, ring.newest[row], back, fast, i)


@compiled
def add_panes(ring: Panes, rows: Rows, panes: Ints, more: Summary, offsets: Ints, full: Flags) -> None:
    """Add what is within the ring's reach, entry by entry; says which had no room left in 32 bits."""
    slots = ring.pane.shape[1]
    for i in range(len(rows)):
        full[i] = False
        if panes[i] > ring.newest[rows[i]] - 1 - slots:
            full[i] = not _add(ring, rows[i], panes[i], offsets[i], more, i)


@compiled
def sum_panes(ring: Panes, rows: Rows, last: Ints, back: int, total: Totals) -> None:
    """Add up, of each row, `back` panes up to and with its `last`."""
    for i in range(len(rows)):
        _sum(ring, rows[i], last[i] + 1, back, total, i)


@compiled
def add_up(
    ring: Panes, rows: Rows, pane: int, samples: Ints, counts: Ints, missing: Ints, outside: Ints, mean: Any, m2: Any
) -> int:
    """Add up one pane of some rows, in double precision; returns how many rows have it, and marks them in `samples`."""
    slot = pane % ring.pane.shape[1]
    bins, features = counts.shape
    found = 0
    total = 0
    for i in range(len(rows)):
        row = rows[i]
        samples[i] = 0
        if ring.pane[row, slot] != pane + 1:
            continue
        found += 1
        samples[i] = ring.samples[row, slot]
        for f in range(features):
            lost = np.int64(ring.missing[row, slot, f])
            mean[f], m2[f] = merged(
                float(total - missing[f]), mean[f], m2[f], float(samples[i] - lost),
                float(ring.mean[row, slot, f]), float(ring.m2[row, slot, f]),
            )  # fmt: skip
            missing[f] += lost
            outside[f] += ring.out_of_range[row, slot, f]
        for b in range(bins):
            for f in range(features):
                counts[b, f] += ring.counts[row, slot, b, f]
        total += samples[i]
    return found


@compiled
def transposed(counts: Naturals, into: Naturals) -> None:
    """Turn windows × features × bins into windows × bins × features."""
    for i in range(counts.shape[0]):
        for f in range(counts.shape[1]):
            for b in range(counts.shape[2]):
                into[i, b, f] = counts[i, f, b]


@inlined
def merged(n: Any, mean: Any, m2: Any, more: Any, more_mean: Any, more_m2: Any) -> Any:
    """Mean and m2 of two sets of samples together (Chan, Golub and LeVeque); one without samples changes nothing."""
    part = more / max(n + more, 1.0)
    gap = more_mean - mean
    both = n > 0.0 and more > 0.0
    moved = mean + gap * part if both else (more_mean if more > 0.0 else mean)
    spread = m2 + more_m2 + gap * gap * (n * part) if both else (more_m2 if more > 0.0 else m2)
    return moved, spread


@inlined
def _note(devices: Any, arrived: Any, i: Any, row: Any, became: Any) -> Any:
    """Remember who came last, and say whether the window is of the model that its device runs now.

    A new baseline makes an end of the evidence against the old one; backlog of the old one is not judged.
    """
    same = devices.baseline[row] == arrived.baseline[i]
    newer = arrived.end_ms[i] > devices.last_end_ms[row]
    became.newer[i] = newer
    became.changed[i] = newer and not same
    if newer:
        if not same:
            devices.life[row] += 1
            devices.baseline[row] = arrived.baseline[i]
        devices.last_seq[row] = arrived.seq[i]
        devices.last_end_ms[row] = arrived.end_ms[i]
    return same or newer


@compiled
def _add(ring: Panes, row: int, pane: int, offset: int, more: Summary, i: int) -> bool:
    slot = pane % ring.pane.shape[1]
    bins, features = ring.counts.shape[2:]
    if ring.pane[row, slot] != pane + 1:
        ring.pane[row, slot] = pane + 1
        ring.first_offset[row, slot] = offset
        ring.samples[row, slot] = 0
        ring.counts[row, slot] = 0
        ring.missing[row, slot] = 0
        ring.out_of_range[row, slot] = 0
        ring.mean[row, slot] = 0
        ring.m2[row, slot] = 0
    held = ring.samples[row, slot]
    if held + more.samples[i] > MOST_SUMMED:
        return False
    for f in range(features):
        mean, m2 = merged(
            float(held - np.int64(ring.missing[row, slot, f])), float(ring.mean[row, slot, f]),
            float(ring.m2[row, slot, f]),
            float(more.samples[i] - np.int64(more.missing[i, f])), float(more.mean[i, f]), float(more.m2[i, f]),
        )  # fmt: skip
        ring.mean[row, slot, f], ring.m2[row, slot, f] = mean, m2
        ring.missing[row, slot, f] += more.missing[i, f]
        ring.out_of_range[row, slot, f] += more.out_of_range[i, f]
    counts, added = ring.counts[row, slot], more.counts[i]
    for b in range(bins):
        for f in range(features):
            counts[b, f] += added[b, f]
    ring.samples[row, slot] = held + more.samples[i]
    ring.newest[row] = max(ring.newest[row], pane + 1)
    return True


@compiled
def _sum(ring: Panes, row: int, newest: int, back: int, total: Totals, i: int) -> None:
    # `newest` is a pane plus one, as the ring has it.
    slots = ring.pane.shape[1]
    bins, features = ring.counts.shape[2:]
    samples = 0
    counts = total.counts[i]
    counts[:] = 0
    total.missing[i] = 0
    total.out_of_range[i] = 0
    total.mean[i] = 0
    total.m2[i] = 0
    for age in range(back):
        wanted = newest - age
        slot = (wanted - 1) % slots
        if wanted <= 0 or ring.pane[row, slot] != wanted:
            continue
        pane = ring.counts[row, slot]
        for b in range(bins):
            for f in range(features):
                counts[b, f] += np.float32(pane[b, f])
        for f in range(features):
            missing = np.int64(ring.missing[row, slot, f])
            total.mean[i, f], total.m2[i, f] = merged(
                float(samples) - float(total.missing[i, f]), float(total.mean[i, f]), float(total.m2[i, f]),
                float(ring.samples[row, slot] - missing),
                float(ring.mean[row, slot, f]), float(ring.m2[row, slot, f]),
            )  # fmt: skip
            total.missing[i, f] += missing
            total.out_of_range[i, f] += ring.out_of_range[row, slot, f]
        samples += ring.samples[row, slot]
    total.samples[i] = samples
