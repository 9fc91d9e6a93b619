"""How often the process looks for circles among its values: seldom, for a fleet is millions of values without any."""

import gc

__all__ = ["collect_seldom"]


def collect_seldom() -> None:
    """Let the collector look at what is new at times, and at all there is hardly ever.

    For a process that does nothing else: as Python has it, two fifths of the time of commanding a large fleet go
    into looking at it again and again.
    """
    gc.set_threshold(50_000, 20, 100)
