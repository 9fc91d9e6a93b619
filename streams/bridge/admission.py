"""What may pass the bridge: letters that can be read, on a gateway's topics, about the very device that sent them."""

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.catalogue import topic_named
from schemas.codec import BodyReader, codec_of
from schemas.errors import BadRecordError, SchemaError
from schemas.parcel import GATEWAY_TOPICS, Letter
from schemas.schema_cache import fingerprint

__all__ = ["Admission", "Admitted", "Refused", "Unknown"]

_REMEMBERED = 256
_LONGEST_DEFINITION = 64 * 1024


@dataclass(frozen=True, slots=True)
class Admitted:
    """A letter that goes on its topic under this key."""

    letter: Letter
    key: bytes
    # The schema that its body was written with.
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """A letter that nobody will ever take."""

    letter: Letter
    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A letter that cannot be read before its schema is here."""

    letter: Letter


class Admission:
    """Judges letters. It knows today's schemas, and those that gateways of other versions have shown it."""

    def __init__(self) -> None:
        self._today = {
            (topic, codec.fingerprint): (codec.reader, codec.schema)
            for topic in GATEWAY_TOPICS
            for codec in [codec_of(topic_named(topic).record)]
        }
        self._shown: OrderedDict[tuple[str, str], tuple[BodyReader, Mapping[str, Any]]] = OrderedDict()

    def judge(self, device_id: str, letter: Letter, definitions: Mapping[str, str]) -> Admitted | Refused | Unknown:
        """Say what becomes of a letter that this device sent, with the definitions that came beside it."""
        if letter.topic not in GATEWAY_TOPICS:
            return Refused(letter, f"a gateway does not write {letter.topic!r}; known: {', '.join(GATEWAY_TOPICS)}")
        try:
            known = self._known(letter, definitions)
            if known is None:
                return Unknown(letter)
            reader, schema = known
            topic = topic_named(letter.topic)
            record = codec_of(topic.record).made(reader.read(letter.body))
        except (BadRecordError, SchemaError) as error:
            return Refused(letter, str(error))
        stranger = _not_of(device_id, letter.topic, record)
        if stranger:
            return Refused(letter, stranger)
        return Admitted(letter, topic.key_of(record).encode(), schema)

    def _known(self, letter: Letter, definitions: Mapping[str, str]) -> tuple[BodyReader, Mapping[str, Any]] | None:
        name = (letter.topic, letter.schema)
        known = self._today.get(name) or self._shown.get(name)
        if known is None and letter.schema in definitions:
            known = self._shown[name] = _understood(letter, definitions[letter.schema])
            if len(self._shown) > _REMEMBERED:
                self._shown.popitem(last=False)
        return known


def _understood(letter: Letter, definition: str) -> tuple[BodyReader, Mapping[str, Any]]:
    if len(definition) > _LONGEST_DEFINITION:
        raise BadRecordError("schema", found=f"{len(definition)} characters", wanted=f"at most {_LONGEST_DEFINITION}")
    try:
        schema = json.loads(definition)
    except (ValueError, RecursionError) as error:
        raise BadRecordError("schema", found=str(error), wanted="JSON") from None
    if not isinstance(schema, dict) or fingerprint(schema) != letter.schema:
        raise BadRecordError("schema", found="another one", wanted=f"the one with fingerprint {letter.schema:.12}")
    codec = codec_of(topic_named(letter.topic).record)
    reader = codec.written_with(schema)
    if reader.name != codec.reader.name:
        raise BadRecordError(letter.topic, found=reader.name, wanted=codec.reader.name)
    return reader, schema


def _not_of(device_id: str, topic: str, record: Any) -> str:
    """Return why a record is none of this device's; empty if it is."""
    if topic == "audit.log":
        said, own = {record.subject, record.who}, {f"device/{device_id}", f"gateway {device_id}"}
    else:
        said, own = {record.device_id}, {device_id}
    strangers = sorted(said - own)
    return f"the record is about {strangers[0]!r}; the certificate is that of {device_id!r}" if strangers else ""
