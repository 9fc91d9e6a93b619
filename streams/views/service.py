"""The views worker: one reader a topic, each writing what it read together with how far it is.

Nothing is committed to Kafka: the place lives beside the data, so losing Redis means reading anew, also while it works.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import redis

from schemas import feeds
from schemas.catalogue import Cleanup, topic_named
from schemas.cluster import Cluster
from schemas.feeds import Bad, Changed, Deleted, Event, Restarted, Skipped
from schemas.grid import Grid
from streams.views.projections import Projector
from streams.views.store import ViewsLostError, ViewStore
from streams.views.writes import Write

__all__ = ["ViewsWorker"]

T = TypeVar("T")

log = logging.getLogger(__name__)

_POLL_S = 0.5
_RETRY_S = 1.0
# A Redis that says nothing for so long is away: its machine may be gone without a word.
_SILENT_S = 10.0
_REDIS = "Redis"
# Whoever has nothing to write looks this often whether what it wrote still stands.
_LOOK_EVERY_S = 3.0
_GRID_PATIENCE_S = 5.0


class ViewsWorker:
    """Keeps the views current until it is stopped; with Redis away it waits, and loses nothing."""

    def __init__(self, cluster: Cluster, redis_url: str, *, cache_dir: Path | None = None) -> None:
        self._cluster = cluster
        self._cache_dir = cache_dir
        client = redis.Redis.from_url(redis_url, socket_timeout=_SILENT_S, socket_connect_timeout=_SILENT_S)
        self._store = ViewStore(client, prefix=cluster.prefix)
        self._stopped = threading.Event()
        self._behind = set(Projector.topics())

    def waiting(self) -> list[str]:
        """Whether Redis is away, and which topics were not read up to their end, in words; from any thread."""
        behind = self._behind.copy()
        if _REDIS in behind:
            return ["Redis does not answer"]
        return [f"{topic} is not read up to its end yet" for topic in sorted(behind)]

    def run(self) -> None:
        """Work until `stop`; a failure in any reader ends them all and is raised here."""
        with ExitStack() as stack:
            grids = stack.enter_context(feeds.table(self._cluster, "models.grids", cache_dir=self._cache_dir))
            projector = Projector(_patient_lookup(grids))
            while not self._stopped.is_set():
                _Readers(self._cluster, self._store, projector, self._stopped, self._behind, self._cache_dir).run()

    def stop(self) -> None:
        self._stopped.set()


class _EndingError(Exception):
    """It is over, and Redis is not waited for any longer."""


class _Readers:
    """All readers of one attempt; when a topic was made anew they end together, and the views are cleared.

    They end together as well when Redis no longer holds what they wrote; the next attempt goes on from what it holds.
    """

    def __init__(
        self,
        cluster: Cluster,
        store: ViewStore,
        projector: Projector,
        stopped: threading.Event,
        behind: set[str],
        cache_dir: Path | None,
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._projector = projector
        self._stopped = stopped
        self._behind = behind
        self._cache_dir = cache_dir
        self._over = threading.Event()
        self._rebuild = False
        self._failure: Exception | None = None

    def run(self) -> None:
        with suppress(_EndingError):
            self._run()

    def _run(self) -> None:
        self._patiently(self._store.begin)
        self._behind.update(Projector.topics())
        threads = [
            threading.Thread(target=self._guarded, args=(topic,), name=f"views {topic}") for topic in Projector.topics()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._failure is not None:
            raise self._failure
        if self._rebuild:
            self._patiently(self._store.clear)

    def _guarded(self, topic: str) -> None:
        try:
            with suppress(_EndingError):
                self._follow(topic)
        except ViewsLostError as lost:
            log.warning("views: %s, they are read again", lost)
            self._over.set()
        except Exception as failure:  # noqa: BLE001 - raised again where `run` was called.
            self._failure = failure
            self._over.set()

    def _follow(self, topic: str) -> None:
        position = self._patiently(lambda: self._store.position(topic))
        looked_s = time.monotonic()
        with self._feed(topic, position) as feed:
            while not self._ending():
                events = feed.poll(_POLL_S)
                if any(isinstance(event, Restarted) for event in events) and position is not None:
                    log.warning("views: %s was made anew, everything is read again", topic)
                    self._rebuild = True
                    self._over.set()
                elif events:
                    writes = [write for event in events for write in self._writes(topic, event)]
                    read = feed.position()
                    self._patiently(
                        partial(self._store.apply, topic, writes, read),
                        again=partial(self._require_held, topic, position),
                    )
                    position, looked_s = read, time.monotonic()
                elif time.monotonic() - looked_s > _LOOK_EVERY_S:
                    self._patiently(partial(self._require_held, topic, position))
                    looked_s = time.monotonic()
                (self._behind.discard if feed.current else self._behind.add)(topic)

    def _feed(self, topic: str, position: feeds.Position | None) -> Any:
        if topic_named(topic).cleanup is Cleanup.COMPACT:
            return feeds.read(self._cluster, topic, resume=position, cache_dir=self._cache_dir)
        return feeds.follow(self._cluster, topic, from_ms=0, resume=position, cache_dir=self._cache_dir)

    def _writes(self, topic: str, event: Event[Any]) -> Iterable[Write]:
        match event:
            case Changed(value=value, partition=partition, offset=offset, at_ms=told_ms):
                return self._projector.project(topic, value, f"{partition}-{offset}", told_ms=told_ms)
            case Deleted(key=key):
                return self._projector.forget(topic, key)
            case Bad() | Skipped():
                log.warning("views: %s", event)
        return ()

    def _require_held(self, topic: str, written: feeds.Position | None) -> None:
        """Raise `ViewsLostError` where Redis holds an older place than was written: it came back without the last."""
        self._store.require_build()
        if written is not None and _is_older(self._store.position(topic), written):
            raise ViewsLostError(f"Redis came back without the last of {topic}")

    def _patiently(self, act: Callable[[], T], *, again: Callable[[], None] = lambda: None) -> T:
        """Act, again and again while Redis is away; `again` has the first word once it may be back."""
        away = False
        while True:
            try:
                if away:
                    again()
                done = act()
            except (redis.ConnectionError, redis.TimeoutError) as trouble:
                away = True
                self._behind.add(_REDIS)
                log.warning("views: Redis is away, nothing is lost: %s", trouble)
                if self._over.is_set() or self._stopped.wait(_RETRY_S):
                    raise _EndingError from trouble
            else:
                self._behind.discard(_REDIS)
                return done

    def _ending(self) -> bool:
        return self._over.is_set() or self._stopped.is_set()


def _is_older(found: feeds.Position | None, written: feeds.Position) -> bool:
    if found is None or found.topic_id != written.topic_id:
        return True
    return any(
        number not in found.partitions or found.partitions[number].next_offset < at.next_offset
        for number, at in written.partitions.items()
    )


def _patient_lookup(grids: feeds.Table[Grid]) -> Callable[[str], Grid | None]:
    """Look grids up; one that is new may be told of a moment after the first window on it, and is waited for once."""
    given_up: set[str] = set()

    def grid_of(grid_id: str) -> Grid | None:
        known = grid_id in grids or grid_id in given_up
        if not known and not grids.wait_for(lambda table: grid_id in table, _GRID_PATIENCE_S):
            given_up.add(grid_id)
        return grids.get(grid_id)

    return grid_of
