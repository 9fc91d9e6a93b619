"""The simulator as a source: a sensor of a simulated fleet, in real, stretched or no time at all."""

import time
from collections.abc import Callable, Sequence

from sensing.simulator import Simulated
from sensing.sources.base import Readings

__all__ = ["SimulatedSource"]


class SimulatedSource:
    """Plays simulated sensors; `speed` 60 makes a minute of readings a second, 0 gives them as fast as they are taken.

    Times are the simulator's own, moved so that the first reading is at `start_ms` of the device it was made with.
    With `now_ms`, no reading is given before its time: sensors that live faster than the clock catch up with it and
    then keep its pace.
    """

    refused = 0

    def __init__(
        self,
        sensors: Sequence[Simulated],
        *,
        speed: float = 1.0,
        limit: int | None = None,
        chunk: int = 256,
        clock_s: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self.channels = sensors[0].pipeline.channel_names
        self._sensors = sensors
        self._speed = speed
        self._left = limit
        self._chunk = chunk
        self._clock_s = clock_s
        self._now_ms = now_ms
        self._begun_s = clock_s()
        self._given = 0

    @property
    def done(self) -> bool:
        return self._left is not None and self._left <= 0

    def poll(self, timeout_s: float) -> list[Readings]:
        due = self._due()
        if due <= 0 and timeout_s > 0 and not self.done:
            time.sleep(min(timeout_s, self._until_next_s()))
            due = self._due()
        if due <= 0 or self.done:
            return []
        self._given += due
        if self._left is not None:
            self._left -= due
        taken = [(sensor, sensor.take(due)) for sensor in self._sensors]
        return [Readings(f"{sensor.fleet}-{sensor.stream}", each.at_ms, each.values) for sensor, each in taken]

    def close(self) -> None:
        """Nothing is held."""

    def _due(self) -> int:
        if self._speed <= 0:
            due = self._chunk
        else:
            passed_ms = (self._clock_s() - self._begun_s) * 1000 * self._speed
            due = min(int(passed_ms // self._sensors[0].pipeline.every_ms) - self._given, self._chunk)
        if self._now_ms is not None:
            first = self._sensors[0]
            due = min(due, (self._now_ms() - first.next_ms) // first.pipeline.every_ms + 1)
        return due if self._left is None else min(due, self._left)

    def _until_next_s(self) -> float:
        every_s = self._sensors[0].pipeline.every_ms / 1000 / self._speed
        return max(self._begun_s + (self._given + 1) * every_s - self._clock_s(), 0.001)
