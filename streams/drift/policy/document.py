"""Read a policy document value by value; every complaint names the key, what was found and what was wanted."""

from collections.abc import Mapping
from typing import Any

from schemas.errors import DriftlineError

__all__ = ["PolicyError", "Section"]


class PolicyError(DriftlineError):
    """A policy document that cannot be used."""

    def __init__(self, key: str, found: object, wanted: str) -> None:
        super().__init__(f"policy: {key}: found {found!r}, wanted {wanted}")
        self.key = key


class Section:
    """One table of the document; whoever has read it calls `finish`, which refuses keys that nobody asked for."""

    def __init__(self, values: Mapping[str, Any], key: str = "") -> None:
        self._values = dict(values)
        self._key = key
        self._known: list[str] = []

    def number(self, name: str, default: float, *, above: float | None = None, at_most: float | None = None) -> float:
        found = self.raw(name, default)
        wanted = "a number" + (f" above {above:g}" if above is not None else "")
        wanted += f", at most {at_most:g}" if at_most is not None else ""
        # A TOML boolean is a Python integer.
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise PolicyError(self.path_of(name), found, wanted)
        if not (above is None or found > above) or not (at_most is None or found <= at_most) or found != found:
            raise PolicyError(self.path_of(name), found, wanted)
        return float(found)

    def whole(self, name: str, default: int, *, least: int = 0) -> int:
        found = self.raw(name, default)
        if isinstance(found, bool) or not isinstance(found, int) or found < least:
            raise PolicyError(self.path_of(name), found, f"a whole number, {least} or more")
        return found

    def wholes(self, name: str, default: tuple[int, ...], *, least: int = 1) -> tuple[int, ...]:
        found = self.raw(name, list(default))
        plain = isinstance(found, list) and all(isinstance(one, int) and not isinstance(one, bool) for one in found)
        if not plain or not found or min(found) < least:
            raise PolicyError(self.path_of(name), found, f"a list of whole numbers, each {least} or more")
        return tuple(found)

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        found = self.raw(name, default)
        if found not in choices:
            raise PolicyError(self.path_of(name), found, f"one of {', '.join(choices)}")
        return str(found)

    def text(self, name: str, default: str) -> str:
        found = self.raw(name, default)
        if not isinstance(found, str):
            raise PolicyError(self.path_of(name), found, "a text")
        return found

    def section(self, name: str) -> "Section":
        found = self.raw(name, {})
        if not isinstance(found, Mapping):
            raise PolicyError(self.path_of(name), found, "a table")
        return Section(found, self.path_of(name))

    def sections(self, name: str) -> "list[Section]":
        found = self.raw(name, [])
        if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
            raise PolicyError(self.path_of(name), found, f"a list of tables, [[{self.path_of(name)}]]")
        return [Section(one, f"{self.path_of(name)}[{place}]") for place, one in enumerate(found)]

    def table(self, name: str) -> dict[str, Any] | None:
        """Return a table as it is, or None where the document has none."""
        found = self.raw(name, None)
        if found is not None and not isinstance(found, Mapping):
            raise PolicyError(self.path_of(name), found, "a table")
        return None if found is None else dict(found)

    def names(self) -> list[str]:
        return list(self._values)

    def finish(self, *, also: tuple[str, ...] = ()) -> None:
        """Refuse keys that nobody asked for; those in `also` are known without having been asked for."""
        for name, found in self._values.items():
            if name not in (*self._known, *also):
                known = ", ".join(sorted({*self._known, *also}))
                raise PolicyError(self.path_of(name), found, f"a known key; known: {known}")

    def raw(self, name: str, default: Any) -> Any:
        """Return a value as it is, unchecked."""
        self._known.append(name)
        return self._values.get(name, default)

    def path_of(self, name: str) -> str:
        return f"{self._key}.{name}" if self._key else name
