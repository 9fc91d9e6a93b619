"""Bytes that changed on their way: a record with valid values, or a reason; never a crash or a hang."""

import time
from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from record_strategies import records

from schemas.codec import codec_of
from schemas.errors import BadRecordError
from schemas.history import records as every_record

RECORDS = pytest.mark.parametrize("record", every_record().values(), ids=lambda record: record.__name__)

# Sign bits, lengths one more and one less, ends of varints, and two that are neither.
FLIPS = (0x01, 0x02, 0x80, 0xFF, 0x7F, 0x55)


def judge(record: type, body: bytes) -> BadRecordError | None:
    """Decode, and hold whatever comes out to what the codec promises."""
    codec = codec_of(record)
    try:
        value = codec.decode(body)
    except BadRecordError as bad:
        return bad
    # Valid values are those that could be sent again, and then say the same.
    again = codec.encode(value)
    assert codec.encode(codec.decode(again)) == again
    return None


def corruptions(body: bytes, flips: tuple[int, ...] = FLIPS) -> Iterator[bytes]:
    for at in range(len(body)):
        for flip in flips:
            yield body[:at] + bytes([body[at] ^ flip]) + body[at + 1 :]


@cache
def typical(record: type) -> bytes:
    """Encode one record of some size, always the same one."""
    bodies = []

    @seed(3)
    @settings(max_examples=30, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck))
    @given(records(record))
    def collect(value: object) -> None:
        bodies.append(codec_of(record).encode(value))

    collect()
    return min(bodies, key=lambda body: abs(len(body) - 200))


@RECORDS
def test_every_single_byte_may_change(record):
    body = typical(record)

    started_s = time.process_time()
    verdicts = [judge(record, broken) for broken in corruptions(body)]

    reasons = [bad for bad in verdicts if bad]
    assert reasons, "no corruption was noticed, so nothing was tried"
    assert all(bad.where and bad.found and bad.wanted for bad in reasons)
    # 6 changes a byte; 20 ms for each would still be two thousand times what reading takes.
    assert time.process_time() - started_s < 0.02 * len(verdicts) + 1


@RECORDS
def test_every_truncation_is_bad(record):
    body = typical(record)

    for end in range(len(body)):
        assert judge(record, body[:end]), f"the first {end} of {len(body)} bytes passed for a record"


@RECORDS
def test_every_extension_is_bad(record):
    body = typical(record)

    for extra in range(256):
        assert judge(record, body + bytes([extra]))


@RECORDS
@given(data=st.data())
@settings(max_examples=40)
def test_any_record_may_be_corrupted_cut_or_extended(record, data):
    body = codec_of(record).encode(data.draw(records(record)))
    at = data.draw(st.integers(0, len(body) - 1), label="at")

    judge(record, body[:at] + bytes([data.draw(st.integers(0, 255), label="byte")]) + body[at + 1 :])
    assert judge(record, body[:at])
    assert judge(record, body + data.draw(st.binary(min_size=1, max_size=9), label="extra"))


@RECORDS
@given(noise=st.binary(max_size=400))
@settings(max_examples=60)
def test_noise_is_judged_too(record, noise):
    judge(record, noise)
