"""From a fetched run of records to windows that can be judged, and dead letters for the rest."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from schemas.dead_letter import DeadLetter
from schemas.stats_run import SetAside, StatsRun
from schemas.wire import Contract
from streams.drift.known import Known
from streams.drift.measured import Group
from streams.drift.partition import Stretch
from streams.drift.quick import sort_quickly
from streams.drift.references import ScoredAgainst
from streams.drift.windows import Ints, Windows
from streams.kafka import Run
from streams.kafka.dead_letter import dead_letter

__all__ = ["SOURCE", "Opened", "Usable", "open_run", "stretch", "usable"]

SOURCE = "telemetry.feature-stats"
# A device clock further ahead of the broker's is wrong, and its windows would push the true ones off the rings.
MOST_AHEAD_MS = 60 * 60_000
# Counts have 32 bits. Beyond that sums over windows would run over, and the device never be judged again.
MOST_SAMPLES = 2**32 - 1


@dataclass
class Opened:
    """A run, opened."""

    stretches: list[Stretch] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    # Why windows cannot be judged yet; once what they wait for is there, the same run opens further.
    waiting: set[str] = field(default_factory=set)
    unread: list[SetAside] = field(default_factory=list)


def open_run(
    contract: Contract,
    run: Run,
    known: Known,
    labels: Mapping[str, Mapping[str, str]],
    *,
    now_ms: int,
) -> Opened:
    """Decode a run, find what each window is compared with, and set aside what cannot be used.

    Windows that wait for a grid or a baseline are named in `waiting` and are dead letters as well: whoever can
    wait opens the run again later, and whoever cannot sends the letters.
    """
    opened = Opened()
    values = [value or b"" for value in run.values]
    sorted_run = sort_quickly(contract, SOURCE, run.keys, values, known.shape_of)
    opened.unread = sorted_run.unread
    for bad in sorted_run.bad:
        opened.dead.append(_letter(run, bad.position, str(bad.why), now_ms))
    for grid_id, positions in sorted_run.unknown_grids.items():
        why = f"grid {grid_id:.12}: found no such grid, wanted one on models.grids"
        opened.waiting.add(why)
        opened.dead += [_letter(run, position, why, now_ms) for position in positions]
    offsets, arrivals_ms = np.array(run.offsets, np.int64), np.array(run.timestamps_ms, np.int64)
    for part in sorted_run.runs:
        found = usable(part, offsets, arrivals_ms, known)
        opened.waiting |= found.waiting
        opened.dead += [_letter(run, position, why, now_ms) for position, why in found.refused]
        if len(found.windows):
            opened.stretches.append(stretch(found.windows, found.against, labels))
    opened.dead.sort(key=lambda letter: letter.source_offset)
    return opened


@dataclass(frozen=True)
class Usable:
    """Windows on one grid that can be judged, what each of their models is compared with, and why others can't be."""

    windows: Windows
    against: Mapping[str, ScoredAgainst]
    # By position in the run.
    refused: list[tuple[int, str]]
    # Why some windows cannot be judged yet.
    waiting: set[str]


def usable(part: StatsRun, offsets: Ints, arrivals_ms: Ints, known: Known) -> Usable:
    """Find what the windows of one grid are compared with; offsets and arrivals are those of the whole run."""
    windows = _windows(part, offsets, arrivals_ms)
    found = {model: known.against(model, part.grid_id) for model in set(part.model_id)}
    against = {model: one for model, one in found.items() if isinstance(one, ScoredAgainst)}
    lost = {model: one for model, one in found.items() if isinstance(one, str)}
    refused = []
    good = windows.end_ms <= windows.arrival_ms + MOST_AHEAD_MS
    for place in np.flatnonzero(~good).tolist():
        ahead_s = (int(windows.end_ms[place]) - int(windows.arrival_ms[place])) // 1000
        why = f"window_end_ms: found {ahead_s} s after its arrival, wanted at most {MOST_AHEAD_MS // 1000} s"
        refused.append((int(part.positions[place]), why))
    countable = windows.samples <= MOST_SAMPLES
    for place in np.flatnonzero(good & ~countable).tolist():
        why = f"samples: found {int(windows.samples[place])}, wanted at most {MOST_SAMPLES}, as counts have 32 bits"
        refused.append((int(part.positions[place]), why))
    good &= countable
    if lost:
        for place, model in enumerate(part.model_id):
            if model in lost and good[place]:
                good[place] = False
                refused.append((int(part.positions[place]), lost[model]))
    if not good.all():
        windows = windows.take(np.flatnonzero(good))
    return Usable(windows, against, refused, set(lost.values()))


def stretch(
    windows: Windows,
    against: Mapping[str, ScoredAgainst],
    labels: Mapping[str, Mapping[str, str]],
) -> Stretch:
    """Say what each window is compared with."""
    groups: list[Group] = []
    place_of: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
    which = []
    for device, model in zip(windows.device_id, windows.model_id, strict=True):
        mine = labels.get(device, {}) if labels else {}
        key = (model, tuple(sorted(mine.items())) if mine else ())
        place = place_of.get(key)
        if place is None:
            place = place_of[key] = len(groups)
            groups.append(Group(against[model], mine))
        which.append(place)
    return Stretch(windows, groups, np.array(which, np.int64))


def _windows(part: StatsRun, offsets: Ints, arrivals_ms: Ints) -> Windows:
    columns = part.columns
    return Windows(
        offset=offsets[part.positions],
        arrival_ms=arrivals_ms[part.positions],
        device_id=part.device_id,
        model_id=part.model_id,
        pipeline=part.pipeline,
        boot_id=part.boot_id,
        seq=part.seq,
        start_ms=part.window_start_ms,
        end_ms=part.window_end_ms,
        samples=part.samples,
        counts=columns.counts,
        missing=columns.missing,
        out_of_range=columns.out_of_range,
        mean=columns.mean,
        m2=columns.m2,
        min=columns.min,
        max=columns.max,
    )


def _letter(run: Run, position: int, why: str, now_ms: int) -> DeadLetter:
    return dead_letter(run, position, why, source_topic=SOURCE, found_by="drift worker", now_ms=now_ms)
