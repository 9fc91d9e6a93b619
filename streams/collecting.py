"""How often the process looks for circles among its values: seldom, for a fleet is millions of values without any."""

import gc

__all__ = ["collect_seldom"]


def collect_seldom() -> None:
    """Let the collector look at what is new at times, at all there is hardly ever, and at what is loaded by now never.

    For a process that does nothing else: as Python has it, two fifths of the time of commanding a large fleet, and a
    tenth of the time of judging its windows, go into looking at it again and again.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
