"""Formulas of declared features: arithmetic over channels, and what a window or a lag of them says.

    (temperature - mean(temperature, 60)) / std(temperature, 60)

A formula names channels, numbers, `day_sin`, `day_cos`, `week_…` and `year_…` (the time of the reading, UTC), and
calls `abs`, `sqrt`, `log`, `exp`, `min`, `max` of values, and `mean`, `std`, `lag`, `change` of a value over a number
of readings. There is nothing else: a formula comes with a bundle, and can neither loop nor reach out.
"""

import ast
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from sensing.errors import PipelineError
from sensing.tally import Floats, Ints

__all__ = ["TIMES", "Columns", "Evaluate", "Formula", "Look", "read_formula", "times_of"]

# Values by name, each a column of as many rows.
Columns = Mapping[str, Floats]
Evaluate = Callable[[Columns], Floats]

_LONGEST, _DEEPEST = 500, 30
_FARTHEST = 100_000
_DAY_MS = 86_400_000
_TURNS = {"day": _DAY_MS, "week": 7 * _DAY_MS, "year": 365.2425 * _DAY_MS}
TIMES = tuple(f"{turn}_{wave}" for turn in _TURNS for wave in ("sin", "cos"))

_OPERATORS: Mapping[type, Callable[..., Floats]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.USub: np.negative,
    ast.UAdd: np.positive,
}
# Name to (how many values, what is made of them).
_OF_VALUES: Mapping[str, tuple[int, Callable[..., Floats]]] = {
    "abs": (1, np.abs),
    "sqrt": (1, np.sqrt),
    "log": (1, np.log),
    "exp": (1, np.exp),
    "min": (2, np.minimum),
    "max": (2, np.maximum),
}
# Name to the fewest readings that it needs.
_OF_READINGS = {"mean": 1, "std": 2, "lag": 1, "change": 1}
_KNOWN = ", ".join((*_OF_VALUES, *_OF_READINGS))


@dataclass(frozen=True, slots=True)
class Look:
    """A look back: `how` over the last `readings` of a value, which has no look back of its own."""

    how: str
    readings: int
    of: str
    value: Evaluate = field(compare=False, repr=False)

    @property
    def key(self) -> str:
        """What its result is called among the columns."""
        return f"{self.how}({self.of}, {self.readings})"


@dataclass(frozen=True, slots=True)
class Formula:
    """What makes one feature: arithmetic over columns, some of which are looks back."""

    text: str
    evaluate: Evaluate
    looks: tuple[Look, ...]
    # The channels and times that it names.
    names: frozenset[str]


def read_formula(text: str, channels: Iterable[str]) -> Formula:
    """Understand a formula over these channels; anything that it may not say is refused by name.

    >>> import numpy as np
    >>> read_formula("2 * heat + 1", ["heat"]).evaluate({"heat": np.array([20.0])})
    array([41.])
    """
    if len(text) > _LONGEST:
        raise PipelineError(f"found a formula of {len(text)} characters, wanted at most {_LONGEST}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise PipelineError(f"found {text!r}, wanted a formula such as 'mean(heat, 60)'") from None
    reader = _Reader(frozenset(channels))
    evaluate = reader.read(tree)
    return Formula(text, evaluate, tuple(dict.fromkeys(reader.looks)), frozenset(reader.names))


def times_of(at_ms: Ints) -> dict[str, Floats]:
    """Return where each moment lies in its day, week and year."""
    columns = {}
    for turn, length_ms in _TURNS.items():
        angle = 2 * np.pi * (at_ms % length_ms) / length_ms
        columns[f"{turn}_sin"], columns[f"{turn}_cos"] = np.sin(angle), np.cos(angle)
    return columns


class _Reader:
    def __init__(self, channels: frozenset[str]) -> None:
        self._known = channels | frozenset(TIMES)
        self._looking, self._depth = False, 0
        self.looks: list[Look] = []
        self.names: set[str] = set()

    def read(self, node: ast.expr) -> Evaluate:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise PipelineError(f"found a formula nested deeper than {_DEEPEST}")
        evaluate = self._read(node)
        self._depth -= 1
        return evaluate

    def _read(self, node: ast.expr) -> Evaluate:
        match node:
            case ast.Constant(value=bool()):
                pass
            case ast.Constant(value=int() | float() as value) if math.isfinite(value) and abs(value) < 1e300:
                number = np.float64(value)
                return lambda columns: np.full_like(next(iter(columns.values())), number)
            case ast.Name(id=name) if name in self._known:
                self.names.add(name)
                return lambda columns: columns[name]
            case ast.Name(id=name):
                raise PipelineError(f"found {name!r}, wanted one of {', '.join(sorted(self._known))}")
            case ast.UnaryOp(op=sign, operand=inner) if type(sign) in _OPERATORS:
                return _apply(_OPERATORS[type(sign)], self.read(inner))
            case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
                return _apply(_OPERATORS[type(sign)], self.read(left), self.read(right))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _OF_VALUES:
                wanted, make = _OF_VALUES[name]
                if len(args) != wanted:
                    raise PipelineError(f"found {name}() of {len(args)} values, wanted {wanted}")
                return _apply(make, *map(self.read, args))
            case ast.Call(func=ast.Name(id=name), args=[of, readings], keywords=[]) if name in _OF_READINGS:
                return self._look(name, of, readings)
        raise PipelineError(f"found {ast.unparse(node)!r}, wanted arithmetic, or one of {_KNOWN}")

    def _look(self, how: str, of: ast.expr, readings: ast.expr) -> Evaluate:
        if self._looking:
            raise PipelineError(f"found {how}() within another look back, wanted a value of one reading")
        least = _OF_READINGS[how]
        match readings:
            case ast.Constant(value=int(count)) if not isinstance(count, bool) and least <= count <= _FARTHEST:
                pass
            case _:
                found = ast.unparse(readings)
                raise PipelineError(f"found {how}() over {found}, wanted {least} to {_FARTHEST} readings")
        self._looking = True
        look = Look(how, count, ast.unparse(of), self.read(of))
        self._looking = False
        self.looks.append(look)
        return lambda columns: columns[look.key]


def _apply(make: Callable[..., Floats], *parts: Evaluate) -> Evaluate:
    return lambda columns: make(*(part(columns) for part in parts))
