"""Standing by: everything that a controller has to know to take over, read along while another one leads."""

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec

from schemas import feeds
from schemas.admin import Admin
from schemas.catalogue import topic_named
from schemas.cluster import Cluster
from schemas.feeds.table import Rows
from schemas.release import ModelRelease, ReleaseStage
from streams.rollouts.restore import Published

__all__ = ["Standby", "StandbyError"]

RELEASES = "models.releases"
STATE = ("fleet.devices", "rollouts.plans", "rollouts.status", "rollouts.devices", "drift.alerts", RELEASES)

_END: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class StandbyError(feeds.NotCurrentError):
    """What was published could not be read up to its end in time."""


class Standby:
    """The state topics of the controller, followed; memory as the leader's own."""

    def __init__(self, cluster: Cluster, *, cache_dir: Path | None = None, patience_s: float = 60.0) -> None:
        self._cluster, self._patience_s = cluster, patience_s
        self._admin = Admin(cluster)
        self._feeds = {name: feeds.read(cluster, name, cache_dir=cache_dir) for name in STATE}
        self._rows: dict[str, Rows[Any]] = {name: Rows() for name in STATE}
        # Partition and offset of each release: they tell whether it was digested.
        self._places: dict[str, tuple[int, int]] = {}

    def __enter__(self) -> Self:
        try:
            for feed in self._feeds.values():
                feed.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def follow(self) -> None:
        """Take in what has come, without waiting."""
        for name, feed in self._feeds.items():
            self._take(name, feed.poll(0))

    def published(self, digested: Mapping[tuple[str, int], int]) -> Published:
        """Read up to the end and return what stands; call it only once former controllers are fenced."""
        ends = self._ends()
        give_up_s = time.monotonic() + self._patience_s
        for name, feed in self._feeds.items():
            while not self._has_reached(name, ends):
                if time.monotonic() > give_up_s:
                    raise StandbyError(f"{name} was not read to its end within {self._patience_s:g} s")
                self._take(name, feed.poll(0.05))
        rows = {name: self._rows[name].shown for name in STATE}
        return Published(
            devices=rows["fleet.devices"].values(),
            plans=rows["rollouts.plans"].values(),
            statuses=rows["rollouts.status"],
            rows=rows["rollouts.devices"].values(),
            releases=no_news(rows[RELEASES], self._places, digested),
            alerts=rows["drift.alerts"].values(),
        )

    def close(self) -> None:
        for feed in self._feeds.values():
            feed.close()

    def _take(self, name: str, events: list[feeds.Event[Any]]) -> None:
        for event in events:
            self._rows[name].apply(event)
            if name == RELEASES and isinstance(event, feeds.Changed):
                self._places[event.key] = (event.partition, event.offset)

    def _ends(self) -> dict[tuple[str, int], int]:
        found = {}
        for name in STATE:
            topic = self._cluster.named(name)
            asked = {TopicPartition(topic, number): _END for number in range(topic_named(name).partitions)}
            for number, end in self._admin.offsets(asked, isolation_level=IsolationLevel.READ_COMMITTED).items():
                found[name, number] = end
        return found

    def _has_reached(self, name: str, ends: Mapping[tuple[str, int], int]) -> bool:
        reached = self._feeds[name].position().partitions
        behind = any(at.next_offset < ends.get((name, number), 0) for number, at in reached.items())
        return self._rows[name].whole and not behind


def no_news(
    releases: Mapping[str, ModelRelease],
    places: Mapping[str, tuple[int, int]],
    digested: Mapping[tuple[str, int], int],
) -> list[ModelRelease]:
    """Return the releases that are no news, by where they stand and what was digested.

    Who leads for the first time has digested none: of those in production only the newest of a model is news.
    """
    if any(topic == RELEASES for topic, _ in digested):
        return [
            release for key, release in releases.items() if places[key][1] < digested.get((RELEASES, places[key][0]), 0)
        ]
    newest: dict[str, ModelRelease] = {}
    for release in releases.values():
        rival = newest.get(release.model)
        if release.stage is ReleaseStage.PRODUCTION and (rival is None or release.created_ms > rival.created_ms):
            newest[release.model] = release
    return [release for release in releases.values() if release is not newest.get(release.model)]
