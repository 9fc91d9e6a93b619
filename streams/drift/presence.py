"""Who is there: the rows of one engine's devices, when each was last heard of, and which windows were seen."""

from dataclasses import dataclass

import numpy as np

from streams.drift.roster import Roster
from streams.drift.seen import Seen
from streams.drift.windows import Rows

__all__ = ["Presence", "Tally"]


@dataclass
class Tally:
    """What became of windows."""

    judged: int = 0
    repeated: int = 0
    # Older than the fast ring; in the roll-ups nevertheless.
    late: int = 0
    overflowed: int = 0
    evicted: int = 0

    def plus(self, other: "Tally") -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


class Presence:
    """Rows and arrivals; `reach_ms` is how far back the longest ring goes."""

    def __init__(self, *, fast_reach_ms: int, reach_ms: int = 0) -> None:
        self.fast_reach_ms, self.reach_ms = fast_reach_ms, reach_ms
        self.roster, self.seen = Roster(), Seen()
        # The latest arrival so far.
        self.arrival_ms = 0
        self.last_arrival_ms: list[int] = []
        # Arrival of the first window of its present life: before that, rings hold nothing of it.
        self.awake_since_ms: list[int] = []

    def arrive(self, device: str, arrival_ms: int) -> int:
        """Note that a window of a device came, new or not; returns its row, or -1 when it must `wake` first."""
        if arrival_ms > self.arrival_ms:
            self.arrival_ms = arrival_ms
        row = self.roster.row_of.get(device)
        if row is None:
            return self._enter(device, arrival_ms)
        silent_ms = arrival_ms - self.last_arrival_ms[row]
        if silent_ms > self.fast_reach_ms:
            return -1
        if silent_ms > 0:
            self.last_arrival_ms[row] = arrival_ms
        return row

    def wake(self, device: str, arrival_ms: int) -> tuple[int, bool]:
        """Let a device be there again after a long silence; says whether that was beyond the reach of any ring."""
        row = self.roster.row_of[device]
        forgotten = arrival_ms - self.last_arrival_ms[row] > self.reach_ms
        self.last_arrival_ms[row] = arrival_ms
        if forgotten:
            self.seen.forget(device)
            self.awake_since_ms[row] = arrival_ms
        return row, forgotten

    def _enter(self, device: str, arrival_ms: int) -> int:
        row = self.roster.enter(device)
        if row == len(self.last_arrival_ms):
            self.last_arrival_ms.append(0)
            self.awake_since_ms.append(0)
        self.last_arrival_ms[row] = self.awake_since_ms[row] = arrival_ms
        return row

    def dismiss(self, now_ms: int) -> Rows:
        """Let devices go that have been silent for longer than any ring reaches; returns the rows they had."""
        last = self.last_arrival_ms
        silent = [device for device, row in self.roster.row_of.items() if now_ms - last[row] > self.reach_ms]
        for device in silent:
            self.seen.forget(device)
        return np.array([self.roster.leave(device) for device in silent], np.intp)

    def is_awake(self, row: int) -> bool:
        """Say whether the row's fast ring would survive if its device came now."""
        return self.arrival_ms - self.last_arrival_ms[row] <= self.fast_reach_ms
