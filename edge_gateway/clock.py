"""The device's clock."""

import time

__all__ = ["wall_ms"]


def wall_ms() -> int:
    return time.time_ns() // 1_000_000
