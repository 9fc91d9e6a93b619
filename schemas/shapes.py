"""What one annotation means: its Avro type, and how values cross between Python and Avro.

Crossing checks. A value that its field cannot hold raises `WrongValueError` on its way out, before anything is
sent, and on its way in, where Avro itself says less than the declaration does.
"""

import math
import re
import reprlib
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, NoReturn, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from schemas.bodies import (
    Write,
    boolean_body,
    bytes_body,
    double_body,
    items_body,
    long_body,
    single_body,
    text_body,
)
from schemas.errors import SchemaError, WrongValueError
from schemas.fields import Avro

__all__ = [
    "Convert",
    "Shape",
    "Shaped",
    "bounds",
    "first_line",
    "is_uuid",
    "notes",
    "shape_of",
    "whole_bounds",
    "wrong",
]

T = TypeVar("T")
Convert = Callable[[Any], Any]

_LONG = 2**63
_RANGES = {"int": (-(2**31), 2**31 - 1), "long": (-_LONG, _LONG - 1)}
_LARGEST_FLOAT32 = 3.4028234663852886e38
_ITEM_BYTES = {"<u4": 4, "<f4": 4, "<f8": 8}
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch


@dataclass(frozen=True, slots=True)
class Shape:
    """One annotation, understood."""

    # Takes the names that were already written out in the schema; a second mention is by name.
    render: Callable[[set[str]], Any]
    # To Avro, as the dictionaries, lists and plain values that its libraries take.
    outof: Convert
    # To Avro's bytes; what does not fit raises as well.
    write: Write
    # From Avro; None: as it is.
    into: Convert | None = None
    doc: str = ""


class Shaped(Protocol):
    """A class that brings its own shape: a record."""

    __shape__: Shape


