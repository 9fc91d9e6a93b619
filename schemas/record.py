"""Declare an Avro record once: the class gives the dataclass, the schema and the conversions.

A record is a frozen dataclass whose annotations say everything that its Avro schema says. Nobody
types a field name twice, and no dictionary travels past the decoder.

>>> from schemas.fields import Float32
>>> @record(namespace="example")
... class Reading:
...     "One look at a sensor."
...
...     device_id: Annotated[str, "Who looked."]
...     celsius: Annotated[Float32, "What it saw."] = 0.0
>>> avro_schema(Reading)["name"], avro_schema(Reading)["fields"][1]["type"]
('driftline.example.Reading', 'float')
"""

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from enum import StrEnum
from typing import Annotated, Any, TypeVar, Union, dataclass_transform, get_args, get_origin, get_type_hints

from schemas.errors import SchemaError
from schemas.fields import Avro

__all__ = ["as_plain", "avro_schema", "from_plain", "is_record", "record"]

T = TypeVar("T")
Convert = Callable[[Any], Any]

_PLAIN = {str: "string", bytes: "bytes", bool: "boolean", int: "long", float: "double"}


@dataclass_transform(frozen_default=True, kw_only_default=True)
def record(*, namespace: str) -> Callable[[type[T]], type[T]]:
    """Make the class a record named `driftline.<namespace>.<class>`."""

    def declare(cls: type[T]) -> type[T]:
        made = dataclass(frozen=True, slots=True, kw_only=True)(cls)
        shapes = {name: _shape(hint) for name, hint in get_type_hints(made, include_extras=True).items()}
        _DECLARED[made] = _Declaration(
            name=f"driftline.{namespace}.{made.__name__}",
            doc=inspect.cleandoc(cls.__doc__ or "").partition("\n")[0],
            shapes=shapes,
            into={name: shape.into for name, shape in shapes.items() if shape.into},
            outof={name: shape.outof for name, shape in shapes.items() if shape.outof},
        )
        return made

    return declare


def is_record(cls: object) -> bool:
    return cls in _DECLARED


def avro_schema(cls: type[Any]) -> dict[str, Any]:
    """Render the Avro schema; a nested record is written out where it first appears."""
    schema: dict[str, Any] = _DECLARED[cls].render(cls, set())
    return schema


def as_plain(value: Any) -> dict[str, Any]:
    """Return the dictionary that an Avro writer takes."""
    declaration = _DECLARED[type(value)]
    plain = {name: getattr(value, name) for name in declaration.shapes}
    for name, convert in declaration.outof.items():
        plain[name] = convert(plain[name])
    return plain


def from_plain(cls: type[T], plain: dict[str, Any]) -> T:
    """Build the record from what an Avro reader returned; `plain` is used up."""
    for name, convert in _DECLARED[cls].into.items():
        plain[name] = convert(plain[name])
    return cls(**plain)


@dataclass(frozen=True, slots=True)
class _Shape:
    """One annotation, understood: its Avro type, and how values cross over (None: as they are)."""

    render: Callable[[set[type]], Any]
    doc: str = ""
    into: Convert | None = None
    outof: Convert | None = None


@dataclass(frozen=True, slots=True)
class _Declaration:
    name: str
    doc: str
    shapes: Mapping[str, _Shape]
    into: Mapping[str, Convert]
    outof: Mapping[str, Convert]

    def render(self, cls: type[Any], seen: set[type]) -> Any:
        if cls in seen:
            return self.name
        seen.add(cls)
        return {
            "type": "record",
            "name": self.name,
            "doc": self.doc,
            "fields": [self._field(field, seen) for field in fields(cls)],
        }

    def _field(self, field: Field[Any], seen: set[type]) -> dict[str, Any]:
        shape = self.shapes[field.name]
        rendered = {"name": field.name, "type": shape.render(seen), "doc": shape.doc}
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if default is not MISSING:
            rendered["default"] = shape.outof(default) if shape.outof else default
        if isinstance(default, bytes):
            # Avro writes the default of `bytes` as the characters of the same code points.
            rendered["default"] = default.decode("latin-1")
        return rendered


_DECLARED: dict[Any, _Declaration] = {}


def _shape(hint: Any) -> _Shape:
    if get_origin(hint) is Annotated:
        return _annotated_shape(hint)
    if hint in _PLAIN:
        return _Shape(lambda _seen: _PLAIN[hint])
    if hint in _DECLARED:
        return _Shape(
            lambda seen: _DECLARED[hint].render(hint, seen),
            into=lambda plain: from_plain(hint, plain),
            outof=as_plain,
        )
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _enum_shape(hint)
    return _container_shape(hint)


def _annotated_shape(hint: Any) -> _Shape:
    bare, *notes = get_args(hint)
    doc = next((note for note in notes if isinstance(note, str)), "")
    avro = next((note for note in notes if isinstance(note, Avro)), None)
    if avro is None:
        inner = _shape(bare)
        return _Shape(inner.render, doc or inner.doc, inner.into, inner.outof)
    rendered = {"type": avro.type, "logicalType": avro.logical} if avro.logical else avro.type
    return _Shape(lambda _seen: rendered, doc)


def _enum_shape(hint: type[StrEnum]) -> _Shape:
    symbols = [member.value for member in hint]
    if symbols[0] != "unknown":
        raise SchemaError(
            f"{hint.__name__} begins with {symbols[0]!r}; the first member of an enumeration is 'unknown', "
            "which a reader older than a new member falls back to"
        )
    doc = inspect.cleandoc(hint.__doc__ or "").partition("\n")[0]
    name = f"driftline.{hint.__name__}"

    def render(seen: set[type]) -> Any:
        if hint in seen:
            return name
        seen.add(hint)
        return {"type": "enum", "name": name, "doc": doc, "symbols": symbols, "default": symbols[0]}

    return _Shape(render, into=hint, outof=str)


def _container_shape(hint: Any) -> _Shape:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple and arguments[1:] == (Ellipsis,):
        item = _shape(arguments[0])
        return _Shape(
            lambda seen: {"type": "array", "items": item.render(seen)},
            into=_tuple_of(item.into),
            outof=_list_of(item.outof),
        )
    if origin is Mapping and arguments[0] is str:
        item = _shape(arguments[1])
        return _Shape(
            lambda seen: {"type": "map", "values": item.render(seen)},
            into=_map_of(item.into),
            outof=_map_of(item.outof) or dict,
        )
    if origin in (Union, types.UnionType) and type(None) in arguments and len(arguments) == 2:
        item = _shape(next(argument for argument in arguments if argument is not type(None)))
        return _Shape(lambda seen: ["null", item.render(seen)], into=_if_any(item.into), outof=_if_any(item.outof))
    raise SchemaError(f"no Avro type is declared for {hint!r}")


def _tuple_of(convert: Convert | None) -> Convert:
    return tuple if convert is None else lambda values: tuple(map(convert, values))


def _list_of(convert: Convert | None) -> Convert:
    return list if convert is None else lambda values: list(map(convert, values))


def _map_of(convert: Convert | None) -> Convert | None:
    if convert is None:
        return None
    return lambda values: {key: convert(value) for key, value in values.items()}


def _if_any(convert: Convert | None) -> Convert | None:
    if convert is None:
        return None
    return lambda value: None if value is None else convert(value)
