"""Hourly roll-ups: what the long horizons stand on.

A roll-up adds up a device's windows of one event hour that arrived within one arrival hour, and closes when
that arrival hour is over. Its key is (device, event hour, arrival hour), so that roll-ups of one event hour
add up, a replay writes the same keys again, and late windows are neither lost nor doubled.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.feature_stats import FeatureStats
from streams.drift.growing import GrowingArray
from streams.drift.kernels import RollupArrays, roll_up
from streams.drift.windows import Flags, Ints, Rows, Singles, Summary

__all__ = ["HOUR_MS", "Closed", "Rollups"]

HOUR_MS = 3_600_000
# A roll-up is no window of any boot.
NO_BOOT = "00000000-0000-0000-0000-000000000000"

_SUMMED = ("samples", "counts", "missing", "out_of_range", "mean", "m2")


@dataclass(frozen=True)
class Closed:
    """Roll-ups that are complete: rows, event hours (as numbers), and what was added up."""

    rows: Rows
    hours: Ints
    summary: Summary
    low: Singles
    high: Singles
    windows: Ints
    model_id: list[str]
    pipeline: list[str]

    def records(self, names: list[str], grid_id: str, arrival_hour: int) -> list[FeatureStats]:
        """Return the records to publish; `names` are the devices by row."""
        one = self.summary
        return [
            FeatureStats(
                device_id=names[row],
                model_id=self.model_id[i],
                pipeline=self.pipeline[i],
                grid_id=grid_id,
                boot_id=NO_BOOT,
                seq=arrival_hour,
                window_start_ms=int(self.hours[i]) * HOUR_MS,
                window_end_ms=(int(self.hours[i]) + 1) * HOUR_MS,
                samples=int(one.samples[i]),
                counts=np.ascontiguousarray(one.counts[i].T).astype("<u4").tobytes(),
                missing=one.missing[i].astype("<u4").tobytes(),
                out_of_range=one.out_of_range[i].astype("<u4").tobytes(),
                mean=_known(one, one.mean, i),
                m2=one.m2[i].astype("<f4").tobytes(),
                min=_known(one, self.low, i),
                max=_known(one, self.high, i),
                windows=int(self.windows[i]),
                arrival_hour_ms=arrival_hour * HOUR_MS,
            )
            for i, row in enumerate(self.rows.tolist())
        ]


class Rollups:
    """The roll-ups of the arrival hour that is going on."""

    def __init__(self, *, features: int, bins: int) -> None:
        self.slot_of: dict[tuple[int, int], int] = {}
        self.model_id: list[str] = []
        self.pipeline: list[str] = []
        # Where each row's latest window went: its hour plus one, and that roll-up's slot.
        self.latest = {"hour": GrowingArray((), np.int64), "slot": GrowingArray((), np.int64)}
        self.arrays = {
            "samples": GrowingArray((), np.int64),
            "windows": GrowingArray((), np.int64),
            "counts": GrowingArray((bins, features), np.uint32),
            "missing": GrowingArray((features,), np.uint32),
            "out_of_range": GrowingArray((features,), np.uint32),
            "mean": GrowingArray((features,), np.float32),
            "m2": GrowingArray((features,), np.float32),
            "low": GrowingArray((features,), np.float32),
            "high": GrowingArray((features,), np.float32),
        }

    def add(
        self,
        rows: Rows,
        hours: Ints,
        windows: Summary,
        extremes: tuple[Singles, Singles],
        named: tuple[list[str], list[str]],
    ) -> Flags:
        """Add windows, one after the other; says which were too many. `named` are their models and pipelines."""
        held, slot = self.latest["hour"], self.latest["slot"]
        for latest in self.latest.values():
            latest.reserve(int(rows.max(initial=-1)) + 1)
        for i in np.flatnonzero(held.rows[rows] != hours + 1).tolist():
            row, hour = int(rows[i]), int(hours[i])
            slot.rows[row], held.rows[row] = self._slot(row, hour, named[0][i], named[1][i]), hour + 1
        slots = slot.rows[rows]
        apart = np.flatnonzero(held.rows[rows] != hours + 1)
        if len(apart):
            # Rows with windows of several hours among these.
            slots[apart] = [self.slot_of[int(rows[i]), int(hours[i])] for i in apart.tolist()]
        full = np.zeros(len(rows), np.bool_)
        roll_up(RollupArrays(*(self._of(name) for name in RollupArrays._fields)), slots, windows, *extremes, full)
        return full

    def close(self) -> Closed:
        """Take all roll-ups out, ordered by row and hour."""
        keys = sorted(self.slot_of)
        slots = np.array([self.slot_of[key] for key in keys], np.intp)
        closed = Closed(
            rows=np.array([row for row, _ in keys], np.intp),
            hours=np.array([hour for _, hour in keys], np.int64),
            summary=Summary(**{name: self._of(name)[slots] for name in _SUMMED}),
            low=self._of("low")[slots],
            high=self._of("high")[slots],
            windows=self._of("windows")[slots],
            model_id=[self.model_id[slot] for slot in slots],
            pipeline=[self.pipeline[slot] for slot in slots],
        )
        self.slot_of.clear()
        self.model_id.clear()
        self.pipeline.clear()
        self.latest["hour"].rows[:] = 0
        return closed

    def _slot(self, row: int, hour: int, model_id: str, pipeline: str) -> int:
        slot = self.slot_of.get((row, hour))
        if slot is None:
            slot = self.slot_of[row, hour] = len(self.model_id)
            self.model_id.append(model_id)
            self.pipeline.append(pipeline)
            for name, array in self.arrays.items():
                array.reserve(slot + 1)
                array.rows[slot] = np.nan if name in ("low", "high") else 0
        return slot

    def _of(self, name: str) -> npt.NDArray[Any]:
        return self.arrays[name].rows


def _known(summary: Summary, values: npt.NDArray[Any], i: int) -> bytes:
    """A feature without usable values has no mean and no extremes."""
    usable = summary.samples[i] > summary.missing[i]
    return np.where(usable, values[i], np.nan).astype("<f4").tobytes()
