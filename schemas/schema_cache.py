"""Schema ids kept on disk, so that a gateway restarts while the registry is away.

Each id is kept with the schema that it stood for and the schema's fingerprint: a damaged entry is not used, and a
registry that was rebuilt, and hands out ids anew, is noticed.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fastavro.schema

from schemas.errors import SchemaError

__all__ = ["SchemaCache", "fingerprint"]

_FILE = "schema-ids.json"
_NOT_A_SCHEMA = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


def fingerprint(schema: Mapping[str, Any]) -> str:
    """Return the SHA-256, in hex, of the schema's parsing canonical form: equal ones write and read the same bytes.

    A registry may give a schema back in other words, with namespaces set apart or docs left out.

    >>> fingerprint({"type": "fixed", "name": "a.F", "size": 2, "doc": "Two bytes."})[:8]
    '0cc19875'
    >>> fingerprint({"type": "fixed", "name": "F", "namespace": "a", "size": 2})[:8]
    '0cc19875'
    """
    try:
        canonical = fastavro.schema.to_parsing_canonical_form(dict(schema))
    except (fastavro.schema.SchemaParseException, fastavro.schema.UnknownType, *_NOT_A_SCHEMA) as error:
        raise SchemaError(f"not an Avro schema: {error!r}") from error
    return hashlib.sha256(canonical.encode()).hexdigest()


def _wording(schema: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()


@dataclass(slots=True)
class SchemaCache:
    """What one registry said: which schema an id stands for, and which id a subject's schema has."""

    registry_url: str
    # None: nothing is kept on disk.
    folder: Path | None = None
    schemas: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    # By subject and the schema's very words: new words, such as better docs, are registered anew.
    _ids: dict[tuple[str, str], int] = field(default_factory=dict)
    # The schema beside its words, so that no other one is ever taken for it.
    _wordings: dict[int, tuple[Mapping[str, Any], str]] = field(default_factory=dict)

    @classmethod
    def load(cls, registry_url: str, folder: Path | None) -> "SchemaCache":
        """Return what is on disk, without the entries that are damaged or of another registry."""
        cache = cls(registry_url, folder)
        try:
            kept = json.loads((folder / _FILE).read_bytes()) if folder else {}
            if kept.get("registry_url") == registry_url:
                cache._take(kept)
        except (OSError, SchemaError, *_NOT_A_SCHEMA):
            # A cache that cannot be read is an empty one.
            return cls(registry_url, folder)
        return cache

    def id_of(self, subject: str, schema: Mapping[str, Any]) -> int | None:
        # Asked before every record that is written: the words are hashed once for each schema in use.
        known = self._wordings.get(id(schema))
        if known is None or known[0] is not schema:
            known = self._wordings[id(schema)] = (schema, _wording(schema))
        return self._ids.get((subject, known[1]))

    def keep(self, schema_id: int, schema: Mapping[str, Any], *, subject: str = "") -> None:
        """Remember, on disk as well, what an id stands for; with `subject`, that the schema has this id there."""
        self.schemas[schema_id] = schema
        if subject:
            self._ids[subject, _wording(schema)] = schema_id
        self._save()

    def drop(self, schema_id: int) -> None:
        """Forget an id, which stands for something else now."""
        self.schemas.pop(schema_id, None)
        self._ids = {key: known for key, known in self._ids.items() if known != schema_id}
        self._save()

    def _take(self, kept: Mapping[str, Any]) -> None:
        for text, entry in kept["schemas"].items():
            if fingerprint(entry["schema"]) == entry["fingerprint"]:
                self.schemas[int(text)] = entry["schema"]
        for subject, wording, schema_id in kept["ids"]:
            if schema_id in self.schemas:
                self._ids[str(subject), str(wording)] = schema_id

    def _save(self) -> None:
        if self.folder is None:
            return
        kept = {
            "registry_url": self.registry_url,
            "schemas": {
                str(schema_id): {"fingerprint": fingerprint(schema), "schema": schema}
                for schema_id, schema in self.schemas.items()
            },
            "ids": [[*key, schema_id] for key, schema_id in self._ids.items()],
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        # A whole file or the one before: a reader never sees half of it.
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=_FILE)
        with os.fdopen(handle, "w") as out:
            json.dump(kept, out)
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(self.folder / _FILE)
