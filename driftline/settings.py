"""Settings: the one place that reads the environment and `driftline.toml`; everyone else receives a value.

What counts, first to last: options of a command, the environment (`DRIFTLINE_BOOTSTRAP`), the file
(`driftline.toml` in the working folder, or the one that `DRIFTLINE_CONFIG` names), the local stack where one is up,
and the defaults. The file, with everything in it optional:

    bootstrap = "kafka-1:9092,kafka-2:9092"
    registry = "https://registry.plant7:8081"
    prefix = "plant7-"

    [kafka]                       # security, under librdkafka's names; DRIFTLINE_KAFKA_SASL_USERNAME and so on
    security.protocol = "SASL_SSL"
    sasl.mechanism = "SCRAM-SHA-512"
    sasl.username = "driftline"
    sasl.password.file = "/run/secrets/kafka"

    [gateway]                     # a room's own, read when it starts; DRIFTLINE_GATEWAY_… likewise
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from driftline.addresses import bootstrap_address, http_url, prefix_text, redis_url, split_credentials, without_password
from driftline.kafka_security import security_settings
from driftline.stack.places import cache_folder, data_folder
from driftline.typed_values import Given, SettingError, UnknownSettingError, field_paths, fill, flattened
from schemas.cluster import Cluster

__all__ = ["SECTIONS", "Endpoints", "Settings", "load"]

T = TypeVar("T")

# Rooms with settings of their own; each declares a dataclass and reads it by `Settings.section`.
SECTIONS = ("gateway", "streams", "trainer", "console", "notify")

_READERS: Mapping[str, Callable[[str], str]] = {
    "bootstrap": bootstrap_address,
    "registry": http_url,
    "prefix": prefix_text,
    "redis": redis_url,
    "data": str,
    "cache": str,
}
# Ours as well, but no settings: which file is read, what a token wants to hear, where containers are published.
_NO_SETTINGS = frozenset(
    {
        "DRIFTLINE_CONFIG",
        "DRIFTLINE_HSM_PIN",
        "DRIFTLINE_COMPOSE_KAFKA_PORT",
        "DRIFTLINE_COMPOSE_REGISTRY_PORT",
        "DRIFTLINE_COMPOSE_VALKEY_PORT",
    }
)
_DEFAULTS = {
    "bootstrap": "127.0.0.1:9092",
    "registry": "http://127.0.0.1:8081",
    "redis": "redis://127.0.0.1:6379/0",
    "prefix": "",
}


class Endpoints(Protocol):
    """Where a stack that is up is reached."""

    @property
    def bootstrap(self) -> str: ...
    @property
    def registry_url(self) -> str: ...
    @property
    def redis_url(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What was asked for, checked and complete; secrets are in no text of it."""

    bootstrap: str
    registry: str = field(repr=False)
    prefix: str
    redis: str = field(repr=False)
    # Data of the local stack; downloads and other things that can be had again.
    data: Path
    cache: Path
    kafka: Mapping[str, str] = field(default_factory=dict, repr=False)
    # What the file and the environment say to the rooms, not yet understood.
    rooms: Mapping[str, Mapping[str, Given]] = field(default_factory=dict, repr=False)
    variables: Mapping[str, Given] = field(default_factory=dict, repr=False)
    # Where each of the values comes from, in words.
    sources: Mapping[str, str] = field(default_factory=dict)

    def cluster(self) -> Cluster:
        registry_url, credentials = split_credentials(self.registry)
        return Cluster(
            bootstrap=self.bootstrap,
            registry_url=registry_url,
            prefix=self.prefix,
            security=dict(self.kafka),
            registry_security={"basic.auth.user.info": credentials} if credentials else {},
        )

    def section(self, name: str, cls: type[T]) -> T:
        """Read a room's own settings into its dataclass; a bad one stops the program here."""
        given = dict(self.rooms.get(name, {}))
        # A variable's underscores may be dots: which, is known only now that the fields are.
        paths = {path.replace(".", "_"): path for path in field_paths(cls)}
        for variable, value in self.variables.items():
            room, _, flat = variable.partition("_")
            if room != name:
                continue
            if flat not in paths:
                known = (_variable(name, path) for path in paths)
                raise UnknownSettingError(_variable(variable), known, source=value.source)
            given[paths[flat]] = value
        return fill(cls, given, key=name)

    def with_room_of(self, path: Path, name: str) -> "Settings":
        """Return the same settings with one room read from another file; variables speak of this process's own one."""
        table, source = _toml({"DRIFTLINE_CONFIG": str(path)}, Path())
        room = table.get(name)
        if not isinstance(room, Mapping):
            raise SettingError(name, room, "a table", source=source)
        variables = {key: value for key, value in self.variables.items() if key.partition("_")[0] != name}
        return replace(self, rooms={**self.rooms, name: flattened(room, source)}, variables=variables)

    def shown(self) -> dict[str, str]:
        """Return what may be printed, for `driftline status` and logs."""
        return {
            "bootstrap": self.bootstrap,
            "registry": without_password(self.registry),
            "redis": without_password(self.redis),
            "prefix": self.prefix,
            "data": str(self.data),
            "cache": str(self.cache),
            "security": self.kafka.get("security.protocol", "plaintext"),
        }