def shape_of(hint: Any) -> Shape:
    if get_origin(hint) is Annotated:
        return _annotated(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _enumeration(hint)
    if get_origin(hint) is not None:
        return _container(hint)
    shape = getattr(hint, "__shape__", None) or _PLAIN.get(hint)
    if shape is None:
        raise _undeclared(hint)
    return shape


def bounds(record: type[Any]) -> dict[str, tuple[int, int]]:
    """Return the bounds of each whole-number field of a record, both inclusive."""
    return {name: whole_bounds(avro) for name, avro in notes(record).items() if avro.type in _RANGES}


def notes(record: type[Any]) -> dict[str, Avro]:
    """Return what the fields of a record declare beyond their Python type."""
    return {
        name: note
        for name, hint in get_type_hints(record, include_extras=True).items()
        for note in getattr(hint, "__metadata__", ())
        if isinstance(note, Avro)
    }


def is_uuid(text: str) -> bool:
    return bool(_UUID(text))


def first_line(doc: str | None) -> str:
    return (doc or "").strip().partition("\n")[0]


def wrong(found: object, wanted: str) -> NoReturn:
    raise WrongValueError("", found=f"{reprlib.repr(found)} ({type(found).__name__})", wanted=wanted)


def _text(value: Any) -> str:
    # An ASCII string knows that it is one; any other may hold half a surrogate pair, which UTF-8 cannot.
    if type(value) is not str or not (value.isascii() or _is_unicode(value)):
        wrong(value, "str of valid Unicode")
    return value


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text_written(value: Any) -> bytes:
    if type(value) is str and value.isascii():
        # Nearly every field is such a one, whose length in bytes is its own.
        return long_body(len(value)) + value.encode()
    return text_body(_text(value))


def _checked(check: Convert, write: Write) -> Write:
    return lambda value: write(check(value))


def _exactly(wanted: type[T]) -> Callable[[Any], T]:
    def check(value: Any) -> T:
        if type(value) is not wanted:
            wrong(value, wanted.__name__)
        return value

    return check


def _whole(low: int, high: int) -> Callable[[Any], int]:
    wanted = f"a whole number, {low} to {high}"

    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            wrong(value, wanted)
        return value

    return check


def _double(value: Any) -> float:
    if type(value) is int and abs(value) <= 2**53:
        return float(value)
    if not isinstance(value, float):
        wrong(value, "float")
    return value


def _single(value: Any) -> float:
    number = _double(value)
    if abs(number) > _LARGEST_FLOAT32 and not math.isinf(number):
        wrong(value, f"float32, at most {_LARGEST_FLOAT32:.7g} away from 0")
    return number


def _uuid(value: Any) -> str:
    if type(value) is not str or not is_uuid(value):
        wrong(value, "UUID as 8-4-4-4-12 hexadecimal digits")
    return value


def _packed(dtype: str) -> Callable[[Any], bytes]:
    size = _ITEM_BYTES[dtype]

    def check(value: Any) -> bytes:
        if type(value) is not bytes:
            wrong(value, "bytes")
        if len(value) % size:
            raise WrongValueError("", found=f"{len(value)} bytes", wanted=f"a multiple of {size} bytes ({dtype})")
        return value

    return check


_PLAIN = {
    str: Shape(lambda _seen: "string", _text, _text_written),
    bytes: Shape(lambda _seen: "bytes", _exactly(bytes), _checked(_exactly(bytes), bytes_body)),
    bool: Shape(lambda _seen: "boolean", _exactly(bool), _checked(_exactly(bool), boolean_body)),
    int: Shape(lambda _seen: "long", _whole(*_RANGES["long"]), _checked(_whole(*_RANGES["long"]), long_body)),
    float: Shape(lambda _seen: "double", _double, _checked(_double, double_body)),
}


def _annotated(hint: Any) -> Shape:
    bare, *notes = get_args(hint)
    doc = next((note for note in notes if isinstance(note, str)), "")
    avro = next((note for note in notes if isinstance(note, Avro)), None)
    if avro is None:
        inner = shape_of(bare)
        return Shape(inner.render, inner.outof, inner.write, inner.into, doc or inner.doc)
    rendered = {"type": avro.type, "logicalType": avro.logical} if avro.logical else avro.type
    check, checks_reading = _check(avro)
    write = _checked(check, _WRITES[avro.type])
    return Shape(lambda _seen: rendered, check, write, check if checks_reading else None, doc)


_WRITES: Mapping[str, Write] = {
    "string": text_body,
    "bytes": bytes_body,
    "int": long_body,
    "long": long_body,
    "float": single_body,
}


def _check(avro: Avro) -> tuple[Convert, bool]:
    """Return the check of such values, and whether what an Avro reader returns needs it as well."""
    if avro.logical == "uuid":
        return _uuid, True
    if avro.packed:
        return _packed(avro.packed), True
    if avro.type in _RANGES:
        return _whole(*whole_bounds(avro)), True
    if avro.type == "float":
        return _single, False
    raise SchemaError(f"no check is declared for {avro!r}")


def whole_bounds(avro: Avro) -> tuple[int, int]:
    low, high = _RANGES[avro.type]
    return (low if avro.low is None else avro.low, high if avro.high is None else avro.high)


def _enumeration(hint: type[StrEnum]) -> Shape:
    members = {member.value: member for member in hint}
    symbols = list(members)
    if symbols[0] != "unknown":
        raise SchemaError(
            f"{hint.__name__} begins with {symbols[0]!r}; the first member of an enumeration is 'unknown', "
            "which a reader older than a new member falls back to"
        )
    name = f"driftline.{hint.__name__}"

    def render(seen: set[str]) -> Any:
        if name in seen:
            return name
        seen.add(name)
        doc = first_line(hint.__doc__)
        return {"type": "enum", "name": name, "doc": doc, "symbols": symbols, "default": symbols[0]}

    def outof(value: Any) -> str:
        if type(value) is not hint:
            wrong(value, f"{hint.__name__}: {', '.join(symbols)}")
        return str(value)

    bodies = {member: long_body(place) for place, member in enumerate(hint)}

    def write(value: Any) -> bytes:
        if type(value) is not hint:
            wrong(value, f"{hint.__name__}: {', '.join(symbols)}")
        return bodies[value]

    return Shape(render, outof, write, members.__getitem__)


def _container(hint: Any) -> Shape:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple and arguments[1:] == (Ellipsis,):
        return _array(shape_of(arguments[0]))
    if origin is Mapping and arguments[0] is str:
        return _map(shape_of(arguments[1]))
    if origin in (Union, types.UnionType) and type(None) in arguments and len(arguments) == 2:
        return _optional(shape_of(next(argument for argument in arguments if argument is not type(None))))
    raise _undeclared(hint)


def _undeclared(hint: Any) -> SchemaError:
    return SchemaError(f"no Avro type is declared for {hint!r}")


def _array(item: Shape) -> Shape:
    def outof(values: Any) -> list[Any]:
        if type(values) is not tuple:
            wrong(values, "tuple")
        return _each(item.outof, enumerate(values)) if values else []

    def write(values: Any) -> bytes:
        if type(values) is not tuple:
            wrong(values, "tuple")
        return items_body(map(item.write, values), len(values))

    def into(values: list[Any]) -> tuple[Any, ...]:
        return tuple(values) if item.into is None else tuple(_each(item.into, enumerate(values)))

    return Shape(lambda seen: {"type": "array", "items": item.render(seen)}, outof, write, into)


def _map(item: Shape) -> Shape:
    def outof(values: Any) -> dict[str, Any]:
        # Nearly all are dictionaries; to ask for the protocol takes longer than to convert one.
        if type(values) is not dict and not isinstance(values, Mapping):
            wrong(values, "mapping")
        if not values:
            return {}
        return dict(zip(map(_text, values), _each(item.outof, values.items()), strict=True))

    def write(values: Any) -> bytes:
        if type(values) is not dict and not isinstance(values, Mapping):
            wrong(values, "mapping")
        return items_body([_text_written(key) + item.write(value) for key, value in values.items()], len(values))

    def into(values: dict[str, Any]) -> dict[str, Any]:
        return values if item.into is None else dict(zip(values, _each(item.into, values.items()), strict=True))

    return Shape(
        lambda seen: {"type": "map", "values": item.render(seen)}, outof, write, None if item.into is None else into
    )


def _each(convert: Convert, items: Iterable[tuple[Any, Any]]) -> list[Any]:
    converted = []
    reached: Any = None
    try:
        for reached, value in items:  # noqa: B007 - told when it breaks
            converted.append(convert(value))
    except WrongValueError as trouble:
        raise trouble.within(f"[{reached!r}]") from None
    return converted


def _optional(item: Shape) -> Shape:
    into = item.into
    return Shape(
        lambda seen: ["null", item.render(seen)],
        lambda value: None if value is None else item.outof(value),
        lambda value: long_body(0) if value is None else long_body(1) + item.write(value),
        None if into is None else lambda value: None if value is None else into(value),
    )
