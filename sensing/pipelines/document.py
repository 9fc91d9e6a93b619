"""A document, read table by table: what it says is checked, and what is wrong is named with its place."""

import re
from collections.abc import Mapping
from typing import Any

from sensing.errors import PipelineError

__all__ = ["Table"]


class Table:
    """A table of a document, and where it stands; what is read of it is checked."""

    def __init__(self, where: str, given: object) -> None:
        if not isinstance(given, Mapping):
            raise self._wrong(where or "the document", given, "a table")
        self.where = where
        self._given = dict(given)
        self._read: set[str] = set()

    def names(self, form: re.Pattern[str], most: int) -> tuple[str, ...]:
        if not 1 <= len(self._given) <= most:
            raise self._wrong(self.where, len(self._given), f"1 to {most} of them")
        for name in self._given:
            if not form.fullmatch(name):
                raise self._wrong(self.where, name, f"names of the form {form.pattern}")
        return tuple(self._given)

    def table(self, key: str, *, short: str = "", default: object = None) -> "Table":
        given = self._take(key, default)
        return Table(self._at(key), {short: given} if short and isinstance(given, str) else given)

    def text(self, key: str, form: re.Pattern[str] | None = None, *, default: str | None = None) -> str:
        given = self._take(key, default)
        if not isinstance(given, str) or (form is not None and not form.fullmatch(given)):
            raise self._wrong(self._at(key), given, "a text" if form is None else f"a text of the form {form.pattern}")
        return given

    def whole(self, key: str, low: int, high: int, *, default: int | None = None) -> int:
        given = self._take(key, default)
        if isinstance(given, bool) or not isinstance(given, int) or not low <= given <= high:
            raise self._wrong(self._at(key), given, f"a whole number from {low} to {high}")
        return given

    def truth(self, key: str, *, default: bool) -> bool:
        given = self._take(key, default)
        if not isinstance(given, bool):
            raise self._wrong(self._at(key), given, "true or false")
        return given

    def bounds(self) -> tuple[float | None, float | None]:
        low, high = self._bound("low"), self._bound("high")
        if low is not None and high is not None and low >= high:
            raise self._wrong(self._at("low"), low, f"less than high, {high:g}")
        return low, high

    def nothing_else(self) -> None:
        if more := sorted(self._given.keys() - self._read):
            raise self._wrong(self.where or "the document", more[0], f"only {', '.join(sorted(self._read))}")

    def _bound(self, key: str) -> float | None:
        given = self._take(key, None)
        if given is None:
            return None
        if isinstance(given, bool) or not isinstance(given, int | float) or not abs(given) < 1e300:
            raise self._wrong(self._at(key), given, "a number")
        return float(given)

    def _take(self, key: str, default: object) -> Any:
        self._read.add(key)
        return self._given.get(key, default)

    def _at(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    @staticmethod
    def _wrong(where: str, found: object, wanted: str) -> PipelineError:
        return PipelineError(f"{where}: found {'nothing' if found is None else repr(found)}, wanted {wanted}")
