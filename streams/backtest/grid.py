"""Grids of policies: one document, with some of its keys set to each of several values."""

import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from streams.backtest.candidate import Candidate
from streams.backtest.errors import BacktestError
from streams.drift.policy import PolicyError, read_policy

__all__ = ["MOST", "USUAL_GRID", "grid_of", "read_grid", "to_toml"]

# More would take long, and say little that so many do not.
MOST = 1000
# Tried where nobody says what to try: how sure, how large, how often.
USUAL_GRID: Mapping[str, Sequence[Any]] = {
    "budget.false_alarms_per_device_day": [1e-5, 1e-4, 1e-3, 1e-2, 0.1],
    "floors.mean_shift": [0.1, 0.15, 0.3, 0.5, 1.0],
    "floors.psi": [0.04, 0.1],
    "alerts.breaches": [1, 2],
}


def read_grid(document: str) -> dict[str, list[Any]]:
    """Read a grid, TOML: keys of a policy, dotted, each with a list of values.

    >>> read_grid('"floors.psi" = [0.04, 0.1]')
    {'floors.psi': [0.04, 0.1]}
    """
    try:
        values = tomllib.loads(document)
    except (ValueError, RecursionError) as error:
        raise BacktestError(f"grid: found {error}, wanted TOML") from None
    grid = dict(_flat(values))
    for key, tried in grid.items():
        if not isinstance(tried, list) or not tried:
            raise BacktestError(f"grid: {key}: found {tried!r}, wanted a list of values to try")
    if not grid:
        raise BacktestError("grid: found no key, wanted at least one, such as floors.psi = [0.04, 0.1]")
    return grid


def grid_of(base: str, grid: Mapping[str, Sequence[Any]]) -> list[Candidate]:
    """Return every combination on top of a policy document, named by its values; one that makes no policy raises."""
    count = 1
    for tried in grid.values():
        count *= len(tried)
    if count > MOST:
        raise BacktestError(f"grid: found {count:,} combinations, wanted at most {MOST:,}")
    candidates = []
    for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        name = " ".join(f"{key.rpartition('.')[2]}={value}" for key, value in chosen.items())
        document = to_toml(_with(tomllib.loads(base), chosen))
        try:
            candidates.append(Candidate(name, document, read_policy(document)))
        except PolicyError as refused:
            raise BacktestError(f"grid: {name}: {refused}") from None
    return candidates


def to_toml(values: Mapping[str, Any], path: str = "") -> str:
    """Write a policy's tables as TOML.

    >>> print(to_toml({"mode": "calibrated", "floors": {"psi": 0.1}}), end="")
    mode = "calibrated"
    <BLANKLINE>
    [floors]
    psi = 0.1
    """
    plain = [f"{key} = {_value(value)}" for key, value in values.items() if not _is_table(value)]
    text = "".join(f"{line}\n" for line in plain)
    for key, value in values.items():
        name = f"{path}{key}"
        if isinstance(value, Mapping):
            text += f"\n[{name}]\n{to_toml(value, f'{name}.')}"
        elif _is_table(value):
            text += "".join(f"\n[[{name}]]\n{to_toml(one, f'{name}.')}" for one in value)
    return text


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and bool(value) and isinstance(value[0], Mapping))


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    # 1e-05 is TOML, and so are 0.1 and 3; Python's spelling of numbers is TOML's.
    return repr(value)


def _flat(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _with(values: dict[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in chosen.items():
        table = values
        *tables, last = key.split(".")
        for name in tables:
            table = table.setdefault(name, {})
        table[last] = value
    return values
