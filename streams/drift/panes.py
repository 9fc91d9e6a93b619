"""How long the panes of the fast horizons are, and how many a ring holds."""

from collections.abc import Sequence

__all__ = ["fast_plan", "pane_ms_of"]


def pane_ms_of(horizons_ms: Sequence[int]) -> int:
    """Return the length of the panes that the fast horizons are made of."""
    return max(horizons_ms[0] // 3, 1)


def fast_plan(horizons_ms: Sequence[int]) -> dict[str, int]:
    pane_ms = pane_ms_of(horizons_ms)
    return {"pane_ms": pane_ms, "slots": -(-max(horizons_ms[:2]) // pane_ms)}
