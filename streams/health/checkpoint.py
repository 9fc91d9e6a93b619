"""Checkpoints of a health partition: to bytes and back, exactly."""

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

from schemas.errors import DriftlineError
from streams.drift.book_state import book_told, told_to_book
from streams.drift.policy import InForce, read_policy
from streams.health.partition import HealthPartition
from streams.health.watched import WatchedModel

__all__ = ["CheckpointError", "freeze", "thaw"]

FORMAT = 1
_HEAD = struct.Struct("<I")


class CheckpointError(DriftlineError):
    """Bytes that are no checkpoint, or one that this version cannot read."""


def freeze(partition: HealthPartition, offsets: Mapping[str, int]) -> bytes:
    """Return the partition's state, and how far into each topic it has come, as bytes."""
    series = bytearray()
    panel, policy = partition.panel, partition.policy
    told = {
        "format": FORMAT,
        "offsets": dict(offsets),
        "policy": [policy.policy_id, policy.revision, policy.document, policy.envelope],
        "models": {
            device: {name: _put_aside(model.state(), series) for name, model in models.items()}
            for device, models in panel.models.items()
        },
        "heard_ms": panel.heard_ms,
        "counts": [panel.counts.judged, panel.counts.repeated, panel.counts.late],
        "join": partition.join.state(),
        "book": book_told(partition.alerting.book),
        "hour": partition.hour,
    }
    head = json.dumps(told).encode()
    return zlib.compress(_HEAD.pack(len(head)) + head + bytes(series), 1)


def thaw(frozen: bytes) -> tuple[HealthPartition, dict[str, int]]:
    """Build the partition again; return it with the next offset of each topic."""
    try:
        packed = zlib.decompress(frozen)
        (length,) = _HEAD.unpack_from(packed)
        told = json.loads(packed[_HEAD.size : _HEAD.size + length])
    except (zlib.error, struct.error, ValueError) as error:
        raise CheckpointError(f"checkpoint: found {len(frozen)} bytes that are none ({error}), wanted one") from None
    if told["format"] != FORMAT:
        raise CheckpointError(f"checkpoint: found format {told['format']}, wanted {FORMAT}")
    series = memoryview(packed)[_HEAD.size + length :]
    policy_id, revision, document, envelope = told["policy"]
    policy = InForce(
        policy_id=policy_id, revision=revision, document=document, rules=read_policy(document), envelope=envelope
    )
    partition = HealthPartition(policy)
    panel = partition.panel
    panel.models = {
        device: {
            name: WatchedModel.restored(panel.policy, _taken_back(state, series)) for name, state in models.items()
        }
        for device, models in told["models"].items()
    }
    panel.heard_ms = told["heard_ms"]
    panel.counts.judged, panel.counts.repeated, panel.counts.late = told["counts"]
    partition.join.restore(told["join"])
    told_to_book(told["book"], partition.alerting.book)
    # The first release's checkpoints do not have it.
    partition.hour = told.get("hour", 0)
    return partition, told["offsets"]


def _put_aside(value: Any, series: bytearray) -> Any:
    """Leave a note in the place of bytes, which go behind each other."""
    if isinstance(value, bytes):
        series += value
        return {"bytes": [len(series) - len(value), len(series)]}
    if isinstance(value, dict):
        return {name: _put_aside(one, series) for name, one in value.items()}
    return value


def _taken_back(value: Any, series: memoryview) -> Any:
    if not isinstance(value, dict):
        return value
    if value.keys() == {"bytes"}:
        start, end = value["bytes"]
        return bytes(series[start:end])
    return {name: _taken_back(one, series) for name, one in value.items()}
