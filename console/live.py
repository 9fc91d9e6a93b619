"""Live updates: each topic is read once, and every change is passed on to all who listen, encoded once."""

import asyncio
import logging
import math
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas import feeds
from schemas.cluster import Cluster
from schemas.errors import DriftlineError
from schemas.feeds import Changed, Deleted
from schemas.jsonable import as_jsonable, as_text
from schemas.operators import AuditEntry

__all__ = ["KINDS", "Hub", "Listener", "News"]

log = logging.getLogger(__name__)

# Kind of event -> topic, and the fields that stay at home.
KINDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "alert": ("drift.alerts", ()),
    "rollout": ("rollouts.status", ("state", "digested")),
    "device": ("fleet.devices", ()),
    "model": ("models.releases", ("manifest",)),
    "policy": ("drift.policies", ("envelope",)),
    "training": ("training.requests", ()),
    "audit": ("audit.log", ()),
    "scores": ("drift.scores", ()),
}
_KEPT = 2_000
_WAITING = 256
_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class News:
    """One change, ready to be sent."""

    number: int
    kind: str
    # The device, for kinds that are told only to those who asked for one.
    device_id: str
    frame: bytes


@dataclass(slots=True, eq=False)
class Listener:
    """One stream of news to one reader; what a slow reader misses is told by one `reset`."""

    kinds: frozenset[str]
    device_id: str
    queue: asyncio.Queue[News] = field(default_factory=lambda: asyncio.Queue(_WAITING))
    lost: bool = False

    def wants(self, news: News) -> bool:
        return news.kind in self.kinds and (not self.device_id or news.device_id in ("", self.device_id))

    def offer(self, news: News) -> None:
        if self.lost:
            return
        try:
            self.queue.put_nowait(news)
        except asyncio.QueueFull:
            self.lost = True


class Hub:
    """Reads the topics and passes on; scores go only to those who name a device."""

    def __init__(self, cluster: Cluster, *, cache_dir: Path | None) -> None:
        self._cluster = cluster
        self._cache_dir = cache_dir
        self._boot = uuid.uuid4().hex[:8]
        self._number = 0
        self._kept: deque[News] = deque(maxlen=_KEPT)
        self._listeners: set[Listener] = set()
        self._awaited: dict[asyncio.Future[AuditEntry], Callable[[AuditEntry], bool]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        # Kinds whose topic is being read at the moment.
        self.reading: set[str] = set()

    @property
    def connected(self) -> bool:
        """All topics are being read."""
        return self.reading == KINDS.keys()

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._follow(kind), name=f"live {kind}") for kind in KINDS]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @contextmanager
    def listening(self, fits: Callable[[AuditEntry], bool]) -> Iterator["asyncio.Future[AuditEntry]"]:
        """Await the first audit entry that fits."""
        awaited: asyncio.Future[AuditEntry] = asyncio.get_running_loop().create_future()
        self._awaited[awaited] = fits
        try:
            yield awaited
        finally:
            del self._awaited[awaited]
            awaited.cancel()

    @contextmanager
    def listener(self, kinds: frozenset[str], device_id: str = "", after: str = "") -> Iterator[Listener]:
        """Open a stream of news; with the id of the last one that was seen, from there on."""
        listener = Listener(kinds, device_id)
        boot, _, number = after.partition("-")
        if after:
            seen = int(number) if boot == self._boot and number.isdigit() else -1
            oldest = self._kept[0].number if self._kept else self._number + 1
            missed = [news for news in self._kept if news.number > seen and listener.wants(news)]
            listener.lost = seen < oldest - 1 or len(missed) > _WAITING
            for news in missed:
                listener.offer(news)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def frames(self, listener: Listener, *, beat_s: float) -> AsyncIterator[bytes]:
        """Give what is to be sent: news, `reset` where some were missed, and a comment when there is nothing."""
        yield b"retry: 2000\n\n"
        while True:
            if listener.lost:
                listener.queue = asyncio.Queue(_WAITING)
                listener.lost = False
                yield b"id: %s-%d\nevent: reset\ndata: {}\n\n" % (self._boot.encode(), self._number)
            try:
                news = await asyncio.wait_for(listener.queue.get(), beat_s)
            except TimeoutError:
                yield b": still here\n\n"
            else:
                yield news.frame

    def tell(self, kind: str, key: str, device_id: str, plain: Mapping[str, Any] | None) -> None:
        """Pass on one change; None: the key was forgotten."""
        self._number += 1
        data = as_text({"key": key, "value": plain})
        frame = f"id: {self._boot}-{self._number}\nevent: {kind}\ndata: {data}\n\n".encode()
        news = News(self._number, kind, device_id, frame)
        if kind != "scores":
            self._kept.append(news)
        for listener in self._listeners:
            if listener.wants(news) and (kind != "scores" or listener.device_id):
                listener.offer(news)

    async def _follow(self, kind: str) -> None:
        topic, without = KINDS[kind]
        while True:
            try:
                async with feeds.follow_async(self._cluster, topic, wait_s=math.inf, cache_dir=self._cache_dir) as feed:
                    async for event in feed:
                        self.reading.add(kind)
                        self._take(kind, event, without)
            except DriftlineError as trouble:
                log.warning("live: %s is not read: %s", topic, trouble)
            except Exception:
                log.exception("live: %s is read anew", topic)
            self.reading.discard(kind)
            await asyncio.sleep(_RETRY_S)

    def _take(self, kind: str, event: Any, without: tuple[str, ...]) -> None:
        match event:
            case Changed(key=key, value=value):
                # Few listen to scores, and there are many of them: only what somebody wants is encoded.
                if kind == "scores" and not any(one.device_id == value.device_id for one in self._listeners):
                    return
                if isinstance(value, AuditEntry):
                    self._answer(value)
                plain = as_jsonable(value, without=without)
                if kind == "audit":
                    plain = {"id": f"{event.partition}-{event.offset}", **plain}
                if kind == "alert":
                    plain = {**plain, "told_ms": event.at_ms}
                self.tell(kind, key, value.device_id if kind == "scores" else "", plain)
            case Deleted(key=key):
                self.tell(kind, key, "", None)

    def _answer(self, entry: AuditEntry) -> None:
        for awaited, fits in self._awaited.items():
            if not awaited.done() and fits(entry):
                awaited.set_result(entry)
