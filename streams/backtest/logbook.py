"""Logbooks: what a replay notes beside the alerts, the same for all policies."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from streams.drift.measured import Measured
from streams.drift.scores import SCORES
from streams.drift.windows import Windows

__all__ = ["DeviceNotes", "Logbook", "Noted"]

DAY_MS = 86_400_000


@dataclass(slots=True)
class DeviceNotes:
    """What there was of one device within the span; event times."""

    windows: int = 0
    covered_ms: int = 0
    # Of these, how many end before the split, where there is one.
    windows_before: int = 0
    covered_before_ms: int = 0
    first_ms: int = 0
    last_ms: int = 0

    @property
    def days(self) -> float:
        """Return how many days its windows cover."""
        return self.covered_ms / DAY_MS

    def parts(self) -> "tuple[DeviceNotes, DeviceNotes]":
        """Return what there was before the split, and from there on."""
        before = replace(self, windows=self.windows_before, covered_ms=self.covered_before_ms)
        after = replace(
            self, windows=self.windows - self.windows_before, covered_ms=self.covered_ms - self.covered_before_ms
        )
        return before, after


@dataclass(slots=True)
class Noted:
    """How far one device was from its reference, as seen once a step: the feature that was furthest."""

    device_id: str
    at_ms: int
    feature: str
    psi: float
    ks: float


@dataclass
class Logbook:
    """Devices by id, and a score of each every `step_ms` of its own time."""

    step_ms: int = 15 * 60_000
    split_ms: int = 0
    devices: dict[str, DeviceNotes] = field(default_factory=dict)
    scores: list[Noted] = field(default_factory=list)
    _step_of: dict[str, int] = field(default_factory=dict)

    def note_windows(self, windows: Windows) -> None:
        """Count windows and the time that they cover."""
        ids, place = np.unique(np.array(windows.device_id, object), return_inverse=True)
        count = np.bincount(place, minlength=len(ids))
        lasted = windows.end_ms - windows.start_ms
        covered = np.bincount(place, lasted, len(ids)).astype(np.int64)
        before = windows.end_ms <= self.split_ms
        count_before = np.bincount(place[before], minlength=len(ids))
        covered_before = np.bincount(place[before], lasted[before], len(ids)).astype(np.int64)
        first, last = np.full(len(ids), np.iinfo(np.int64).max), np.zeros(len(ids), np.int64)
        np.minimum.at(first, place, windows.start_ms)
        np.maximum.at(last, place, windows.end_ms)
        for i, device in enumerate(ids.tolist()):
            notes = self.devices.setdefault(device, DeviceNotes(first_ms=int(first[i])))
            notes.windows += int(count[i])
            notes.covered_ms += int(covered[i])
            notes.windows_before += int(count_before[i])
            notes.covered_before_ms += int(covered_before[i])
            notes.first_ms, notes.last_ms = min(notes.first_ms, int(first[i])), max(notes.last_ms, int(last[i]))

    def note_scores(self, measured: Sequence[Measured]) -> None:
        """Keep the scores of windows that begin a step of their device's time."""
        for one in measured:
            steps = (one.end_ms // self.step_ms).tolist()
            due = [i for i, device in enumerate(one.device_id) if self._step_of.get(device, -1) < steps[i]]
            if due:
                self._keep(one, np.array(due, np.intp), steps)

    def _keep(self, one: Measured, due: npt.NDArray[np.intp], steps: list[int]) -> None:
        pair = one.pair.only(due)
        psi, ks = (np.nan_to_num(score(pair)) for score in (SCORES["psi"], SCORES["ks"]))
        furthest = psi.argmax(axis=1).tolist()
        for place, (i, feature) in enumerate(zip(due.tolist(), furthest, strict=True)):
            device = one.device_id[i]
            self._step_of[device] = steps[i]
            self.scores.append(
                Noted(
                    device, int(one.end_ms[i]), one.group.against.features[feature],
                    float(psi[place, feature]), float(ks[place].max()),
                )
            )  # fmt: skip