def load(
    environ: Mapping[str, str],
    *,
    folder: Path,
    options: Mapping[str, str | None] | None = None,
    running: Callable[[Path], Endpoints | None] = lambda _data: None,
) -> Settings:
    """Put the settings together; `options` are those of the command, `running` knows the local stack."""
    given, kafka, rooms = _from_file(environ, folder)
    variables = _from_environment(environ)
    given |= {name: value for name, value in variables.items() if name in _READERS}
    kafka |= {
        name.removeprefix("kafka_").replace("_", "."): value
        for name, value in variables.items()
        if name.startswith("kafka_")
    }
    for name, option in (options or {}).items():
        if option is not None:
            given[name] = Given(option, f"option --{name}")
    places = _places(given, environ, folder)
    _add_stack(given, running(places["data"]))
    texts = {name: _checked(name, given[name]) if name in given else default for name, default in _DEFAULTS.items()}
    return Settings(
        bootstrap=texts["bootstrap"],
        registry=texts["registry"],
        prefix=texts["prefix"],
        redis=texts["redis"],
        data=places["data"],
        cache=places["cache"],
        kafka=security_settings(kafka),
        rooms=rooms,
        variables=variables,
        sources={name: given[name].source if name in given else "default" for name in _READERS},
    )


def _from_file(
    environ: Mapping[str, str], folder: Path
) -> tuple[dict[str, Given], dict[str, Given], dict[str, dict[str, Given]]]:
    table, source = _toml(environ, folder)
    for name, value in table.items():
        tables = name in SECTIONS or name == "kafka"
        if not tables and name not in _READERS:
            raise UnknownSettingError(name, [*_READERS, "kafka", *SECTIONS], source=source)
        if tables != isinstance(value, Mapping):
            raise SettingError(name, value, "a table" if tables else "a text", source=source)
    given = {name: Given(value, source) for name, value in table.items() if name in _READERS}
    rooms = {name: flattened(table.get(name, {}), source) for name in SECTIONS}
    return given, flattened(table.get("kafka", {}), source), rooms


def _toml(environ: Mapping[str, str], folder: Path) -> tuple[dict[str, Any], str]:
    named = environ.get("DRIFTLINE_CONFIG")
    path = folder / (named or "driftline.toml")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig")), str(path)
    except FileNotFoundError:
        if named:
            raise SettingError("DRIFTLINE_CONFIG", named, "a file that exists", source="the environment") from None
        return {}, ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError("DRIFTLINE_CONFIG", str(path), f"a file that can be read ({error})") from None
    except (ValueError, RecursionError) as error:
        raise SettingError(str(path), str(error), "TOML") from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, Given]:
    """Return our variables by the rest of their name, in small letters; an empty one counts as not set."""
    found = {}
    for variable, value in environ.items():
        if not variable.startswith("DRIFTLINE_") or variable in _NO_SETTINGS or not value:
            continue
        name = variable.removeprefix("DRIFTLINE_").lower()
        head, _, rest = name.partition("_")
        if name not in _READERS and not (rest and head in ("kafka", *SECTIONS)):
            known = [_variable(key) for key in (*_READERS, "config")]
            raise UnknownSettingError(variable, known, source="the environment")
        found[name] = Given(value, f"the environment, {variable}")
    return found


def _places(given: Mapping[str, Given], environ: Mapping[str, str], folder: Path) -> dict[str, Path]:
    defaults = {"data": data_folder(environ), "cache": cache_folder(environ)}
    return {
        name: (folder / Path(_checked(name, given[name])).expanduser()).absolute() if name in given else default
        for name, default in defaults.items()
    }


def _add_stack(given: dict[str, Given], stack: Endpoints | None) -> None:
    if stack is None:
        return
    source = "the local stack"
    given.setdefault("redis", Given(stack.redis_url, source))
    # Never one cluster's broker with another's registry: the schema ids would not be the same.
    if "bootstrap" not in given and "registry" not in given:
        given["bootstrap"] = Given(stack.bootstrap, source)
        given["registry"] = Given(stack.registry_url, source)


def _checked(name: str, given: Given) -> str:
    if not isinstance(given.value, str) or (not given.value and name != "prefix"):
        raise SettingError(name, given.value, "a text", source=given.source)
    try:
        return _READERS[name](given.value)
    except ValueError as wanted:
        raise SettingError(name, without_password(given.value), str(wanted), source=given.source) from None


def _variable(*path: str) -> str:
    return "_".join(("DRIFTLINE", *path)).upper()
