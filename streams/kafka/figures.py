"""What a bulk app tells of itself: figures for Prometheus, and what it still waits for before it is ready."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

__all__ = ["Figures", "Standing"]

_PARTITION = ["topic", "partition"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the work in one assigned partition is."""

    topic: str
    partition: int
    front: int
    """All before it is done."""
    end: int
    """Where the log ends; below 0 while that is not known."""
    unfinished: int
    """Runs that are with the agents, or wait for them."""
    taken_up: bool
    """Whether a run was finished since the assignment; before that state may have to be restored."""


class _Consumer(Protocol):
    def standings(self) -> Sequence[Standing]: ...


class Figures(Collector):
    """One app's; lag and the like are looked up when somebody asks.

    Asked from other threads than the one in which the app works.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self.registry = CollectorRegistry()
        self.records = Counter(
            "driftline_worker_records", "Records handed to agents.", _PARTITION, registry=self.registry
        )
        self.run_records = Histogram(
            "driftline_worker_run_records",
            "Records in a run.",
            ["topic"],
            registry=self.registry,
            buckets=(1, 10, 100, 500, 1000, 2000, 5000),
        )
        self.commits = Counter("driftline_worker_commits", "Commits of offsets.", ["outcome"], registry=self.registry)
        self.expired = Counter(
            "driftline_worker_expired_records", "Offsets that retention removed unread.", _PARTITION,
            registry=self.registry,
        )  # fmt: skip
        self.rebalances = Counter("driftline_worker_rebalances", "Assignments received.", registry=self.registry)
        self.opened_agents = 0
        self.assigned = False
        """Whether it is known which partitions are the app's, and where the work in them begins."""
        self.consumer: _Consumer | None = None
        self._alive_at_s = time.monotonic()
        self.registry.register(self)

    def alive(self) -> None:
        """Note that the app's event loop turns."""
        self._alive_at_s = time.monotonic()

    def silent_s(self) -> float:
        """Return for how long the app's event loop has not turned."""
        return time.monotonic() - self._alive_at_s

    def waiting(self) -> list[str]:
        """Return what the app waits for before it is ready, in words; nothing when it is."""
        agents = len(self._app.agents)
        if self.opened_agents < agents:
            return [f"{agents - self.opened_agents} of {agents} agents are not open yet"]
        if self._app.rebalancing or not self.assigned:
            return ["partitions are being assigned"]
        return [reason for standing in self._standings() if (reason := _waits_for(standing))]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        lag = GaugeMetricFamily("driftline_worker_lag_records", "Offsets that are not done yet.", labels=_PARTITION)
        runs = GaugeMetricFamily("driftline_worker_unfinished_runs", "Runs handed out, not done.", labels=_PARTITION)
        taken_up = GaugeMetricFamily(
            "driftline_worker_partition_taken_up", "1 once a run was done since its assignment.", labels=_PARTITION
        )
        for standing in self._standings():
            labels = [standing.topic, str(standing.partition)]
            if standing.end >= 0:
                lag.add_metric(labels, max(0, standing.end - standing.front))
            runs.add_metric(labels, standing.unfinished)
            taken_up.add_metric(labels, standing.taken_up)
        yield from (lag, runs, taken_up)

    def _standings(self) -> Sequence[Standing]:
        return () if self.consumer is None else self.consumer.standings()


def _waits_for(standing: Standing) -> str:
    if standing.end < 0:
        return f"{standing.topic}[{standing.partition}]: its lag is not known yet"
    if not standing.taken_up and standing.front < standing.end:
        return f"{standing.topic}[{standing.partition}]: its first run is not done yet"
    return ""
