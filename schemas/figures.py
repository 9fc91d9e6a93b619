"""What the figures of windows must be to each other, for one window and for a run of thousands alike.

>>> [rule.field for rule in RULES]
['window_end_ms', 'counts', 'out_of_range', 'mean', 'm2', 'min', 'max']
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.columns import PaneColumns, StatsColumns
from schemas.errors import WrongValueError

__all__ = ["RULES", "Figures", "Rule", "check_figures", "sound"]


@dataclass(frozen=True, slots=True)
class Figures:
    """Windows on one grid: a whole number each, and columns whose first axis is the window."""

    samples: NDArray[np.int64]
    window_start_ms: NDArray[np.int64]
    window_end_ms: NDArray[np.int64]
    columns: StatsColumns | PaneColumns
    # Samples in bins, by window and feature.
    counted: NDArray[np.int64]

    @classmethod
    def of_run(
        cls,
        samples: NDArray[np.int64],
        window_start_ms: NDArray[np.int64],
        window_end_ms: NDArray[np.int64],
        columns: StatsColumns | PaneColumns,
    ) -> "Figures":
        counted = columns.counts.sum(axis=-1, dtype=np.int64)
        return cls(samples, window_start_ms, window_end_ms, columns, counted)

    def rules(self) -> "Iterator[Rule]":
        """Return the rules about what is here; the share of a pane has no extremes."""
        return (rule for rule in RULES if rule.field not in ("min", "max") or isinstance(self.columns, StatsColumns))

    def of(self, field: str) -> NDArray[Any]:
        """Return what a rule about a field looks at."""
        if field == "counts":
            return self.counted
        found: NDArray[Any] = getattr(self if field.startswith("window") else self.columns, field)
        return found


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that is true of every sound window."""

    field: str
    wanted: str
    # Says where it holds, by window or by window and feature.
    holds: Callable[[Figures], NDArray[np.bool_]]


def sound(figures: Figures) -> NDArray[np.bool_]:
    """Return which windows keep every rule."""
    good = np.ones(figures.counted.shape, np.bool_)
    for rule in figures.rules():
        held = rule.holds(figures)
        np.logical_and(good, held if held.ndim == 2 else held[:, np.newaxis], out=good)
    return np.asarray(good.all(axis=1))


def check_figures(samples: int, start_ms: int, end_ms: int, columns: StatsColumns | PaneColumns) -> None:
    """Raise `WrongValueError` for the first rule that one window breaks, with the feature's place in the grid."""
    run = type(columns)(*(getattr(columns, name)[np.newaxis] for name in columns.__slots__))
    one, start, end = np.array([[samples], [start_ms], [end_ms]], np.int64)
    figures = Figures.of_run(one, start, end, run)
    if sound(figures).all():
        return
    for rule in figures.rules():
        broken = np.argwhere(~rule.holds(figures))
        if len(broken):
            place = broken[0].tolist()
            where = "".join([rule.field, *(f"[{feature}]" for feature in place[1:])])
            raise WrongValueError(where, found=str(figures.of(rule.field)[tuple(place)]), wanted=rule.wanted)


def _at_most_the_usable(figures: Figures, some: NDArray[Any]) -> NDArray[np.bool_]:
    return some <= figures.samples[:, np.newaxis] - figures.columns.missing


def _finite_if_counted(field: str) -> Rule:
    return Rule(
        field,
        "a finite number, as there are values",
        lambda figures: np.isfinite(figures.of(field)) | (figures.counted == 0),
    )


RULES = (
    Rule("window_end_ms", "window_start_ms or later", lambda run: run.window_end_ms >= run.window_start_ms),
    Rule("counts", "at most `samples` less `missing`", lambda run: _at_most_the_usable(run, run.counted)),
    Rule(
        "out_of_range",
        "at most `samples` less `missing`",
        lambda run: _at_most_the_usable(run, run.columns.out_of_range),
    ),
    _finite_if_counted("mean"),
    Rule(
        "m2",
        "a finite number, 0 or more",
        lambda run: (np.isfinite(run.columns.m2) & (run.columns.m2 >= 0)) | (run.counted == 0),
    ),
    _finite_if_counted("min"),
    Rule(
        "max",
        "a finite number, `min` or more",
        lambda run: (np.isfinite(run.of("max")) & (run.of("max") >= run.of("min"))) | (run.counted == 0),
    ),
)
