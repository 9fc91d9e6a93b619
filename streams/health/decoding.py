"""A fetched run of records, decoded one by one: a bad one is set aside and the rest goes on."""

from dataclasses import dataclass
from typing import Any

from schemas.errors import BadRecordError
from schemas.wire import Contract
from streams.kafka import Run

__all__ = ["Decoded", "decoded"]


@dataclass(frozen=True, slots=True)
class Decoded:
    """A record, or why there is none."""

    record: Any
    arrived_ms: int
    why: str = ""


def decoded(contract: Contract, topic: str, run: Run) -> list[Decoded]:
    """Decode a run; raises `RegistryAwayError` while a schema cannot be had."""
    return [
        _one(contract, topic, key, value or b"", arrived_ms)
        for key, value, arrived_ms in zip(run.keys, run.values, run.timestamps_ms, strict=True)
    ]


def _one(contract: Contract, topic: str, key: bytes | None, value: bytes, arrived_ms: int) -> Decoded:
    try:
        return Decoded(contract.decode(topic, key, value), arrived_ms)
    except BadRecordError as bad:
        return Decoded(None, arrived_ms, str(bad))
