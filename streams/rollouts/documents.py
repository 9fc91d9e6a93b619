"""Reading documents that people write: TOML, YAML or JSON into frozen dataclasses, with errors that name the key."""

import dataclasses
import datetime as dt
import difflib
import json
import math
import reprlib
import tomllib
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from schemas.errors import DriftlineError

__all__ = [
    "AtLeast",
    "Devices",
    "OneOf",
    "PlanError",
    "Seconds",
    "Share",
    "canonical",
    "check_unicode",
    "checked",
    "load_document",
    "unknown_key",
]

T = TypeVar("T")


class PlanError(DriftlineError):
    """A plan that cannot be followed: names the key, what was found there and what was wanted."""

    def __init__(self, key: str, found: object, wanted: str) -> None:
        self.key, self.found, self.wanted = key, _shown(found), wanted
        super().__init__(f"plan: {key}: found {self.found}, wanted {wanted}")


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A number of at least `low`, and at most `high`."""

    low: float
    high: float = math.inf

    def wanted(self) -> str:
        return f"{self.low:g} or more" if self.high == math.inf else f"{self.low:g} to {self.high:g}"


Share = Annotated[float, AtLeast(0, 1)]
# Thirty years, doubled twenty times, are still whole milliseconds of 64 bits.
Seconds = Annotated[float, AtLeast(0, 1e9)]
Devices = Annotated[int, AtLeast(0, 1_000_000_000)]


@dataclass(frozen=True, slots=True)
class OneOf:
    """A text out of a few."""

    choices: tuple[str, ...]


def load_document(text: str, *, kind: str) -> dict[str, Any]:
    """Read a document; `kind` is toml, yaml, yml or json."""
    try:
        document = _READERS[kind](text)
    except KeyError:
        raise PlanError("file", kind, f"one of {', '.join(_READERS)}") from None
    except (tomllib.TOMLDecodeError, yaml.YAMLError, ValueError, TypeError, RecursionError) as refused:
        raise PlanError("file", " ".join(str(refused).split()), f"a readable {kind} document") from None
    if not isinstance(document, dict):
        raise PlanError("file", document, "a table of keys")
    return document


def check_unicode(document: Mapping[str, Any]) -> None:
    """Refuse what JSON can escape and nothing can write: half a surrogate pair."""
    try:
        json.dumps(document, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as refused:
        raise PlanError("file", refused.object[refused.start], "valid Unicode") from None
    except (RecursionError, TypeError) as refused:
        raise PlanError("file", str(refused), "a readable document") from None


def canonical(document: Mapping[str, Any]) -> str:
    """Return one text for equal documents, whatever they were written in."""
    try:
        return json.dumps(document, sort_keys=True, separators=(",", ":"), default=_plain, allow_nan=False)
    except (TypeError, ValueError) as refused:
        raise PlanError("file", str(refused), "texts, numbers, true or false, times, lists and tables") from None


def checked(cls: type[T], table: Any, key: str = "") -> T:
    """Build `cls` from a table, or say which key is wrong; keys left out keep their defaults."""
    if not isinstance(table, Mapping):
        raise PlanError(key, table, "a table")
    hints = get_type_hints(cls, include_extras=True)
    wanted = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for name in table:
        if name not in wanted:
            raise unknown_key(_join(key, str(name)), str(name), list(wanted))
    values = {name: _value(hints[name], value, _join(key, name)) for name, value in table.items()}
    for name, field in wanted.items():
        if name not in values and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise PlanError(_join(key, name), None, "a value")
    return cls(**values)


def unknown_key(key: str, name: str, known: Sequence[str]) -> PlanError:
    near = difflib.get_close_matches(name, known, n=1)
    wanted = f"perhaps {near[0]!r}" if near else f"one of {', '.join(known)}"
    return PlanError(key, "a key that is not known", wanted)


class _PlainYaml(yaml.SafeLoader):
    """YAML without what makes a document say more than it shows: aliases, and keys that are there twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            alias = self.peek_event()  # type: ignore[no-untyped-call]
            raise ValueError(f"line {alias.start_mark.line + 1}: the alias *{alias.anchor}; aliases are not read")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        pairs = [(self.construct_object(key, deep=True), value) for key, value in node.value]
        _once(pairs)
        return super().construct_mapping(node, deep)


def _read_yaml(text: str) -> Any:
    return yaml.load(text, Loader=_PlainYaml)  # noqa: S506 - it is a safe loader


def _read_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """Return the pairs as a table; of two with one key it cannot be known which was meant."""
    found: dict[Any, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} twice")
        found[key] = value
    return found


_READERS: Mapping[str, Callable[[str], Any]] = {
    "toml": tomllib.loads,
    "yaml": _read_yaml,
    "yml": _read_yaml,
    "json": _read_json,
}


def _value(hint: Any, value: Any, key: str) -> Any:
    if get_origin(hint) is Annotated:
        bare, *rules = get_args(hint)
        return _ruled(_value(bare, value, key), rules, key)
    if get_origin(hint) in (Union, types.UnionType):
        return None if value is None else _value(get_args(hint)[0], value, key)
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise PlanError(key, value, "a list")
        return tuple(_value(get_args(hint)[0], item, f"{key}[{place}]") for place, item in enumerate(value))
    if dataclasses.is_dataclass(hint):
        return checked(hint, value, key)  # type: ignore[arg-type]
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    # A bool is an int to Python, but not to whoever wrote `retries = true`.
    if isinstance(value, hint) and not (hint is int and isinstance(value, bool)) and hint is not float:
        return value
    raise PlanError(key, value, _KINDS[hint])


_KINDS = {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}


def _ruled(value: Any, rules: list[Any], key: str) -> Any:
    for rule in rules:
        if isinstance(rule, AtLeast) and not rule.low <= value <= rule.high:
            raise PlanError(key, value, rule.wanted())
        if isinstance(rule, OneOf) and value not in rule.choices:
            raise PlanError(key, value, f"one of {', '.join(rule.choices)}")
    return value


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _shown(found: object) -> str:
    if found is None:
        return "nothing"
    text = found if isinstance(found, str) and " " in found else reprlib.repr(found)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _plain(value: object) -> str:
    if isinstance(value, dt.date | dt.datetime | dt.time):
        return value.isoformat()
    raise TypeError(f"a {type(value).__name__}")
