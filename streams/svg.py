"""Plots as inline SVG: lines, points, bands and cells on axes; nothing is fetched from anywhere."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

__all__ = ["COLOURS", "Axis", "Plot", "moments", "numbers"]

COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#bf3989", "#57606a", "#0a7d91")
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 12, 40
_DAY_MS, _HOUR_MS = 86_400_000, 3_600_000


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of values with the ticks that are written at it; logarithmic axes hold values above 0 only."""

    low: float
    high: float
    name: str = ""
    logarithmic: bool = False
    ticks: Sequence[tuple[float, str]] = ()

    def share(self, value: float) -> float:
        """Return how far along a value is, 0 to 1 within the range."""
        if self.logarithmic:
            low, high, value = math.log(self.low), math.log(self.high), math.log(max(value, self.low))
        else:
            low, high = self.low, self.high
        return (value - low) / (high - low) if high > low else 0.5


@dataclass
class Plot:
    """One plot; draw, then take its `svg`."""

    x: Axis
    y: Axis
    width: int = 860
    height: int = 260
    title: str = ""
    _parts: list[str] = field(default_factory=list)

    def line(self, points: Sequence[tuple[float, float]], colour: str, *, name: str = "") -> None:
        """Draw a line; points that are no numbers interrupt it."""
        path, pen = [], "M"
        for x, y in points:
            if not (math.isfinite(x) and math.isfinite(y)):
                pen = "M"
                continue
            path.append(f"{pen}{self._x(x):.1f} {self._y(y):.1f}")
            pen = "L"
        if path:
            self._parts.append(
                f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="1.5">{_tip(name)}</path>'
            )

    def dots(self, points: Sequence[tuple[float, float, str]], colour: str, *, radius: float = 3.5) -> None:
        """Draw points, each with what is shown when one points at it."""
        for x, y, tip in points:
            if math.isfinite(x) and math.isfinite(y):
                place = f'cx="{self._x(x):.1f}" cy="{self._y(y):.1f}" r="{radius:g}"'
                self._parts.append(f'<circle {place} fill="{colour}">{_tip(tip)}</circle>')

    def band(self, low: float, high: float, colour: str, *, tip: str = "") -> None:
        """Shade a stretch of x."""
        left, right = max(self._x(low), _LEFT), min(self._x(high), self.width - _RIGHT)
        if right > left:
            self._parts.append(
                f'<rect x="{left:.1f}" y="{_TOP}" width="{max(right - left, 1):.1f}" '
                f'height="{self.height - _TOP - _BOTTOM}" fill="{colour}" opacity="0.18">{_tip(tip)}</rect>'
            )

    def mark(self, x: float, colour: str, *, tip: str = "") -> None:
        """Draw an upright line at x."""
        at = self._x(x)
        path = f"M{at:.1f} {_TOP}V{self.height - _BOTTOM}"
        self._parts.append(f'<path d="{path}" stroke="{colour}" stroke-width="1.5">{_tip(tip)}</path>')

    def cell(self, left: float, right: float, low: float, high: float, colour: str, *, tip: str = "") -> None:
        """Fill a cell of a map."""
        x, y = self._x(left), self._y(high)
        # A little too large, so that no line shows between neighbours.
        width, height = self._x(right) - x + 0.3, self._y(low) - y + 0.3
        size = f'width="{width:.1f}" height="{height:.1f}"'
        self._parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" {size} fill="{colour}">{_tip(tip)}</rect>')

    @property
    def svg(self) -> str:
        """Return the whole picture."""
        axes = "".join(self._axes())
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(self.title)}" '
            f'xmlns="http://www.w3.org/2000/svg">{axes}{"".join(self._parts)}</svg>'
        )

    def _axes(self) -> Sequence[str]:
        floor, right = self.height - _BOTTOM, self.width - _RIGHT
        drawn = [f'<path d="M{_LEFT} {_TOP}V{floor}H{right}" fill="none" stroke="#8c959f"/>']
        for value, text in self.x.ticks:
            drawn.append(f'<text x="{self._x(value):.1f}" y="{floor + 15}" text-anchor="middle">{escape(text)}</text>')
            drawn.append(f'<path d="M{self._x(value):.1f} {floor}v4" stroke="#8c959f"/>')
        for value, text in self.y.ticks:
            y = self._y(value)
            drawn.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>')
            drawn.append(f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#d0d7de" stroke-dasharray="2 3"/>')
        drawn.append(
            f'<text x="{(_LEFT + right) / 2}" y="{self.height - 6}" text-anchor="middle">{escape(self.x.name)}</text>'
        )
        drawn.append(f'<text x="{_LEFT}" y="{_TOP - 2}">{escape(self.y.name)}</text>')
        return drawn

    def _x(self, value: float) -> float:
        return _LEFT + self.x.share(value) * (self.width - _LEFT - _RIGHT)

    def _y(self, value: float) -> float:
        return self.height - _BOTTOM - self.y.share(value) * (self.height - _TOP - _BOTTOM)


def numbers(low: float, high: float, *, name: str = "", logarithmic: bool = False) -> Axis:
    """Make an axis of numbers with about five ticks."""
    if logarithmic:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        every = max(1, (last - first) // 5)
        ticks = [(10.0**power, f"{10.0**power:g}") for power in range(first, last + 1, every)]
        return Axis(10.0**first, 10.0**last, name, logarithmic=True, ticks=ticks)
    high = high if high > low else low + 1
    step = 10 ** math.floor(math.log10((high - low) / 5))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 6)
    first = math.ceil(low / step)
    ticks = [(n * step, f"{n * step:g}") for n in range(first, math.floor(high / step) + 1)]
    return Axis(low, high, name, ticks=ticks)


def moments(low_ms: float, high_ms: float, told: Callable[[int], str]) -> Axis:
    """Make an axis of time."""
    length = max(high_ms - low_ms, 1)
    steps = [
        _HOUR_MS // 4,
        _HOUR_MS,
        3 * _HOUR_MS,
        6 * _HOUR_MS,
        12 * _HOUR_MS,
        *(_DAY_MS * n for n in (1, 2, 5, 10, 30, 90)),
    ]
    step = next((one for one in steps if length / one <= 7), 365 * _DAY_MS)
    first = math.ceil(low_ms / step)
    return Axis(
        low_ms, low_ms + length, ticks=[(n * step, told(n * step)) for n in range(first, int(high_ms // step) + 1)]
    )


def _tip(text: str) -> str:
    return f"<title>{escape(text)}</title>" if text else ""
