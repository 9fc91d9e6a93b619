"""Small plots as inline SVG; colours come from the page's style, so that they follow its theme."""

from collections.abc import Sequence
from html import escape

import numpy as np

from trainer.data.dataset import Floats

__all__ = ["Series", "bars", "shares"]

_WIDTH, _HEIGHT, _FOOT = 280, 90, 14

# A name, which the page's style knows as a class, and one share for each bin.
Series = tuple[str, Floats]


def bars(series: Sequence[Series], *, ticks: Sequence[str], title: str, mark: float | None = None) -> str:
    """Draw histograms over each other; `mark` is a vertical line, as a part of the width, 0 to 1.

    >>> bars([("training", np.array([0.5, 0.5]))], ticks=["0", "1"], title="t").count("<rect")
    2
    """
    highest = max((float(np.max(shares, initial=0.0)) for _, shares in series), default=0.0) or 1.0
    drawn = [_rectangles(name, shares / highest) for name, shares in series]
    line = "" if mark is None else _line(min(max(mark, 0.0), 1.0) * _WIDTH)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + _FOOT}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(drawn)}{line}{_ticks(ticks)}</svg>"
    )


def shares(counts: Sequence[int] | Floats) -> Floats:
    """Return counts as parts of their sum; of nothing, zeros."""
    numbers: Floats = np.asarray(counts, dtype=np.float64)
    return numbers / max(float(numbers.sum()), 1.0)


def _rectangles(name: str, heights: Floats) -> str:
    step = _WIDTH / max(len(heights), 1)
    return "".join(
        f'<rect class="{escape(name)}" x="{place * step:.1f}" y="{_HEIGHT * (1 - height):.1f}" '
        f'width="{max(step - 1, 0.5):.1f}" height="{_HEIGHT * height:.1f}"/>'
        for place, height in enumerate(heights.tolist())
        if height > 0
    )


def _line(x: float) -> str:
    return f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{_HEIGHT}"/>'


def _ticks(ticks: Sequence[str]) -> str:
    anchors = {0: "start", len(ticks) - 1: "end"}
    return "".join(
        f'<text x="{_WIDTH * place / max(len(ticks) - 1, 1):.1f}" y="{_HEIGHT + _FOOT - 3}" '
        f'text-anchor="{anchors.get(place, "middle")}">{escape(text)}</text>'
        for place, text in enumerate(ticks)
    )
