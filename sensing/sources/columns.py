"""Which column of somebody's table is which, and what its cells mean."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sensing.errors import ReadingError

__all__ = ["TableForm", "known_names", "whole_row"]

_UNIT = re.compile(r"\s*[\[(][^\])]*[\])]\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableForm:
    """What a table does not say of itself."""

    # How times are written, as for `strptime`; empty: ISO 8601, or seconds or milliseconds since 1970.
    time_format: str = ""
    # Numbers that stand for nothing measured, such as -200.
    missing: tuple[float, ...] = ()


def known_names(names: Sequence[str], known: Iterable[str]) -> list[str]:
    """Return the names of columns, those that are meant as known ones in their spelling.

    >>> known_names(["Timestamp", "Temperature (°C)", "Wind Speed"], ["temperature", "wind_speed", "timestamp"])
    ['timestamp', 'temperature', 'wind_speed']
    """
    wanted = set(known) - set(names)
    meant = [_plain(name) for name in names]
    # Of two that may be meant, neither is: who names them says which.
    return [
        plain if plain in wanted and meant.count(plain) == 1 else name for name, plain in zip(names, meant, strict=True)
    ]


def whole_row(names: Sequence[str], cells: Sequence[str]) -> Mapping[str, Any]:
    """Return a row by its columns; `ReadingError`: it has more cells than the head."""
    # Decimal commas in a table that commas part make such rows, and each value would be another's.
    if any(cell.strip() for cell in cells[len(names) :]):
        raise ReadingError(f"a row of {len(cells)} cells; the head has {len(names)}")
    return dict(zip(names, cells, strict=False))


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", _UNIT.sub("", name).strip().lower())
