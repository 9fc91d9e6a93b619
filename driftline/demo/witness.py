"""Watching topics until what should happen has happened."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from driftline.demo.errors import DidNotHappenError
from schemas import feeds
from schemas.cluster import Cluster
from schemas.feeds import Changed

__all__ = ["Witness"]

_WITHIN_S = 120.0


class Witness:
    """Reads what is on the topics; `check` is called all the while, and raises if nothing can happen any more."""

    def __init__(self, cluster: Cluster, check: Callable[[], None], *, logs: str) -> None:
        self._cluster = cluster
        self._check = check
        self._logs = logs

    def happening(self, topic: str, what: str) -> Iterator[Any]:
        """Tell the records of a topic, from its beginning; an error ends it where `what` does not come about."""
        deadline_s = time.monotonic() + _WITHIN_S
        with feeds.follow(self._cluster, topic, from_ms=0) as feed:
            while time.monotonic() < deadline_s:
                self._check()
                for event in feed.poll(0.2):
                    if isinstance(event, Changed):
                        yield event.value
        raise self._missing(what)

    def first(self, topic: str, what: str, *, where: Callable[[Any], bool]) -> Any:
        """Return the first record of a topic that is as said."""
        return next(record for record in self.happening(topic, what) if where(record))

    def until(self, what: str, look: Callable[[], Any]) -> Any:
        """Return what `look` finds, once it finds something."""
        deadline_s = time.monotonic() + _WITHIN_S
        while time.monotonic() < deadline_s:
            self._check()
            if found := look():
                return found
            time.sleep(0.1)
        raise self._missing(what)

    def _missing(self, what: str) -> DidNotHappenError:
        return DidNotHappenError(what, _WITHIN_S, self._logs)
