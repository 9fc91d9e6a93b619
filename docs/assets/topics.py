"""Puts the catalogue of topics into the page that asks for it, as it stands in the code."""

from collections.abc import Iterator, Mapping
from typing import Any

from schemas.catalogue import CATALOGUE, Topic
from schemas.record import avro_schema

_MARK = "<!-- the catalogue -->"
_DAY_MS = 86_400_000


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs for each page."""
    return markdown.replace(_MARK, "\n\n".join(map(_described, CATALOGUE.values()))) if _MARK in markdown else markdown


def _described(topic: Topic) -> str:
    return "\n".join(
        [
            f"## {topic.name}",
            "",
            f"{topic.about} Written by {topic.writer}; key `{'/'.join(topic.key)}`; {topic.partitions} partition"
            f"{'s' if topic.partitions > 1 else ''}; {_kept(topic)}.",
            "",
            f"| field of `{topic.record.__name__}` | type | meaning |",
            "| --- | --- | --- |",
            *(f"| `{name}` | {kind} | {doc} |" for name, kind, doc in _fields(topic.record)),
        ]
    )


def _kept(topic: Topic) -> str:
    if topic.cleanup.value == "compact":
        return "compacted: the newest record of each key stays"
    if topic.retention_ms is None or topic.retention_ms < 0:
        return "kept for ever"
    return f"kept for {topic.retention_ms / _DAY_MS:g} days"


def _fields(record: type[Any]) -> Iterator[tuple[str, str, str]]:
    for field in avro_schema(record)["fields"]:
        yield field["name"], _kind(field["type"]), field.get("doc", "").replace("|", r"\|")


def _kind(declared: Any) -> str:
    match declared:
        case str():
            return declared.rpartition(".")[2]
        case list():
            return " or ".join(map(_kind, declared))
        case {"logicalType": logical}:
            return str(logical)
        case {"type": "array", "items": items}:
            return f"array of {_kind(items)}"
        case {"type": "map", "values": values}:
            return f"map of {_kind(values)}"
        case {"type": "enum", "symbols": symbols}:
            return "one of " + ", ".join(symbols)
        case Mapping():
            return str(declared.get("name", declared["type"])).rpartition(".")[2]
    raise TypeError(f"no such Avro type: {declared!r}")
