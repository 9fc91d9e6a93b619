"""Ending in good order when the system or a person asks for it."""

import signal
from collections.abc import Callable

__all__ = ["stop_on_signals"]


def stop_on_signals(stop: Callable[[], object]) -> None:
    """Have SIGTERM and SIGINT call `stop`, which returns at once and lets the work end by itself."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())
