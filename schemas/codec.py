"""Records to Avro bodies and back, so that whatever bytes arrive, the answer is a record or a reason.

It keeps four rules:

* every byte of a body is used, none is missing;
* a body is at most `MAX_BODY_BYTES`, and reading it takes time and memory in proportion to its size;
* what comes out of `decode` could be encoded again: types, bounds and sense are those that `encode` demands;
* a body of another version is read strictly as it was written, then resolved into today's record.
"""

import copy
import io
from collections.abc import Mapping
from typing import Any, Generic, NoReturn, TypeVar

import fastavro
from fastavro.read import SchemaResolutionError

from schemas.errors import BadRecordError, WrongValueError
from schemas.parsing import parsed, strict
from schemas.record import as_body, avro_schema, from_plain
from schemas.schema_cache import fingerprint
from schemas.sense import check_sense

__all__ = ["MAX_BODY_BYTES", "BodyReader", "Codec", "codec_of"]

T = TypeVar("T")

# A broker and librdkafka take 1,000,000 bytes unless told otherwise; the rest is for key, headers and framing.
MAX_BODY_BYTES = 1_000_000 - 16_384

# Whatever fastavro runs into when bytes are not what the schema says.
_UNREADABLE = (EOFError, LookupError, ValueError, OverflowError, MemoryError)


class Codec(Generic[T]):
    """Turns records of one class into Avro bodies and back."""

    def __init__(self, record: type[T]) -> None:
        self.record = record
        self.schema = avro_schema(record)
        self.fingerprint = fingerprint(self.schema)
        self.reader = BodyReader(self.schema)

    def encode(self, value: T) -> bytes:
        """Return the body; `WrongValueError` names the field that does not fit, what was found and what was wanted."""
        if type(value) is not self.record:
            raise WrongValueError(self.record.__name__, found=type(value).__name__, wanted=self.record.__name__)
        body = as_body(value)
        check_sense(value)
        if len(body) > MAX_BODY_BYTES:
            raise WrongValueError(self.record.__name__, **_too_long(len(body)))
        return body

    def decode(self, body: bytes, *, start: int = 0) -> T:
        """Return the record whose body begins at `start`; `BadRecordError` tells why there is none."""
        return self.made(self.reader.read(body, start=start))

    def made(self, plain: dict[str, Any]) -> T:
        """Return the record that a reader's dictionary holds; the dictionary is used up."""
        try:
            value = from_plain(self.record, plain)
            check_sense(value)
        except WrongValueError as trouble:
            raise _bad(trouble) from None
        return value

    def written_with(self, schema: Mapping[str, Any]) -> "BodyReader":
        """Return the reader of bodies that were written with another version of the record's schema."""
        return BodyReader(schema, into=self.schema)


class BodyReader:
    """Reads bodies written with one schema, strictly, into the dictionary that `from_plain` takes.

    >>> BodyReader({"type": "record", "name": "R", "fields": [{"name": "n", "type": "long"}]}).read(b"\\x02")
    {'n': 1}
    """

    def __init__(self, written: Mapping[str, Any], *, into: Mapping[str, Any] | None = None) -> None:
        self._written = strict(parsed(written))
        self._into = None if into is None else parsed(into)

    def read(self, body: bytes, *, start: int = 0) -> dict[str, Any]:
        if len(body) - start > MAX_BODY_BYTES:
            raise BadRecordError(self.name, **_too_long(len(body) - start))
        source = io.BytesIO(body)
        source.seek(start)
        try:
            plain: Any = fastavro.schemaless_reader(source, self._written, None)
        except _UNREADABLE as error:
            self._name_the_field(body, start, error)
        if source.tell() != len(body):
            left = len(body) - source.tell()
            raise BadRecordError(self.name, found=f"{left} bytes after its end", wanted="none")
        found: dict[str, Any] = plain if self._into is None else self._resolved(plain)
        return found

    @property
    def name(self) -> str:
        """The record's whole name, namespace included."""
        return str(self._written["name"])

    def _resolved(self, plain: dict[str, Any]) -> dict[str, Any]:
        # Resolution skips what today's record lacks, and skips without looking. So it is given bytes made anew from
        # what was read strictly, never the bytes that arrived.
        tidy = io.BytesIO()
        fastavro.schemaless_writer(tidy, self._written, plain)
        tidy.seek(0)
        try:
            resolved: Any = fastavro.schemaless_reader(tidy, self._written, self._into)
        except (SchemaResolutionError, *_UNREADABLE) as error:
            raise BadRecordError(self.name, found=f"another version ({error})", wanted="one that fits") from None
        # Defaults come out of the schema itself, which must not be handed out.
        owned: dict[str, Any] = copy.deepcopy(resolved)
        return owned

    def _name_the_field(self, body: bytes, start: int, error: BaseException) -> NoReturn:
        """Read field by field, which is slow, to tell where it breaks."""
        source = io.BytesIO(body)
        source.seek(start)
        for field in self._written["fields"]:
            at = source.tell() - start
            try:
                fastavro.schemaless_reader(source, self._written | {"fields": [field]}, None)
            except _UNREADABLE as trouble:
                where = f"{self.name}.{field['name']}"
                raise BadRecordError(where, found=f"{_told(trouble)} at byte {at}", wanted=_type_name(field)) from None
        raise BadRecordError(self.name, found=_told(error), wanted="a readable body") from None


def codec_of(record: type[T]) -> Codec[T]:
    """Return the one codec of a record class."""
    codec = _CODECS.get(record)
    if codec is None:
        codec = _CODECS[record] = Codec(record)
    return codec


_CODECS: dict[type[Any], Codec[Any]] = {}


def _bad(trouble: WrongValueError) -> BadRecordError:
    return BadRecordError(trouble.where, found=trouble.found, wanted=trouble.wanted)


def _too_long(size: int) -> dict[str, str]:
    return {"found": f"{size:,} bytes", "wanted": f"at most {MAX_BODY_BYTES:,}"}


def _told(error: BaseException) -> str:
    return str(error) or "its end too early"


def _type_name(field: Mapping[str, Any]) -> str:
    kind = field["type"]
    return str(kind.get("name", kind["type"]) if isinstance(kind, dict) else kind)
