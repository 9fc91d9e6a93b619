"""Settings as values: texts and TOML become the fields of a dataclass, or an error that names the key."""

import dataclasses
import difflib
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from schemas.errors import DriftlineError

__all__ = ["HIDDEN", "Given", "SettingError", "UnknownSettingError", "field_paths", "fill", "flattened"]

T = TypeVar("T")

_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """A value, and where it was found, in words."""

    value: Any = dataclasses.field(repr=False)
    source: str


class SettingError(DriftlineError):
    """A setting with a value that cannot be meant; nothing was started."""

    def __init__(self, key: str, found: Any, wanted: str, *, source: str = "") -> None:
        shown = "not set" if found is None else found if isinstance(found, _Hidden) else repr(found)
        super().__init__(f"{key} is {shown}, wanted {wanted}", hint=f"it was set in {source}" if source else "")
        self.key = key
        self.wanted = wanted
        self.source = source


class UnknownSettingError(DriftlineError):
    """A setting that nobody reads: most likely a slip of the pen."""

    def __init__(self, key: str, known: Iterable[str], *, source: str) -> None:
        known = sorted(known)
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
        super().__init__(
            f"unknown setting {key!r} in {source}; "
            + (f"did you mean {near[0]!r}?" if near else "known: ")
            + ("" if near else ", ".join(known))
        )
        self.key = key
        self.near = near[0] if near else None


class _Hidden(str):
    """What an error shows in the place of a secret."""


HIDDEN = _Hidden("(not shown)")


def fill(cls: type[T], table: Mapping[str, Given], *, key: str) -> T:
    """Make a dataclass of the values given under `name` or `outer.name`; errors call them `key.name`.

    Environment variables arrive as text and are understood by the field's type:

    >>> @dataclasses.dataclass(frozen=True)
    ... class Spool:
    ...     max_bytes: int = 1024
    ...     fsync: bool = True
    >>> fill(Spool, {"max_bytes": Given("4096", "DRIFTLINE_SPOOL_MAX_BYTES")}, key="spool")
    Spool(max_bytes=4096, fsync=True)
    """
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cast(Any, cls))}
    for name, given in table.items():
        if name.partition(".")[0] not in fields:
            raise UnknownSettingError(f"{key}.{name}", (f"{key}.{field}" for field in fields), source=given.source)
    values = {}
    for name, field in fields.items():
        inner = {path[len(name) + 1 :]: given for path, given in table.items() if path.startswith(f"{name}.")}
        if dataclasses.is_dataclass(hints[name]) and isinstance(hints[name], type):
            if inner or _required(field):
                values[name] = fill(hints[name], inner, key=f"{key}.{name}")
        elif get_origin(hints[name]) is Mapping and inner:
            values[name] = {
                path: _as(get_args(hints[name])[1], given, f"{key}.{name}.{path}") for path, given in inner.items()
            }
        elif name in table:
            values[name] = _as(hints[name], table[name], f"{key}.{name}")
        elif _required(field):
            raise SettingError(f"{key}.{name}", None, f"a value ({_named(hints[name])})")
    return _built(cls, values, key)


def flattened(table: Mapping[str, Any], source: str, outer: str = "") -> dict[str, Given]:
    """Lay out nested TOML tables as dotted names.

    >>> sorted(flattened({"spool": {"path": "/var", "fsync": True}}, "driftline.toml"))
    ['spool.fsync', 'spool.path']
    """
    flat: dict[str, Given] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, source, f"{outer}{name}.")
        else:
            flat[f"{outer}{name}"] = Given(value, source)
    return flat


def field_paths(cls: type[Any], outer: str = "") -> list[str]:
    """Return the dotted names of all fields, nested dataclasses included."""
    paths = []
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            paths += field_paths(hint, f"{outer}{field.name}.")
        else:
            paths.append(f"{outer}{field.name}")
    return paths


def _required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _built(cls: type[T], values: Mapping[str, Any], key: str) -> T:
    try:
        return cls(**values)
    except DriftlineError:
        raise
    except ValueError as error:
        raise DriftlineError(f"{key}: {error}") from error


def _as(hint: Any, given: Given, key: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _as(next(argument for argument in arguments if argument is not type(None)), given, key)
    if origin is tuple:
        return tuple(_as(arguments[0], Given(item, given.source), key) for item in _items(given, key))
    convert = _CONVERT.get(hint)
    if convert is None and callable(hint):
        convert = (_named(hint), hint)
    wanted, make = cast(tuple[str, Callable[[Any], Any]], convert)
    try:
        return make(given.value)
    except (TypeError, ValueError):
        raise SettingError(key, given.value, wanted, source=given.source) from None


def _items(given: Given, key: str) -> list[Any]:
    if isinstance(given.value, str):
        return [item.strip() for item in given.value.split(",") if item.strip()]
    if isinstance(given.value, list):
        return given.value
    raise SettingError(key, given.value, "a list, or a text with commas", source=given.source)


def _named(hint: Any) -> str:
    if isinstance(hint, type) and hasattr(hint, "__members__"):
        return "one of " + ", ".join(str(getattr(member, "value", member)) for member in cast(Iterable[Any], hint))
    return _CONVERT[hint][0] if hint in _CONVERT else str(getattr(hint, "__name__", hint))


def _integer(value: Any) -> int:
    if isinstance(value, bool | float):
        raise TypeError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in _TRUE | _FALSE and isinstance(value, str):
        return value.lower() in _TRUE
    raise ValueError


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _path(value: Any) -> Path:
    if not isinstance(value, str) or not value:
        raise TypeError
    return Path(value).expanduser()


_CONVERT: Mapping[Any, tuple[str, Callable[[Any], Any]]] = {
    str: ("a text", _text),
    int: ("a whole number", _integer),
    float: ("a number", _number),
    bool: ("true or false", _truth),
    Path: ("a path", _path),
}
