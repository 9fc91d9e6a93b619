"""The device's clock, and what is due by it."""

import time

__all__ = ["Due", "wall_ms"]


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Due:
    """Says of routines, by name, whether their time has come; each is due at once to begin with."""

    def __init__(self) -> None:
        self._next_ms: dict[str, int] = {}

    def is_due(self, what: str, every_ms: float, now_ms: int) -> bool:
        # A clock that was set back must not silence the device until it has caught up.
        next_ms = self._next_ms.get(what, 0)
        if next_ms - every_ms <= now_ms < next_ms:
            return False
        self._next_ms[what] = now_ms + int(every_ms)
        return True
