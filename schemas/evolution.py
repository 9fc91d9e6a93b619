"""Whether programs of two versions can read each other's records, by Avro's rules of schema resolution.

FULL_TRANSITIVE means: every version is read by every other. So a new field needs a default, a field that goes had
one, a type stays what it is, and only enumerations that have a default symbol get new ones.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.parsing import parsed

__all__ = ["Clash", "clashes", "clashes_both_ways"]

_PROMOTED = {
    ("int", "long"),
    ("int", "float"),
    ("int", "double"),
    ("long", "float"),
    ("long", "double"),
    ("float", "double"),
    ("string", "bytes"),
    ("bytes", "string"),
}


@dataclass(frozen=True, slots=True)
class Clash:
    """One reason why records that one schema wrote cannot be read with another."""

    # The field, as in `driftline.fleet.Device.slots[].state`.
    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


def clashes_both_ways(older: Mapping[str, Any], newer: Mapping[str, Any]) -> list[Clash]:
    """Return why two versions cannot read each other; empty: they can.

    >>> old = {"type": "record", "name": "R", "fields": [{"name": "n", "type": "long"}]}
    >>> new = {"type": "record", "name": "R", "fields": [{"name": "n", "type": "string"}]}
    >>> [str(clash) for clash in clashes_both_ways(old, new)]
    ['R.n: long cannot be read as string', 'R.n: string cannot be read as long']
    """
    return [*clashes(written=older, read=newer), *clashes(written=newer, read=older)]


def clashes(*, written: Mapping[str, Any], read: Mapping[str, Any]) -> list[Clash]:
    """Return why a reader with the schema `read` cannot read what was written with `written`."""
    writer, reader = parsed(written), parsed(read)
    return list(_Pair(writer["__named_schemas"], reader["__named_schemas"]).differ(writer, reader, reader["name"]))


@dataclass(frozen=True, slots=True)
class _Pair:
    """The named types on both sides."""

    written: Mapping[str, Any]
    read: Mapping[str, Any]

    def differ(self, written: Any, read: Any, where: str) -> Iterator[Clash]:
        written, read = self.written.get(_key(written), written), self.read.get(_key(read), read)
        if isinstance(written, list):
            for branch in written:
                yield from self.differ(branch, read, where)
        elif isinstance(read, list):
            yield from self._into_union(written, read, where)
        elif _kind(written) != _kind(read):
            if (_kind(written), _kind(read)) not in _PROMOTED:
                yield Clash(where, f"{_kind(written)} cannot be read as {_kind(read)}")
        else:
            yield from self._same_kind(written, read, where)

    def _into_union(self, written: Any, read: list[Any], where: str) -> Iterator[Clash]:
        if all(any(True for _ in self.differ(written, branch, where)) for branch in read):
            kinds = ", ".join(_kind(branch) for branch in read)
            yield Clash(where, f"{_kind(written)} cannot be read as any of {kinds}")

    def _same_kind(self, written: Any, read: Any, where: str) -> Iterator[Clash]:
        match _kind(read):
            case "record":
                yield from self._names(written, read, where)
                yield from self._fields(written, read, where)
            case "enum":
                yield from self._names(written, read, where)
                unknown = [symbol for symbol in written["symbols"] if symbol not in read["symbols"]]
                if unknown and "default" not in read:
                    yield Clash(where, f"{', '.join(unknown)} cannot be read without a default symbol")
            case "fixed":
                yield from self._names(written, read, where)
                if written["size"] != read["size"]:
                    yield Clash(where, f"{written['size']} bytes cannot be read as {read['size']}")
            case "array":
                yield from self.differ(written["items"], read["items"], f"{where}[]")
            case "map":
                yield from self.differ(written["values"], read["values"], f"{where}[]")

    def _names(self, written: Any, read: Any, where: str) -> Iterator[Clash]:
        if written["name"] != read["name"] and written["name"] not in read.get("aliases", ()):
            yield Clash(where, f"{written['name']} cannot be read as {read['name']}")

    def _fields(self, written: Any, read: Any, where: str) -> Iterator[Clash]:
        there = {field["name"]: field for field in written["fields"]}
        for field in read["fields"]:
            source = next((there[name] for name in (field["name"], *field.get("aliases", ())) if name in there), None)
            inner = f"{where}.{field['name']}"
            if source is not None:
                yield from self.differ(source["type"], field["type"], inner)
            elif "default" not in field:
                yield Clash(inner, "is missing in what was written, and has no default")


def _key(schema: Any) -> Any:
    return schema if isinstance(schema, str) else None


def _kind(schema: Any) -> str:
    if isinstance(schema, list):
        return "union"
    return str(schema["type"] if isinstance(schema, dict) else schema)
