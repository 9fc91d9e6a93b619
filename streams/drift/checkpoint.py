"""Checkpoints: a partition's state to bytes and back, exactly.

A checkpoint holds what cannot be derived from recent records: evidence, open looks and roll-ups, what was seen,
alerts. Rings are left out (with them it would be twenty times the size): the fast one is filled again from the
log, from `first_offset` on, the slow ones from the roll-ups that were closed before.
"""

import io
import json
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.columns import GridShape
from schemas.errors import DriftlineError
from streams.drift.book_state import book_told, told_to_book
from streams.drift.engine import Engine
from streams.drift.judge import Judge
from streams.drift.measured import Group
from streams.drift.partition import Partition
from streams.drift.policy import Rules

__all__ = ["CheckpointError", "Resolve", "freeze", "thaw"]

FORMAT = 5

# What windows of (model, grid) with these labels are compared with; None where that is no longer known.
Resolve = Callable[[str, str, dict[str, str]], Group | None]

Arrays = dict[str, npt.NDArray[Any]]


class CheckpointError(DriftlineError):
    """Bytes that are no checkpoint, or one that this version cannot read."""


def freeze(partition: Partition) -> bytes:
    """Return the partition's state as bytes."""
    arrays: Arrays = {}
    told = {
        "format": FORMAT,
        "policy": [partition.policy_id, partition.policy_revision],
        "engines": [
            _engine_told(number, engine, partition.judges[grid_id], arrays)
            for number, (grid_id, engine) in enumerate(partition.engines.items())
        ],
        "book": book_told(partition.book),
        "hour": partition.hour,
        "tick": partition.telling.tick,
        "changed": {grid_id: sorted(panes) for grid_id, panes in partition.telling.changed.items()},
    }
    arrays["told"] = np.frombuffer(json.dumps(told).encode(), np.uint8)
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    return zlib.compress(packed.getvalue(), 1)


def thaw(frozen: bytes, rules: Rules, resolve: Resolve) -> Partition:
    """Build the partition again; its rings are empty but for what they know of their newest panes."""
    try:
        with np.load(io.BytesIO(zlib.decompress(frozen)), allow_pickle=False) as packed:
            arrays = dict(packed)
        told = json.loads(arrays["told"].tobytes())
    except (zlib.error, ValueError, KeyError, OSError, EOFError) as error:
        raise CheckpointError(f"checkpoint: found {len(frozen)} bytes that are none ({error}), wanted one") from None
    if told["format"] != FORMAT:
        raise CheckpointError(f"checkpoint: found format {told['format']}, wanted {FORMAT}")
    policy_id, policy_revision = told["policy"]
    partition = Partition(rules, policy_id=policy_id, policy_revision=policy_revision)
    for number, engine in enumerate(told["engines"]):
        grid_id = engine["grid_id"]
        if tuple(engine["horizons_ms"]) != rules.horizons_ms:
            raise CheckpointError(f"checkpoint: found horizons {engine['horizons_ms']}, wanted {rules.horizons_ms}")
        made = partition.engine_of(grid_id, GridShape(*engine["shape"]))
        _fill(number, engine, made, partition.judges[grid_id], arrays, resolve)
    told_to_book(told["book"], partition.book)
    partition.hour, partition.telling.tick = told["hour"], told["tick"]
    partition.telling.changed = {grid_id: set(panes) for grid_id, panes in told["changed"].items()}
    return partition


def _engine_told(number: int, engine: Engine, judge: Judge, arrays: Arrays) -> dict[str, Any]:
    presence, rollups = engine.presence, engine.slow.rollups
    rows = presence.roster.reach
    judge.reserve(rows)
    for name, array in engine.arrays.items():
        arrays[f"{number}/state/{name}"] = array.rows[:rows]
    for name, array in judge.arrays.items():
        arrays[f"{number}/judge/{name}"] = array.rows[:rows]
    arrays[f"{number}/fast/newest"] = engine.fast.arrays["newest"].rows[:rows]
    for need, looks in engine.looks.items():
        open_looks = np.flatnonzero(looks.arrays["samples"].rows[:rows] > 0)
        arrays[f"{number}/looks/{need}/rows"] = open_looks
        for name, array in looks.arrays.items():
            arrays[f"{number}/looks/{need}/{name}"] = array.rows[open_looks]
    slots = len(rollups.model_id)
    for name, array in rollups.arrays.items():
        arrays[f"{number}/rollups/{name}"] = array.rows[:slots]
    return {
        "grid_id": engine.grid_id,
        "shape": list(engine.shape),
        "horizons_ms": list(engine.horizons_ms),
        "arrival_hour": engine.slow.arrival_hour,
        "names": presence.roster.names,
        "free": presence.roster.free,
        "boots": engine.boot_of,
        "baselines": engine.baselines,
        "groups": [None if one is None else [one.against.model_id, dict(one.labels)] for one in engine.group_of],
        "last_arrival_ms": presence.last_arrival_ms,
        "awake_since_ms": presence.awake_since_ms,
        "arrival_ms": presence.arrival_ms,
        "seen": presence.seen.freeze(),
        "rollups": [
            [row, hour, rollups.model_id[slot], rollups.pipeline[slot]]
            for (row, hour), slot in sorted(rollups.slot_of.items(), key=lambda item: item[1])
        ],
    }


def _fill(number: int, told: dict[str, Any], engine: Engine, judge: Judge, arrays: Arrays, resolve: Resolve) -> None:
    presence, rollups = engine.presence, engine.slow.rollups
    engine.slow.arrival_hour = told["arrival_hour"]
    presence.roster.thaw(told["names"], told["free"])
    presence.last_arrival_ms, presence.awake_since_ms = told["last_arrival_ms"], told["awake_since_ms"]
    presence.arrival_ms = told["arrival_ms"]
    presence.seen.thaw(told["seen"])
    rows = presence.roster.reach
    engine.reserve(rows)
    judge.reserve(rows)
    known: dict[str, Group | None] = {}
    engine.boot_of, engine.baselines = told["boots"], told["baselines"]
    engine.group_of = [
        None if one is None else _resolved(engine.grid_id, one[0], one[1], known, resolve) for one in told["groups"]
    ]
    for name, array in engine.arrays.items():
        array.rows[:rows] = arrays[f"{number}/state/{name}"]
    for name, array in judge.arrays.items():
        array.rows[:rows] = arrays[f"{number}/judge/{name}"]
    engine.fast.arrays["newest"].rows[:rows] = arrays[f"{number}/fast/newest"]
    for need, looks in engine.looks.items():
        if f"{number}/looks/{need}/rows" in arrays:
            open_looks = arrays[f"{number}/looks/{need}/rows"]
            for name, array in looks.arrays.items():
                array.rows[open_looks] = arrays[f"{number}/looks/{need}/{name}"]
    slots = len(told["rollups"])
    for name, array in rollups.arrays.items():
        array.reserve(slots)
        array.rows[:slots] = arrays[f"{number}/rollups/{name}"]
    for slot, (row, hour, model_id, pipeline) in enumerate(told["rollups"]):
        rollups.slot_of[row, hour] = slot
        rollups.model_id.append(model_id)
        rollups.pipeline.append(pipeline)


def _resolved(
    grid_id: str, model_id: str, labels: dict[str, str], known: dict[str, Group | None], resolve: Resolve
) -> Group | None:
    """Devices of one group share one object, as they did before."""
    key = json.dumps([model_id, labels], sort_keys=True)
    if key not in known:
        known[key] = resolve(model_id, grid_id, labels)
    return known[key]
