"""The schemas on disk: rendered for other languages, and every released version of them, which stays readable for ever.

schemas/avsc/DriftAlert.avsc             as the code has it now
schemas/released/0.1.0/DriftAlert.avsc   as version 0.1.0 wrote it
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.catalogue import CATALOGUE
from schemas.codec import codec_of
from schemas.errors import IncompatibleSchemaError, SchemaError
from schemas.evolution import Clash, clashes_both_ways

__all__ = [
    "RELEASED",
    "RENDERED",
    "Incompatible",
    "check",
    "incompatible",
    "records",
    "release",
    "released",
    "render",
    "stale",
]

RENDERED = Path(__file__).with_name("avsc")
RELEASED = Path(__file__).with_name("released")


@dataclass(frozen=True, slots=True)
class Incompatible:
    """A record whose present declaration and one released version cannot read each other."""

    record: str
    version: str
    clash: Clash

    def __str__(self) -> str:
        return f"{self.clash} (against version {self.version})"


def records() -> dict[str, type[Any]]:
    """Return the records that topics carry, by their names."""
    return {topic.record.__name__: topic.record for topic in CATALOGUE.values()}


def rendered() -> dict[str, str]:
    """Return the file of each record's schema, as text, by file name."""
    return {
        f"{name}.avsc": json.dumps(codec_of(record).schema, indent=2, ensure_ascii=False) + "\n"
        for name, record in sorted(records().items())
    }


def render(folder: Path = RENDERED) -> list[Path]:
    """Write the schemas that are not yet as the code has them, remove those of no record, and return what changed."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = rendered()
    changed = [path for path in folder.glob("*.avsc") if path.name not in wanted]
    for path in changed:
        path.unlink()
    for name, text in wanted.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def stale(folder: Path = RENDERED) -> list[str]:
    """Return the files that are not as the code has them."""
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.avsc")}
    wanted = rendered()
    return sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))


def release(version: str, folder: Path = RELEASED) -> Path:
    """Keep the present schemas as those of a version, once; what is incompatible with an older one is refused."""
    target = folder / version
    if target.exists():
        raise SchemaError(f"version {version} is released; what it wrote cannot change", hint="take the next number")
    check(folder)
    render(target)
    return target


def released(folder: Path = RELEASED) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield version, record name and schema of all that was ever released."""
    for path in sorted(folder.glob("*/*.avsc")):
        yield path.parent.name, path.stem, json.loads(path.read_text(encoding="utf-8"))


def incompatible(folder: Path = RELEASED) -> list[Incompatible]:
    """Return where the present records and released ones cannot read each other."""
    present = records()
    return [
        Incompatible(name, version, clash)
        for version, name, schema in released(folder)
        for clash in _clashes(schema, present.get(name))
    ]


def _clashes(schema: Mapping[str, Any], record: type[Any] | None) -> list[Clash]:
    if record is None:
        return [Clash(schema["name"], "is no longer declared, but topics may still hold it")]
    return clashes_both_ways(schema, codec_of(record).schema)


def check(folder: Path = RELEASED) -> None:
    """Raise `IncompatibleSchemaError`, which names every field at fault, unless all versions read each other."""
    found = incompatible(folder)
    if found:
        raise IncompatibleSchemaError(
            "\n".join(str(one) for one in found),
            hint="give a new field a default, and leave names and types as they were; a new meaning is a new field",
        )
