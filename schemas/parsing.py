"""Make a schema ready for reading bytes from strangers, or refuse it.

fastavro reads what a schema says, so a schema that somebody else registered must not say too much. Every record and
every item of an array takes at least one byte, and no record holds itself: then reading ends, in time and depth that
the body's size and the schema's text bound.
"""

from collections.abc import Iterator, Mapping
from typing import Any, SupportsIndex

import fastavro
from fastavro.schema import SchemaParseException, UnknownType

from schemas.errors import SchemaError

__all__ = ["parsed", "strict"]


def parsed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema as fastavro takes it.

    >>> parsed({"type": "record", "name": "Empty", "fields": []})
    Traceback (most recent call last):
    schemas.errors.SchemaError: Empty: a record without a byte; wanted at least one
    """
    try:
        ready = fastavro.parse_schema(_bare(schema))
        if not isinstance(ready, dict) or ready["type"] != "record":
            raise SchemaError(f"found the schema of {_kind(ready)}, wanted that of a record")
        _least_bytes(ready, {}, ())
    except (SchemaParseException, UnknownType, LookupError, TypeError, ValueError, RecursionError) as error:
        raise SchemaError(f"not an Avro schema: {error!r}") from error
    _fill_bytes(ready)
    return ready


def _bare(schema: Any) -> Any:
    """Leave out logical types, so that values stay whole numbers and strings, and docs, which take room."""
    if isinstance(schema, list):
        return [_bare(branch) for branch in schema]
    if not isinstance(schema, Mapping):
        return schema
    bare = {
        name: value if name == "default" else _bare(value)
        for name, value in schema.items()
        if name not in ("logicalType", "doc")
    }
    return bare["type"] if bare.keys() == {"type"} else bare


def _kind(schema: Any) -> str:
    if isinstance(schema, list):
        return "union"
    return str(schema["type"] if isinstance(schema, dict) else schema)


# What a value of a type takes at least; whatever is not listed is a length, an index or a number of one byte or more.
_AT_LEAST = {"null": 0, "float": 4, "double": 8}


def _least_bytes(schema: Any, known: dict[str, Any], within: tuple[str, ...]) -> int:
    """Return how few bytes a value can take, and refuse what would take none or never end."""
    if isinstance(schema, list):
        return 1 + min((_least_bytes(branch, known, within) for branch in schema), default=0)
    if not isinstance(schema, dict):
        if schema in within:
            raise SchemaError(f"{schema}: a record that holds itself; wanted one that ends")
        return int(known.get(schema, _AT_LEAST.get(schema, 1)))
    match schema["type"]:
        case "record" | "error":
            name = schema["name"]
            least = sum(_least_bytes(field["type"], known, (*within, name)) for field in schema["fields"])
            if not least:
                raise SchemaError(f"{name}: a record without a byte; wanted at least one")
            known[name] = least
            return least
        case "fixed":
            known[schema["name"]] = schema["size"]
            return int(schema["size"])
        case "array":
            if not _least_bytes(schema["items"], known, within):
                raise SchemaError("an array whose items take no byte; wanted at least one")
        case "map":
            _least_bytes(schema["values"], known, within)
    return _AT_LEAST.get(schema["type"], 1)


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Make a parsed schema refuse negative indexes in bodies, in place, and return it: for what others wrote."""
    for holder in _holders(schema):
        for part in ("symbols", "type", "items", "values"):
            if isinstance(holder.get(part), list):
                holder[part] = _FromZero(holder[part])
    return schema


def _fill_bytes(schema: dict[str, Any]) -> None:
    """Make the defaults of `bytes` bytes; fastavro would fill in the text that stands in the schema."""
    for holder in _holders(schema):
        if isinstance(holder.get("default"), str) and _kind(holder["type"]) == "bytes":
            holder["default"] = holder["default"].encode("latin-1")


def _holders(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every part of a schema that holds a type: fields, arrays, maps, enumerations."""
    if isinstance(schema, list):
        for branch in schema:
            yield from _holders(branch)
    elif isinstance(schema, dict):
        yield schema
        for field in schema.get("fields", ()):
            yield from _holders(field)
        for part in ("type", "items", "values"):
            yield from _holders(schema.get(part))


class _FromZero(list[Any]):
    """A list without a last item at -1: fastavro indexes as Python does, but a body that says -1 is broken.

    Its compiled code asks for the length to count from the end, and for nothing else.
    """

    def __len__(self) -> int:
        raise IndexError("a negative index")

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        if not isinstance(index, slice) and index.__index__() < 0:
            raise IndexError("a negative index")
        return super().__getitem__(index)
