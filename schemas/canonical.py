"""One spelling of a value in JSON, so that equal content has equal bytes, hashes and signatures everywhere.

RFC 8785 rather than the older OLPC form: it has fractions, which bin edges need, and libraries in most languages.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

import rfc8785

from schemas.errors import SchemaError
from schemas.record import as_plain

__all__ = ["canonical_json", "content_id", "content_id_of_plain", "with_content_id"]

T = TypeVar("T")


def canonical_json(value: Any) -> bytes:
    """Return the value as RFC 8785 JSON; NaN, infinities, bytes and integers from 2**53 have none.

    >>> canonical_json({"b": 1.0, "a": "é"})
    b'{"a":"\\xc3\\xa9","b":1}'
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise SchemaError(f"no canonical JSON: {error}") from error


def content_id(record: Any) -> str:
    """Return the SHA-256, in hex, of the canonical JSON of all fields but the first, which holds the id."""
    return content_id_of_plain(type(record), as_plain(record))


def content_id_of_plain(cls: type[Any], plain: Mapping[str, Any]) -> str:
    """Return the id of a record as it was written: fields that are newer than it have no part in it.

    Nor has a text that may be left out and is: what was named before there was such a field keeps its name.
    """
    unsaid = {field.name for field in fields(cls) if field.default == "" and not plain.get(field.name)}
    content = {name: value for name, value in plain.items() if name != _id_field(cls) and name not in unsaid}
    return hashlib.sha256(canonical_json(content)).hexdigest()


def with_content_id(record: T) -> T:
    """Return the record with its id filled in."""
    named: T = replace(record, **{_id_field(type(record)): content_id(record)})  # type: ignore[type-var]
    return named


def _id_field(cls: type[Any]) -> str:
    return fields(cls)[0].name
