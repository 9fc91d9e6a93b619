"""Cohorts: which devices a plan is about, said over their labels.

Two forms mean the same, and may be mixed:

    region == "us-east" and hw in ["rev2", "rev3"] and firmware >= "2.4"
    region:us-east AND hw:rev2 AND NOT group:lab

`device_id`, `model` and `group` are always there beside the labels. Order follows version numbers
(2.4-rc1 < 2.4 < 2.10). A device without a label is unequal to everything, and before and after nothing.
`all` takes every device; a plain list names devices.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from schemas.errors import DriftlineError

__all__ = ["EVERYBODY", "Cohort", "CohortError", "Traits", "parse_cohort", "version_order"]

MAX_LENGTH = 10_000
MAX_DEPTH = 50


@dataclass(frozen=True, slots=True)
class Traits:
    """What a cohort may ask of a device."""

    device_id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    groups: Sequence[str] = ()
    model: str = ""

    def values(self, name: str) -> Sequence[str]:
        """Return the values under a name: one for a label, any number for groups, none where there is none."""
        if name == "group":
            return self.groups
        if name == "device_id":
            return (self.device_id,)
        if name == "model":
            return (self.model,)
        value = self.labels.get(name)
        return () if value is None else (value,)


Test = Callable[[Traits], bool]


class CohortError(DriftlineError):
    """A cohort expression that cannot be read; `column` counts from 1."""

    def __init__(self, text: str, column: int, found: str, wanted: str) -> None:
        # A long expression is shown around the place, so that the caret stays below it.
        start = max(0, column - 61)
        shown = text[start : start + 120].replace("\n", " ")
        super().__init__(
            f"cohort, column {column}: found {found}, wanted {wanted}\n  {shown}\n  {' ' * (column - 1 - start)}^"
        )
        self.column = column


@dataclass(frozen=True, slots=True)
class Cohort:
    """A parsed cohort; equal sources are equal cohorts."""

    source: str | tuple[str, ...]
    test: Test = field(compare=False, repr=False)

    def takes(self, device: Traits) -> bool:
        return self.test(device)


def parse_cohort(source: str | Iterable[str]) -> Cohort:
    """Read an expression, or a list of device ids.

    >>> cohort = parse_cohort('hw in ["rev2", "rev3"] and firmware >= "2.4"')
    >>> cohort.takes(Traits("d1", {"hw": "rev2", "firmware": "2.10"}))
    True
    """
    if isinstance(source, str):
        return Cohort(source, _Parser(source).parse())
    named = tuple(source)
    members = frozenset(named)
    return Cohort(named, lambda device: device.device_id in members)


def version_order(value: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts as versions do.

    >>> sorted(["2.10", "2.4", "2.4-rc1"], key=version_order)
    ['2.4-rc1', '2.4', '2.10']
    """
    parts = _VERSION_PART.findall(value)
    return (*((1, int(part), "") if part.isdecimal() else (-1, 0, part.lower()) for part in parts), (0, 0, ""))


_VERSION_PART = re.compile(r"[0-9]{1,18}|[^\W\d_]+")
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<operator>==|!=|<=|>=|<|>|\(|\)|\[|\]|,|:|=)
      | (?P<word>[\w*][\w.*/+-]*)
      )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    column: int

    def shown(self) -> str:
        return "the end" if self.kind == "end" else repr(self.text)

    def says(self, word: str) -> bool:
        return self.kind == "word" and self.text.lower() == word


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while match := _TOKEN.match(text, at):
        kind = str(match.lastgroup)
        yield _Token(kind, match[kind], match.start(kind) + 1)
        at = match.end()
    rest = text[at:].lstrip()
    column = len(text) - len(rest) + 1
    if rest:
        wanted = "a closing quote" if rest[0] in "\"'" else "a label, a value or an operator"
        raise CohortError(text, column, repr(rest[0]), wanted)
    yield _Token("end", "", column)


