"""The sink of one topic: follows it, and keeps what it says as files, each record once.

It keeps these rules:

* a place is written after the files up to it, and only then do those files count;
* what a killed sink wrote beyond its place is removed before the topic is read on;
* a record that nobody can read is counted and becomes a dead letter; the rest goes on.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from schemas import feeds
from schemas.cluster import Cluster
from trainer.offline.files import Stored, merge_small, remove_after
from trainer.offline.kinds import Kind
from trainer.offline.place import Place, place_of, write_place
from trainer.offline.store import OfflineStore

__all__ = ["Flushing", "TopicSink"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flushing:
    """When what was read is written: whichever comes first."""

    every_s: float = 60.0
    records: int = 50_000


class TopicSink:
    """One topic on its way into files; `report` is given what nobody can read."""

    def __init__(
        self,
        cluster: Cluster,
        kind: Kind,
        folder: Path,
        *,
        flushing: Flushing,
        report: Callable[[list[feeds.Bad]], None],
        cache_dir: Path | None = None,
    ) -> None:
        self.kind = kind
        self._folder, self._flushing, self._report = folder, flushing, report
        self._store = OfflineStore(folder)
        self._place = place_of(folder, kind)
        removed = remove_after(self._root, self._place.life, self._place.next_offsets)
        if removed:
            log.info("files beyond the place removed: topic=%s files=%d", kind.topic, removed)
        self._buffer: list[Stored] = []
        self._bad: list[feeds.Bad] = []
        self._skipped = 0
        self._first_s = 0.0
        self._feed = feeds.follow(cluster, kind.topic, from_ms=0, resume=self._place.position, cache_dir=cache_dir)
        self._feed.open()
        # Before the first file: without a place, nobody could tell whether one counts.
        self._move_to(self._place)

    @property
    def counts(self) -> dict[str, int]:
        """Records kept, records that nobody can read, and offsets that were gone unread, since the store was begun."""
        return dict(self._place.counts)

    @property
    def current(self) -> bool:
        """All that was there has been read."""
        return self._feed.current

    @property
    def waiting(self) -> int:
        """How much was read and is not written yet."""
        return len(self._buffer) + len(self._bad) + bool(self._skipped)

    def step(self, *, now_s: float) -> bool:
        """Take in what there is, and write it when it is time; tell whether there was anything."""
        events = self._feed.poll(0)
        for event in events:
            self._take_in(event, now_s)
        waiting = self.waiting
        if waiting >= self._flushing.records or (waiting and now_s - self._first_s >= self._flushing.every_s):
            self.flush()
        return bool(events)

    def flush(self) -> None:
        """Write what was taken in, and then how far that is."""
        if self.waiting:
            self._write(replace(self._place, position=self._feed.position()))

    def close(self) -> None:
        self._feed.close()

    @property
    def _root(self) -> Path:
        return self._folder / self.kind.folder

    def _take_in(self, event: feeds.Event[Any], now_s: float) -> None:
        if not self.waiting:
            self._first_s = now_s
        match event:
            case feeds.Changed():
                self._buffer.append(Stored(self._place.life, event.partition, event.offset, event.value))
            case feeds.Bad():
                self._bad.append(event)
            case feeds.Skipped():
                self._skipped += event.to_offset - event.from_offset
                log.warning("gone before it was read: %s", event)
            case feeds.Restarted():
                log.warning("the topic begins another life: %s", event)
                # Its old offsets mean nothing any more; what was read under them is kept.
                self._write(replace(self._place, life=self._place.life + 1, position=None))

    def _write(self, place: Place) -> None:
        by_partition = sorted(self._buffer, key=lambda stored: (stored.partition, stored.offset))
        files = [
            path
            for _, mine in groupby(by_partition, key=lambda stored: stored.partition)
            for path in self._store.add(self.kind, list(mine))
        ]
        if self._bad:
            self._report(self._bad)
        told = {"stored": len(self._buffer), "bad": len(self._bad), "skipped": self._skipped}
        counts = {name: place.counts.get(name, 0) + number for name, number in told.items()}
        self._move_to(replace(place, counts=counts))
        self._buffer, self._bad, self._skipped = [], [], 0
        log.info("stored: topic=%s files=%d %s", self.kind.topic, len(files), told)
        for folder in {path.parent for path in files}:
            merge_small(folder, self.kind)

    def _move_to(self, place: Place) -> None:
        write_place(self._folder, self.kind, place)
        self._place = place
