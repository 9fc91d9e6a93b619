"""Parcels: what a gateway that cannot reach Kafka hands to a bridge, and the receipt that it gets for them.

Both travel as zlib over their Avro bodies. The records inside are as the spool holds them, so that they arrive on
their topics as if the gateway had written them itself.
"""

import zlib
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, TypeVar

from schemas.codec import MAX_BODY_BYTES, codec_of
from schemas.errors import BadRecordError
from schemas.fields import Total, Uuid
from schemas.record import record

__all__ = ["GATEWAY_TOPICS", "MAX_PARCEL_BYTES", "Letter", "Parcel", "Receipt", "pack", "unpack"]

T = TypeVar("T")

# What a gateway writes.
GATEWAY_TOPICS = (
    "telemetry.feature-stats",
    "telemetry.model-health",
    "telemetry.samples",
    "fleet.heartbeats",
    "rollouts.acks",
    "audit.log",
)

MAX_PARCEL_BYTES = MAX_BODY_BYTES
"""The largest parcel, before and after it is compressed."""


@record(namespace="bridge")
class Letter:
    """One record on its way to a topic; its key follows from its body."""

    number: Annotated[Total, "Names the record in its sender's spool; the same when it is sent again."]
    topic: Annotated[str, "The topic, without a prefix."]
    schema: Annotated[str, "Fingerprint of the schema that the body was written with, SHA-256 in hex."]
    body: Annotated[bytes, "The Avro body."]
    trace: Annotated[Mapping[str, str], "Headers by which the record belongs to a trace, if somebody traces."] = field(
        default_factory=dict
    )


@record(namespace="bridge")
class Parcel:
    """Some records of one device. Whose they are, the connection says, never the parcel."""

    parcel_id: Annotated[Uuid, "Names this parcel, so that its receipt finds it."]
    boot_id: Annotated[Uuid, "The life of the sender's spool; with a letter's number it names the record."]
    letters: Annotated[tuple[Letter, ...], "The records, in order."]
    definitions: Annotated[Mapping[str, str], "Schemas that the bridge asked for, JSON, by fingerprint."] = field(
        default_factory=dict
    )


@record(namespace="bridge")
class Receipt:
    """What became of a parcel's letters; a letter that is not named is to be sent again."""

    parcel_id: Annotated[Uuid, "The parcel."]
    taken: Annotated[tuple[int, ...], "Letters that are on their topics, acknowledged by the broker."]
    refused: Annotated[Mapping[str, str], "Letters that will never be taken, by number, and why."] = field(
        default_factory=dict
    )
    wanted: Annotated[tuple[str, ...], "Fingerprints of schemas that the bridge must see first."] = ()
    why: Annotated[str, "Why the others must wait; empty if none must."] = ""


def pack(value: Parcel | Receipt) -> bytes:
    """Return what goes over the wire; `WrongValueError` where that is too much."""
    return zlib.compress(codec_of(type(value)).encode(value), 6)


def unpack(cls: type[T], packed: bytes) -> T:
    """Return what came over the wire; `BadRecordError` tells why it is of no use. However well it packs, it is bounded.

    >>> receipt = Receipt(parcel_id="0b5d2f0e-8f2f-4a3a-9a63-0f7f9f0c8f11", taken=(7, 8))
    >>> unpack(Receipt, pack(receipt)) == receipt
    True
    """
    return codec_of(cls).decode(_inflated(cls, packed))


def _inflated(cls: type[Any], packed: bytes) -> bytes:
    inflating = zlib.decompressobj()
    try:
        body = inflating.decompress(packed, MAX_PARCEL_BYTES + 1)
    except zlib.error as error:
        raise BadRecordError(cls.__name__, found=str(error), wanted="zlib") from None
    if len(body) > MAX_PARCEL_BYTES:
        raise BadRecordError(cls.__name__, found=f"more than {MAX_PARCEL_BYTES} bytes", wanted="at most so many")
    if not inflating.eof or inflating.unused_data:
        found = "bytes behind its end" if inflating.unused_data else "no end"
        raise BadRecordError(cls.__name__, found=found, wanted="one whole stream")
    return body
