"""Score records as Avro bodies, straight from arrays: byte for byte what the codec makes of what `report` says.

A record that tells of all features holds hundreds of named numbers. As objects they cost far more than the scores
themselves; here the parts that repeat are written once, and numbers are laid between them for all windows at once.
"""

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np

from schemas.bodies import boolean_body, long_body, text_body
from schemas.drift_scores import Verdict
from streams.drift.judge import Judged
from streams.drift.report import COMBINED, Scored, Told, tell
from streams.drift.verdicts import Grade

__all__ = ["Tellable", "Written", "written"]

_DOUBLE = struct.Struct("<d")
# What ends an array or a map.
_END = b"\0"
_VERDICTS = [long_body(list(Verdict).index(grade.verdict)) for grade in Grade]


class Written(NamedTuple):
    """One record of drift.scores: whose it is, and its body."""

    device_id: str
    body: bytes


class Tellable(Protocol):
    """What came of a run, as far as it is told here."""

    policy_id: str
    policy_revision: int
    judged: list[Judged]


def written(outcomes: Sequence[Tellable]) -> list[list[Written]]:
    """Return for each outcome what `report` returns, encoded and in the same order."""
    every = iter(tell([one for outcome in outcomes for one in outcome.judged]))
    found = []
    for outcome in outcomes:
        policy = text_body(outcome.policy_id) + long_body(outcome.policy_revision)
        placed = [
            body
            for judged, told in zip(outcome.judged, every, strict=False)
            if told is not None
            for body in _bodies(judged, told, policy)
        ]
        found.append([record for _, record in sorted(placed, key=lambda pair: pair[0])])
    return found


def _bodies(judged: Judged, told: Told, policy: bytes) -> Iterator[tuple[tuple[int, int, str], Written]]:
    measured, against = judged.measured, judged.measured.group.against
    names = [text_body(name) for name in against.features]
    maps = _maps(told.scored, len(told.feature))
    entries = [
        names[feature] + _VERDICTS[grade] + scores
        for feature, grade, scores in zip(told.feature.tolist(), told.grade.tolist(), maps, strict=True)
    ]
    model = text_body(against.model_id) + text_body(against.grid.grid_id) + text_body(against.baseline_id) + policy
    horizon, combined = long_body(measured.horizon_ms), long_body(1) + text_body(COMBINED)
    for i, row in enumerate(told.rows.tolist()):
        first, end = told.ends[i], told.ends[i + 1]
        device = measured.device_id[row]
        body = b"".join(
            (
                text_body(device), model, text_body(measured.boot_id[row]), long_body(int(measured.seq[row])),
                long_body(int(measured.end_ms[row])), horizon, long_body(int(measured.samples[row])),
                _VERDICTS[told.gravest[i]], long_body(told.drifted[i]), boolean_body(bool(judged.complete[row])),
                long_body(end - first) if end > first else b"", *entries[first:end], _END,
                combined, _DOUBLE.pack(told.combined[i]), _END, boolean_body(False),
            )
        )  # fmt: skip
        yield (int(measured.place[row]), -measured.horizon_ms, device), Written(device, body)


def _maps(scored: Sequence[Scored], entries: int) -> list[bytes]:
    """Return each entry's scores as an Avro map."""
    maps = [_END] * entries
    for one in scored:
        if not one.names:
            continue
        template, places = _template(one.names)
        laid = np.tile(np.frombuffer(template, np.uint8), (len(one.entries), 1))
        numbers = one.values.astype("<f8").view(np.uint8).reshape(len(one.entries), -1, _DOUBLE.size)
        for number, place in enumerate(places):
            laid[:, place : place + _DOUBLE.size] = numbers[:, number]
        whole, size = laid.tobytes(), len(template)
        for at, entry in enumerate(one.entries.tolist()):
            maps[entry] = whole[at * size : (at + 1) * size]
    return maps


@lru_cache(maxsize=256)
def _template(names: tuple[str, ...]) -> tuple[bytes, list[int]]:
    """Return a map of some scores, all of them 0, and where the numbers are."""
    template, places = bytearray(long_body(len(names))), []
    for name in names:
        template += text_body(name)
        places.append(len(template))
        template += bytes(_DOUBLE.size)
    return bytes(template + _END), places
