"""Throttled login: who fails often waits longer and longer, and no longer than that."""

from dataclasses import dataclass

__all__ = ["Throttle"]

_FREE_TRIES = 5
_FIRST_WAIT_MS = 2_000
_LONGEST_WAIT_MS = 15 * 60_000
_FORGET_MS = 60 * 60_000
_MOST_REMEMBERED = 10_000


@dataclass(slots=True)
class _Failures:
    count: int
    last_ms: int


class Throttle:
    """Counts failures by source: an address, or the key that was tried.

    >>> throttle = Throttle()
    >>> for _ in range(5): throttle.failed("10.0.0.9", now_ms=0)
    >>> throttle.wait_ms("10.0.0.9", now_ms=0), throttle.wait_ms("10.0.0.8", now_ms=0)
    (2000, 0)
    """

    def __init__(self) -> None:
        self._failures: dict[str, _Failures] = {}

    def wait_ms(self, source: str, *, now_ms: int) -> int:
        """Return how long this source has to wait before it may try again; 0: it may now."""
        found = self._failures.get(source)
        if found is None or found.count < _FREE_TRIES:
            return 0
        wait = min(_FIRST_WAIT_MS << min(found.count - _FREE_TRIES, 20), _LONGEST_WAIT_MS)
        return max(0, found.last_ms + wait - now_ms)

    def failed(self, source: str, *, now_ms: int) -> None:
        found = self._failures.pop(source, None)
        if found is None or now_ms - found.last_ms > _FORGET_MS:
            found = _Failures(0, now_ms)
        # Put back at the end: whoever failed longest ago is forgotten first.
        self._failures[source] = _Failures(found.count + 1, now_ms)
        if len(self._failures) > _MOST_REMEMBERED:
            del self._failures[next(iter(self._failures))]

    def succeeded(self, source: str) -> None:
        self._failures.pop(source, None)
