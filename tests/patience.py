"""Patience with what a test expects to happen.

A machine that others use as well may take many times as long as an idle one, and a long patience costs nothing where
all is well: whoever waits goes on as soon as there is something to see, and only a failure waits to the end.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

__all__ = ["PATIENCE_S", "eventually", "until"]

PATIENCE_S = 90.0

_LOOK_EVERY_S = 0.05


def eventually(
    look: Callable[[], Any], within_s: float = PATIENCE_S, or_say: str | Callable[[], object] = "waited in vain"
) -> Any:
    """Return the first truthy value of `look()`; `or_say` tells what was waited for, or is asked what there was."""
    deadline_s = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline_s, _complaint(or_say, within_s, found)
        time.sleep(_LOOK_EVERY_S)
    return found


async def until(
    condition: Callable[[], Any], within_s: float = PATIENCE_S, or_say: str | Callable[[], object] = "waited in vain"
) -> Any:
    """As `eventually`, while the event loop goes on."""
    deadline_s = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline_s, _complaint(or_say, within_s, found)
        await asyncio.sleep(_LOOK_EVERY_S)
    return found


def _complaint(or_say: str | Callable[[], object], within_s: float, found: object) -> str:
    said = or_say if isinstance(or_say, str) else or_say()
    return f"{said}; waited {within_s:g} s, last seen: {found!r}"
