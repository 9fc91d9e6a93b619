"""A compacted topic as a mapping that is always current."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Generic, Self, TypeVar

from schemas.feeds.errors import NotCurrentError
from schemas.feeds.events import CaughtUp, Changed, Deleted, Event, Restarted
from schemas.feeds.feed import Feed
from schemas.feeds.interpreter import Counts

__all__ = ["Rows", "Table"]

log = logging.getLogger(__name__)

T = TypeVar("T")

_POLL_S = 0.2


class Rows(Generic[T]):
    """What a table shows, event by event: never a state that is half read."""

    def __init__(self, where: Callable[[T], bool] | None = None) -> None:
        self.shown: dict[str, T] = {}
        # What is being read anew, until it is whole.
        self._coming: dict[str, T] | None = {}
        self._where = where

    @property
    def whole(self) -> bool:
        return self._coming is None

    def apply(self, event: Event[T]) -> None:
        rows = self.shown if self._coming is None else self._coming
        match event:
            case Changed(key=key, value=value) if self._where is None or self._where(value):
                rows[key] = value
            case Changed(key=key) | Deleted(key=key):
                # What no longer fits leaves the table like what was forgotten.
                rows.pop(key, None)
            case Restarted():
                self._coming = {}
            case CaughtUp():
                self.shown, self._coming = rows, None


class Table(Mapping[str, T], Generic[T]):
    """Keys and their present values, kept by a thread of its own; to be read from any thread.

    While a topic is read anew, the table shows what it last knew, and changes over at once when the new state is
    whole. A bad record leaves the key's earlier value in place and is counted in `counts.bad`.
    """

    def __init__(self, feed: Feed[T], *, where: Callable[[T], bool] | None = None) -> None:
        self.counts: Counts = feed.counts
        self._feed = feed
        self._rows = Rows(where)
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"table {feed.topic.name}", daemon=True)

    def open(self) -> Self:
        self._feed.open()
        self._thread.start()
        return self

    def close(self) -> None:
        self._feed.stop()
        if self._thread.is_alive():
            self._thread.join()
        self._feed.close()

    @property
    def current(self) -> bool:
        """The whole state is shown; False before the first marker, and while the topic is read anew."""
        with self._changed:
            return self._rows.whole and self._failure is None

    def wait_until_current(self, timeout_s: float = 30.0) -> Self:
        """Return when the whole state is shown; `NotCurrentError` where that takes too long."""
        if not self._wait(lambda: self._rows.whole, timeout_s):
            raise NotCurrentError(
                f"the table of {self._feed.topic.name} is not current after {timeout_s:g} s; {len(self)} keys so far",
                hint="is the broker up? `driftline status`",
            )
        return self

    def wait_for(self, true_of: Callable[[Mapping[str, T]], bool], timeout_s: float) -> bool:
        """Wait until something is true of the table; say whether it became so."""
        return self._wait(lambda: true_of(self._rows.shown), timeout_s)

    def snapshot(self) -> dict[str, T]:
        """Return all of it as it is at one moment."""
        with self._changed:
            self._raise_failure()
            return dict(self._rows.shown)

    def __getitem__(self, key: str) -> T:
        with self._changed:
            self._raise_failure()
            return self._rows.shown[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.snapshot())

    def __len__(self) -> int:
        with self._changed:
            self._raise_failure()
            return len(self._rows.shown)

    def __enter__(self) -> Self:
        try:
            return self.open()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        try:
            for events in iter(self._next_events, None):
                if events:
                    with self._changed:
                        for event in events:
                            self._rows.apply(event)
                        self._changed.notify_all()
        except BaseException as error:
            # Not lost with the thread: whoever reads the table gets it.
            log.exception("table ends: topic=%s", self._feed.topic.name)
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _next_events(self) -> list[Event[T]] | None:
        return None if self._feed.stopped else self._feed.poll(_POLL_S)

    def _wait(self, true: Callable[[], bool], timeout_s: float) -> bool:
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while not true():
                self._raise_failure()
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    return False
                self._changed.wait(left_s)
            return True

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
