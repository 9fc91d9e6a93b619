"""Reading a document that somebody wrote, value by value: complaints name the key, what was found, what was wanted."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from schemas.errors import DriftlineError

__all__ = ["Section", "Wrong"]

Wrong = Callable[[str, object, str], DriftlineError]
"""Makes the error of a kind of document: of a key, what was found there and what was wanted."""


class Section:
    """One table of the document; whoever has read it calls `finish`, which refuses keys that nobody asked for."""

    def __init__(self, values: object, key: str = "", *, wrong: Wrong) -> None:
        if not isinstance(values, Mapping):
            raise wrong(key or "the document", values, "a table")
        self.key = key
        self.wrong = wrong
        self._values = dict(values)
        self._known: list[str] = []

    def number(self, name: str, default: float, *, above: float | None = None, at_most: float | None = None) -> float:
        found = self.raw(name, default)
        wanted = "a number" + (f" above {above:g}" if above is not None else "")
        wanted += f", at most {at_most:g}" if at_most is not None else ""
        # A TOML boolean is a Python integer.
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise self.wrong(self.path_of(name), found, wanted)
        if not (above is None or found > above) or not (at_most is None or found <= at_most) or found != found:
            raise self.wrong(self.path_of(name), found, wanted)
        try:
            number = float(found)
        except OverflowError:
            raise self.wrong(self.path_of(name), found, f"{wanted}, at most 1e308") from None
        if math.isinf(number):
            raise self.wrong(self.path_of(name), found, f"{wanted}, not without end")
        return number

    def whole(self, name: str, default: int | None, *, least: int = 0, most: int | None = None) -> int:
        found = self.raw(name, default)
        out = isinstance(found, bool) or not isinstance(found, int) or found < least
        if out or (most is not None and found > most):
            wanted = f"{least} or more" if most is None else f"{least} to {most}"
            raise self.wrong(self.path_of(name), found, f"a whole number, {wanted}")
        return int(found)

    def wholes(
        self, name: str, default: tuple[int, ...], *, least: int = 1, most: int | None = None, many: int | None = None
    ) -> tuple[int, ...]:
        """Return a list of at most `many` whole numbers, each from `least` to `most`."""
        found = self.raw(name, list(default))
        plain = isinstance(found, list) and all(isinstance(one, int) and not isinstance(one, bool) for one in found)
        if not plain or not found or min(found) < least:
            raise self.wrong(self.path_of(name), found, f"a list of whole numbers, each {least} or more")
        if most is not None and max(found) > most:
            raise self.wrong(self.path_of(name), max(found), f"whole numbers, each {least} to {most}")
        self._few(name, found, many)
        return tuple(found)

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        found = self.raw(name, default)
        if found not in choices:
            raise self.wrong(self.path_of(name), found, f"one of {', '.join(choices)}")
        return str(found)

    def text(self, name: str, default: str | None, form: re.Pattern[str] | None = None) -> str:
        found = self.raw(name, default)
        if not isinstance(found, str) or (form is not None and not form.fullmatch(found)):
            raise self.wrong(self.path_of(name), found, f"a text of the form {form.pattern}" if form else "a text")
        return found

    def truth(self, name: str, *, default: bool) -> bool:
        found = self.raw(name, default)
        if not isinstance(found, bool):
            raise self.wrong(self.path_of(name), found, "true or false")
        return found

    def section(self, name: str, *, short: str = "") -> "Section":
        """Return the table `name`, an empty one by default; a text may stand for it that is its value `short`."""
        found = self.raw(name, {})
        values = {short: found} if short and isinstance(found, str) else found
        return Section(values, self.path_of(name), wrong=self.wrong)

    def sections(self, name: str, *, many: int | None = None) -> "list[Section]":
        found = self.raw(name, [])
        if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
            raise self.wrong(self.path_of(name), found, f"a list of tables, [[{self.path_of(name)}]]")
        self._few(name, found, many)
        return [Section(one, f"{self.path_of(name)}[{place}]", wrong=self.wrong) for place, one in enumerate(found)]

    def table(self, name: str) -> dict[str, Any] | None:
        """Return a table as it is, or None where the document has none."""
        found = self.raw(name, None)
        if found is not None and not isinstance(found, Mapping):
            raise self.wrong(self.path_of(name), found, "a table")
        return None if found is None else dict(found)

    def names(self) -> list[str]:
        return list(self._values)

    def finish(self, *, also: tuple[str, ...] = ()) -> None:
        """Refuse keys that nobody asked for; those in `also` are known without having been asked for."""
        for name, found in self._values.items():
            if name not in (*self._known, *also):
                known = ", ".join(sorted({*self._known, *also}))
                raise self.wrong(self.path_of(name), found, f"a known key; known: {known}")

    def _few(self, name: str, found: list[Any], many: int | None) -> None:
        if many is not None and len(found) > many:
            raise self.wrong(self.path_of(name), len(found), f"at most {many} of them")

    def raw(self, name: str, default: Any) -> Any:
        """Return a value as it is, unchecked."""
        self._known.append(name)
        return self._values.get(name, default)

    def path_of(self, name: str) -> str:
        return f"{self.key}.{name}" if self.key else name
