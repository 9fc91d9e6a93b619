"""What a worker still waits for: told by its own thread, asked from any other."""

from collections.abc import Iterable

__all__ = ["Readiness"]


class Readiness:
    """Not ready until it is told that nothing is missing.

    >>> readiness = Readiness()
    >>> readiness.waiting()
    ['it has not begun yet']
    >>> readiness.lacks([])
    >>> readiness.waiting()
    []
    """

    def __init__(self) -> None:
        self._missing: tuple[str, ...] = ("it has not begun yet",)

    def lacks(self, missing: Iterable[str]) -> None:
        self._missing = tuple(missing)

    def waiting(self) -> list[str]:
        return list(self._missing)
