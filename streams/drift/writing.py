"""Score records as Avro bodies, straight from arrays: byte for byte what the codec makes of what `report` says.

A record that tells of all features holds hundreds of named numbers. As objects they cost far more than the scores
themselves; here the parts that repeat are written once, and numbers are laid between them for all windows at once.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from schemas.drift_scores import Verdict
from streams.drift.judge import Judged
from streams.drift.report import COMBINED, Scored, Told
from streams.drift.verdicts import Grade

__all__ = ["Written", "written"]


class Written(NamedTuple):
    """One record of drift.scores: whose it is, and its body."""

    device_id: str
    body: bytes


def written(judged: Sequence[Judged], policy_id: str, policy_revision: int) -> list[Written]:
    """Return what `report` returns, encoded and in the same order."""
    policy = _text(policy_id) + _long(policy_revision)
    placed = [one for each in judged for one in _bodies(each, policy)]
    return [record for _, record in sorted(placed, key=lambda pair: pair[0])]


def _bodies(judged: Judged, policy: bytes) -> Iterator[tuple[tuple[int, int, str], Written]]:
    told = Told.of(judged)
    if told is None:
        return
    measured, against = judged.measured, judged.measured.group.against
    names = [_text(name) for name in against.features]
    maps = _maps(told.scored, len(told.feature))
    entries = [
        names[feature] + _VERDICTS[grade] + scores
        for feature, grade, scores in zip(told.feature.tolist(), told.grade.tolist(), maps, strict=True)
    ]
    model = _text(against.model_id) + _text(against.grid.grid_id) + _text(against.baseline_id) + policy
    horizon, combined = _long(measured.horizon_ms), _long(1) + _text(COMBINED)
    for i, row in enumerate(told.rows.tolist()):
        first, end = told.ends[i], told.ends[i + 1]
        device = measured.device_id[row]
        body = b"".join(
            (
                _text(device), model, _text(measured.boot_id[row]), _long(int(measured.seq[row])),
                _long(int(measured.end_ms[row])), horizon, _long(int(measured.samples[row])),
                _VERDICTS[told.gravest[i]], _long(told.drifted[i]), _bool(bool(judged.complete[row])),
                _long(end - first) if end > first else b"", *entries[first:end], _END,
                combined, _DOUBLE.pack(told.combined[i]), _END, _bool(False),
            )
        )  # fmt: skip
        yield (int(measured.place[row]), -measured.horizon_ms, device), Written(device, body)


def _maps(scored: Sequence[Scored], entries: int) -> list[bytes]:
    """Return each entry's scores as an Avro map."""
    maps = [_END] * entries
    for one in scored:
        if not one.names:
            continue
        template, places = bytearray(_long(len(one.names))), []
        for name in one.names:
            template += _text(name)
            places.append(len(template))
            template += bytes(_DOUBLE.size)
        template += _END
        laid = np.tile(np.frombuffer(bytes(template), np.uint8), (len(one.entries), 1))
        numbers = one.values.astype("<f8").view(np.uint8).reshape(len(one.entries), -1, _DOUBLE.size)
        for number, place in enumerate(places):
            laid[:, place : place + _DOUBLE.size] = numbers[:, number]
        whole, size = laid.tobytes(), len(template)
        for at, entry in enumerate(one.entries.tolist()):
            maps[entry] = whole[at * size : (at + 1) * size]
    return maps


_DOUBLE = struct.Struct("<d")
# What ends an array or a map.
_END = b"\0"


def _long(value: int) -> bytes:
    """Write a number as Avro does: zigzag, then seven bits a byte, the lowest first.

    >>> _long(-1), _long(64)
    (b'\\x01', b'\\x80\\x01')
    """
    left = (value << 1) ^ (value >> 63)
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _long(len(encoded)) + encoded


def _bool(value: bool) -> bytes:
    return b"\1" if value else b"\0"


_VERDICTS = [_long(list(Verdict).index(grade.verdict)) for grade in Grade]
