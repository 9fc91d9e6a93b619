"""What partitions that are replayed together tell of cohorts: for each partition the shares that its worker told."""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

from schemas.catalogue import topic_named
from schemas.drift_scores import CohortPane
from schemas.partition import partition_of
from streams.drift.cohort_shares import shares_by_partition
from streams.drift.desk import SOURCE
from streams.drift.engine import Engine
from streams.drift.telling import Telling
from streams.drift.windows import Windows

__all__ = ["CohortTeller"]

_MANY = topic_named(SOURCE).partitions
_NOWHERE = -1


class CohortTeller:
    """Tells of cohorts under policies that measure alike; `left_out` are devices that never were."""

    def __init__(
        self,
        pane_ms: int,
        names: Sequence[str],
        labels: Mapping[str, Mapping[str, str]],
        left_out: Collection[str] = (),
    ) -> None:
        self.pane_ms = pane_ms
        self._names, self._labels, self._left_out = names, labels, frozenset(left_out)
        self._tellings: dict[int, Telling] = {}
        self._arrived_ms = 0

    def note(self, partition: int, grid_id: str, windows: Windows) -> None:
        """Note what arrived on a partition, time having gone by up to the tick that it arrived in."""
        telling = self._tellings.get(partition)
        if telling is None:
            telling = self._tellings[partition] = Telling(self.pane_ms)
            telling.take(self._arrived_ms)
        telling.note(grid_id, windows)

    def tell(self, arrived_ms: int, engines: Mapping[str, Engine]) -> list[CohortPane]:
        """Let time go by; returns the shares that are due. Engines are by grid, and know nothing that arrived later."""
        self._arrived_ms = arrived_ms
        due: dict[str, dict[int, list[tuple[int, int]]]] = {}
        for partition, telling in self._tellings.items():
            for grid_id, panes in telling.take(arrived_ms).items():
                due.setdefault(grid_id, {})[partition] = panes
        return [
            share
            for grid_id, panes in due.items()
            for share in shares_by_partition(
                engines[grid_id], panes, self._names, self._labels, partition_of=self._partition_of
            )
        ]

    def _partition_of(self, device_id: str) -> int:
        return _NOWHERE if device_id in self._left_out else _place_of(device_id)


@lru_cache(maxsize=1 << 17)
def _place_of(device_id: str) -> int:
    return partition_of(device_id, _MANY)
