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
from schemas.drift_alert import DriftAlert
from schemas.errors import DriftlineError
from schemas.record import as_plain, from_plain
from streams.drift.alerts import Live, Silence
from streams.drift.engine import Engine, Judging
from streams.drift.partition import Partition
from streams.drift.policy import Rules

__all__ = ["CheckpointError", "Resolve", "freeze", "thaw"]

FORMAT = 1

# How windows of (model, grid) with these labels are judged; None where that is no longer known.
Resolve = Callable[[str, str, dict[str, str]], Judging | None]

Arrays = dict[str, npt.NDArray[Any]]


class CheckpointError(DriftlineError):
    """Bytes that are no checkpoint, or one that this version cannot read."""


def freeze(partition: Partition) -> bytes:
    """Return the partition's state as bytes."""
    arrays: Arrays = {}
    told = {
        "format": FORMAT,
        "policy": [partition.policy_id, partition.policy_revision],
        "engines": [_engine_told(number, engine, arrays) for number, engine in enumerate(partition.engines.values())],
        "alerts": [
            [*key, as_plain(held.alert), held.history, held.quiet, held.returns]
            for alerts in partition.book.live.values()
            for key, held in alerts.items()
        ],
        "silences": [[one.silence_id, one.until_ms, dict(one.matchers)] for one in partition.book.silences.values()],
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
        partition.engines[engine["grid_id"]] = _engine_from(number, engine, arrays, resolve)
    for feature, family, alert, history, quiet, returns in told["alerts"]:
        held = Live(alert=from_plain(DriftAlert, alert), history=history, quiet=quiet, returns=returns)
        partition.book.live.setdefault(held.alert.subject, {})[feature, family] = held
    for silence_id, until_ms, matchers in told["silences"]:
        partition.book.silences[silence_id] = Silence(silence_id=silence_id, until_ms=until_ms, matchers=matchers)
    return partition


def _engine_told(number: int, engine: Engine, arrays: Arrays) -> dict[str, Any]:
    rows = engine.roster.reach
    for name, array in engine.arrays.items():
        arrays[f"{number}/state/{name}"] = array.rows[:rows]
    arrays[f"{number}/fast/newest"] = engine.fast.arrays["newest"].rows[:rows]
    open_looks = np.flatnonzero(engine.looks.arrays["samples"].rows[:rows] > 0)
    arrays[f"{number}/looks/rows"] = open_looks
    for name, array in engine.looks.arrays.items():
        arrays[f"{number}/looks/{name}"] = array.rows[open_looks]
    slots = len(engine.rollups.model_id)
    for name, array in engine.rollups.arrays.items():
        arrays[f"{number}/rollups/{name}"] = array.rows[:slots]
    return {
        "grid_id": engine.grid_id,
        "shape": list(engine.shape),
        "horizons_ms": list(engine.horizons_ms),
        "arrival_hour": engine.arrival_hour,
        "names": engine.roster.names,
        "free": engine.roster.free,
        "boots": engine.boot_of,
        "baselines": engine.baseline_of,
        "judged": [
            None if judging is None else [judging.against.model_id, dict(judging.labels)]
            for judging in engine.judging_of
        ],
        "last_arrival_ms": engine.last_arrival_ms,
        "awake_since_ms": engine.awake_since_ms,
        "arrival_ms": engine.arrival_ms,
        "seen": engine.seen.freeze(),
        "rollups": [
            [row, hour, engine.rollups.model_id[slot], engine.rollups.pipeline[slot]]
            for (row, hour), slot in sorted(engine.rollups.slot_of.items(), key=lambda item: item[1])
        ],
    }


def _engine_from(number: int, told: dict[str, Any], arrays: Arrays, resolve: Resolve) -> Engine:
    engine = Engine(grid_id=told["grid_id"], shape=GridShape(*told["shape"]), horizons_ms=told["horizons_ms"])
    engine.arrival_hour = told["arrival_hour"]
    engine.roster.thaw(told["names"], told["free"])
    engine.boot_of, engine.baseline_of = told["boots"], told["baselines"]
    known: dict[str, Judging | None] = {}
    engine.judging_of = [
        None if one is None else _resolved(engine.grid_id, one[0], one[1], known, resolve) for one in told["judged"]
    ]
    engine.last_arrival_ms, engine.awake_since_ms = told["last_arrival_ms"], told["awake_since_ms"]
    engine.arrival_ms = told["arrival_ms"]
    engine.seen.thaw(told["seen"])
    rows = engine.roster.reach
    engine.reserve(rows)
    for name, array in engine.arrays.items():
        array.rows[:rows] = arrays[f"{number}/state/{name}"]
    engine.fast.arrays["newest"].rows[:rows] = arrays[f"{number}/fast/newest"]
    for name, array in engine.looks.arrays.items():
        array.rows[arrays[f"{number}/looks/rows"]] = arrays[f"{number}/looks/{name}"]
    slots = len(told["rollups"])
    for name, array in engine.rollups.arrays.items():
        array.reserve(slots)
        array.rows[:slots] = arrays[f"{number}/rollups/{name}"]
    for slot, (row, hour, model_id, pipeline) in enumerate(told["rollups"]):
        engine.rollups.slot_of[row, hour] = slot
        engine.rollups.model_id.append(model_id)
        engine.rollups.pipeline.append(pipeline)
    return engine


def _resolved(
    grid_id: str, model_id: str, labels: dict[str, str], known: dict[str, Judging | None], resolve: Resolve
) -> Judging | None:
    """Devices that are judged alike share one object, as they did before."""
    key = json.dumps([model_id, labels], sort_keys=True)
    if key not in known:
        known[key] = resolve(model_id, grid_id, labels)
    return known[key]
