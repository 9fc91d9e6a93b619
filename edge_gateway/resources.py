"""What the gateway takes of its machine, read from /proc."""

import math
import os
import resource
import shutil
from pathlib import Path

__all__ = ["CpuMeter", "disk_free_bytes", "load_per_core", "machine_memory_bytes", "resident_bytes"]

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    try:
        # Asked for as windows close; a text file opened by its path takes five times as long.
        with open("/proc/self/statm", "rb", buffering=0) as file:  # noqa: PTH123
            return int(file.read(200).split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def machine_memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * _PAGE


def disk_free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def load_per_core() -> float:
    return os.getloadavg()[0] / (os.cpu_count() or 1)


class CpuMeter:
    """Use of one core between two looks."""

    def __init__(self) -> None:
        self._last: tuple[int, float] | None = None

    def share(self, now_ms: int) -> float:
        """Return the share since the last look; NaN at the first, and when the clock stood or was set back."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        spent = usage.ru_utime + usage.ru_stime
        last, self._last = self._last, (now_ms, spent)
        if last is None or now_ms <= last[0]:
            return math.nan
        return (spent - last[1]) / ((now_ms - last[0]) / 1000)