class _Parser:
    """Recursive descent; one method a rule, loosest binding first."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise CohortError(text, MAX_LENGTH + 1, f"{len(text)} characters", f"at most {MAX_LENGTH}")
        self._text = text
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = 0

    def parse(self) -> Test:
        test = self._either()
        if self._now.kind != "end":
            self._refuse("'and', 'or' or the end")
        return test

    @property
    def _now(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._now
        self._at += token.kind != "end"
        return token

    def _refuse(self, wanted: str, token: _Token | None = None) -> NoReturn:
        token = token or self._now
        raise CohortError(self._text, token.column, token.shown(), wanted)

    def _expect(self, operator: str) -> None:
        if self._now.kind != "operator" or self._now.text != operator:
            self._refuse(repr(operator))
        self._take()

    def _either(self) -> Test:
        tests = [self._both()]
        while self._now.says("or"):
            self._take()
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda device: any(test(device) for test in tests)

    def _both(self) -> Test:
        tests = [self._negated()]
        while self._now.says("and"):
            self._take()
            tests.append(self._negated())
        return tests[0] if len(tests) == 1 else lambda device: all(test(device) for test in tests)

    def _negated(self) -> Test:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._refuse(f"at most {MAX_DEPTH} levels of parentheses and 'not'")
        try:
            if not self._now.says("not"):
                return self._single()
            self._take()
            test = self._negated()
            return lambda device: not test(device)
        finally:
            self._depth -= 1

    def _single(self) -> Test:
        if self._now.text == "(" and self._now.kind == "operator":
            self._take()
            test = self._either()
            self._expect(")")
            return test
        if self._now.kind != "word" or self._now.text.lower() in _KEYWORDS:
            self._refuse("a label, 'not' or '('")
        name = self._take().text
        if name.lower() in ("all", "*") and (self._now.kind in ("end", "word") or self._now.text == ")"):
            return lambda _device: True
        return self._comparison(name)

    def _comparison(self, name: str) -> Test:
        operator = self._take()
        if operator.says("not") and self._now.says("in"):
            self._take()
            values = self._list()
            return lambda device: not any(value in values for value in device.values(name))
        if operator.says("in"):
            values = self._list()
            return lambda device: any(value in values for value in device.values(name))
        if operator.kind == "operator" and operator.text in _EQUALS:
            wanted = self._value()
            return lambda device: wanted in device.values(name)
        if operator.kind == "operator" and operator.text == "!=":
            unwanted = self._value()
            return lambda device: unwanted not in device.values(name)
        if operator.kind == "operator" and operator.text in _ORDERS:
            compare, limit = _ORDERS[operator.text], version_order(self._value())
            return lambda device: any(compare(version_order(value), limit) for value in device.values(name))
        return self._refuse("':', '==', '!=', '<', '<=', '>', '>=', 'in' or 'not in'", operator)

    def _list(self) -> frozenset[str]:
        self._expect("[")
        values = [self._value()]
        while self._now.text == ",":
            self._take()
            values.append(self._value())
        self._expect("]")
        return frozenset(values)

    def _value(self) -> str:
        token = self._now
        if token.kind == "string":
            self._take()
            return re.sub(r"\\(.)", r"\1", token.text[1:-1])
        if token.kind == "word" and token.text.lower() not in _KEYWORDS:
            return self._take().text
        return self._refuse("a value")


_KEYWORDS = {"and", "or", "not", "in"}
_EQUALS = {"==", "=", ":"}
_Order = tuple[tuple[int, int, str], ...]
_ORDERS: Mapping[str, Callable[[_Order, _Order], bool]] = {
    "<": lambda found, limit: found < limit,
    "<=": lambda found, limit: found <= limit,
    ">": lambda found, limit: found > limit,
    ">=": lambda found, limit: found >= limit,
}

EVERYBODY = parse_cohort("all")
