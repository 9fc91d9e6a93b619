"""Records to Avro bodies and back, and everything that is not a body."""

import io
import subprocess
import sys
import time
import uuid
from dataclasses import fields, replace

import fastavro
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_strategies import records

from schemas.bodies import long_body
from schemas.codec import MAX_BODY_BYTES, codec_of
from schemas.dead_letter import DeadLetter
from schemas.drift_alert import AlertState, Binned, DriftAlert, Evidence, Severity
from schemas.errors import BadRecordError, SchemaError, WrongValueError
from schemas.fleet import Slot, SlotState
from schemas.history import records as every_record
from schemas.operators import OperatorRequest
from schemas.record import as_plain, avro_schema
from schemas.rollouts import Ack, AckPhase, RolloutPlan

PLAN = RolloutPlan(rollout_id="r1", model_id="m/2", document="{}", created_ms=1_700_000_000_000, created_by="ada")
ALERT = DriftAlert(
    alert_id="a1",
    kind="mean_shift",
    subject="press-7",
    subject_is_cohort=False,
    feature="bearing_c",
    model_id="m/1",
    state=AlertState.FIRING,
    severity=Severity.HIGH,
    opened_ms=1,
    changed_ms=2,
    summary="bearing_c runs hot",
    evidence=Evidence(scores={"psi": 0.4}, samples=600, reference="b1", horizon_ms=3_600_000),
    policy_id="default",
    policy_revision=3,
)


def long(number: int) -> bytes:
    """Write a number as Avro does."""
    zigzag = (number << 1) ^ (number >> 63)
    out = bytearray()
    while zigzag > 0x7F:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    return bytes([*out, zigzag])


@pytest.mark.parametrize("record", every_record().values(), ids=lambda record: record.__name__)
@given(data=st.data())
def test_every_record_comes_back_as_it_went(record, data):
    codec = codec_of(record)
    value = data.draw(records(record))

    body = codec.encode(value)
    back = codec.decode(body)

    # Compared as bytes, because NaN equals nothing.
    assert codec.encode(back) == body
    assert type(back) is record
    for each in fields(record):
        before, after = getattr(value, each.name), getattr(back, each.name)
        assert type(before) is type(after)
        assert before == after or "nan" in repr(before)


@pytest.mark.parametrize("record", every_record().values(), ids=lambda record: record.__name__)
@given(data=st.data())
def test_every_body_is_byte_for_byte_what_fastavro_writes(record, data):
    value = data.draw(records(record))
    written = io.BytesIO()
    fastavro.schemaless_writer(written, fastavro.parse_schema(avro_schema(record)), as_plain(value))

    assert codec_of(record).encode(value) == written.getvalue()


@pytest.mark.parametrize(
    "number", [0, -1, 63, 64, -64, -65, 8_191, 8_192, 2**31 - 1, -(2**31), 2**62, 2**63 - 1, -(2**63)]
)
def test_whole_numbers_are_written_as_avro_has_them(number):
    written = io.BytesIO()
    fastavro.schemaless_writer(written, "long", number)

    assert long_body(number) == written.getvalue() == long(number)


def test_a_record_of_another_class_is_not_written():
    with pytest.raises(WrongValueError, match="found RolloutPlan, wanted Ack"):
        codec_of(Ack).encode(PLAN)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"alert_id": 7}, "alert_id: found 7 (int), wanted str", id="a number for a text"),
        pytest.param(
            {"alert_id": "\ud800"}, "alert_id: found '\\ud800' (str), wanted str of valid Unicode", id="half a pair"
        ),
        pytest.param({"opened_ms": 1.5}, "opened_ms: found 1.5 (float), wanted a whole number", id="a fraction"),
        pytest.param({"opened_ms": -1}, "opened_ms: found -1 (int), wanted a whole number, 0 to", id="before 1970"),
        pytest.param({"policy_revision": True}, "policy_revision: found True (bool)", id="a truth for a number"),
        pytest.param({"policy_revision": np.int64(3)}, "policy_revision: found ", id="a NumPy number"),
        pytest.param({"policy_revision": 2**63}, "policy_revision: found 9223372036854775808", id="beyond 64 bits"),
        pytest.param({"silenced": 1}, "silenced: found 1 (int), wanted bool", id="a number for a truth"),
        pytest.param(
            {"state": "firing"}, "state: found 'firing' (str), wanted AlertState: unknown", id="a bare symbol"
        ),
        pytest.param({"members": ["d1"]}, "members: found ['d1'] (list), wanted tuple", id="a list"),
        pytest.param({"members": ("d1", None)}, "members[1]: found None (NoneType), wanted str", id="one of many"),
        pytest.param({"labels": {"a": 1}}, "labels['a']: found 1 (int), wanted str", id="a value in a mapping"),
        pytest.param({"labels": {1: "a"}}, "found 1 (int), wanted str", id="a key in a mapping"),
        pytest.param({"labels": None}, "labels: found None (NoneType), wanted mapping", id="no mapping"),
        pytest.param(
            {"evidence": replace(ALERT.evidence, scores={"psi": "high"})},
            "evidence.scores['psi']: found 'high' (str), wanted float",
            id="deep inside",
        ),
        pytest.param(
            {"evidence": replace(ALERT.evidence, top_bins=(Binned(bin="b", reference=0.1, live=None),))},
            "evidence.top_bins[0].live: found None (NoneType), wanted float",
            id="deeper inside",
        ),
        pytest.param({"evidence": PLAN}, "evidence: found RolloutPlan", id="another record"),
    ],
)
def test_a_wrong_type_is_named_before_anything_is_sent(change, message):
    with pytest.raises(WrongValueError) as caught:
        codec_of(DriftAlert).encode(replace(ALERT, **change))

    assert message in str(caught.value)


def test_a_uuid_is_checked_both_ways():
    ack = Ack(
        device_id="d",
        revision=1,
        rollout_id="r",
        phase=AckPhase.RECEIVED,
        model_id="",
        reason="",
        at_ms=0,
        boot_id=str(uuid.UUID(int=5)),
        seq=0,
    )
    body = codec_of(Ack).encode(ack)

    with pytest.raises(WrongValueError, match="boot_id: found 'five'"):
        codec_of(Ack).encode(replace(ack, boot_id="five"))
    with pytest.raises(BadRecordError, match="boot_id: found 'z0000000-"):
        codec_of(Ack).decode(body.replace(b"00000000-0000", b"z0000000-0000"))


def test_a_record_of_10_mb_is_refused_both_ways():
    plan = replace(PLAN, document="x" * 10_000_000)
    body = long(2) + b"r1" + long(3) + b"m/2" + long(10_000_000) + b"x" * 10_000_000 + long(0) + long(0)

    with pytest.raises(WrongValueError, match=r"RolloutPlan: found 10,000,0\d\d bytes, wanted at most 983,616"):
        codec_of(RolloutPlan).encode(plan)
    with pytest.raises(BadRecordError, match=r"RolloutPlan: found 10,000,0\d\d bytes, wanted at most 983,616"):
        codec_of(RolloutPlan).decode(body)


def test_the_largest_record_still_passes():
    room = MAX_BODY_BYTES - len(codec_of(RolloutPlan).encode(replace(PLAN, document="")))
    plan = replace(PLAN, document="x" * (room - len(long(room)) + 1))

    body = codec_of(RolloutPlan).encode(plan)

    assert len(body) == MAX_BODY_BYTES
    assert codec_of(RolloutPlan).decode(body) == plan


GOOD_PLAN = codec_of(RolloutPlan).encode(PLAN)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "RolloutPlan.rollout_id: found its end too early at byte 0, wanted string", id="empty"),
        pytest.param(long(2) + b"r", "RolloutPlan.rollout_id: found Expected 2 bytes, read 1", id="cut in a text"),
        pytest.param(GOOD_PLAN[:-1], "RolloutPlan.created_by: found Expected 3 bytes, read 2", id="cut at the end"),
        pytest.param(GOOD_PLAN + b"\0", "RolloutPlan: found 1 bytes after its end, wanted none", id="extended"),
        pytest.param(long(-1) + b"r1", "RolloutPlan.rollout_id: found Expected -1 bytes", id="a negative length"),
        pytest.param(long(2**62) + b"r1", "RolloutPlan.rollout_id: found Expected 46116860184", id="a huge length"),
        pytest.param(long(-(2**63)) + b"r1", "RolloutPlan.rollout_id: found Expected -9223372", id="the least length"),
        pytest.param(long(2) + b"\xff\xfe", "RolloutPlan.rollout_id: found 'utf-8' codec can't decode", id="no UTF-8"),
        pytest.param(b"\xff" * 5, "RolloutPlan.rollout_id: found ", id="a number without an end"),
        pytest.param(
            GOOD_PLAN.replace(long(PLAN.created_ms), long(-5)), "created_ms: found -5 (int)", id="before 1970"
        ),
    ],
)
def test_a_broken_body_is_told_by_field(body, message):
    with pytest.raises(BadRecordError) as caught:
        codec_of(RolloutPlan).decode(body)

    assert message in caught.value.reason


SLOT = Slot(name="A", state=SlotState.STABLE)


@pytest.mark.parametrize("index", [-1, -6, 6, 2**31, 2**62])
def test_a_symbol_that_is_not_there_is_bad(index):
    good = long(1) + b"A" + long(4) + long(0) + b"\0"
    assert codec_of(Slot).decode(good) == SLOT

    with pytest.raises(BadRecordError, match=r"Slot\.state: found .* at byte 2, wanted driftline.SlotState"):
        codec_of(Slot).decode(long(1) + b"A" + long(index) + long(0) + b"\0")


@pytest.mark.parametrize("index", [-1, -2, 2, 2**62])
def test_a_branch_that_is_not_there_is_bad(index):
    letter = DeadLetter(source_topic="t", source_partition=0, source_offset=0, reason="", found_by="", at_ms=0)
    body = codec_of(DeadLetter).encode(letter)
    assert body.endswith(long(0) * 3), "record_key, record_value, record_bytes"

    with pytest.raises(BadRecordError, match=r"DeadLetter\.record_key: found "):
        codec_of(DeadLetter).decode(body[:-3] + long(index) + body[-2:])


def test_a_number_beyond_its_type_is_bad():
    letter = DeadLetter(source_topic="t", source_partition=7, source_offset=0, reason="", found_by="", at_ms=0)
    body = codec_of(DeadLetter).encode(letter)

    with pytest.raises(BadRecordError, match="source_partition: found 2147483648"):
        codec_of(DeadLetter).decode(body[:2] + long(2**31) + body[3:])


@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param(long(2**62), id="more items than bytes"),
        pytest.param(long(-(2**62)) + long(8), id="the same, with a size"),
        pytest.param((long(-(2**63)) + long(0)) * 90_000, id="the count that has no negative"),
        pytest.param((long(1) + long(0) + long(0)) * 300_000, id="many blocks of one"),
        pytest.param(long(450_000) + bytes(900_000), id="as many items as fit, without an end"),
        pytest.param(long(2**40) + bytes(900_000), id="more than fit"),
    ],
)
def test_block_counts_are_bounded_by_the_bytes_there_are(blocks):
    head = long(0) * 2  # request_id, subject
    request = OperatorRequest(request_id=str(uuid.UUID(int=1)), subject="", action="", who="", why="", at_ms=0)
    head = codec_of(OperatorRequest).encode(request)[:-1]

    started_s = time.process_time()
    with pytest.raises(BadRecordError):
        codec_of(OperatorRequest).decode(head + blocks + b"\x01")

    assert time.process_time() - started_s < 5


# In a process of its own: Python 3.11 may die of tracing memory while libraries' own threads allocate some.
PEAK = """
import sys, tracemalloc
from schemas.codec import codec_of
from schemas.drift_alert import DriftAlert
body, codec = sys.stdin.buffer.read(), codec_of(DriftAlert)
tracemalloc.start()
codec.decode(body)
print(tracemalloc.get_traced_memory()[1])
"""


def test_memory_stays_in_proportion():
    head = codec_of(DriftAlert).encode(replace(ALERT, labels={}))[:-1]
    # Entries of two bytes each are the most that a body can hold; the keys are all the same one.
    body = head + long(400_000) + bytes(800_000) + long(0)

    done = subprocess.run([sys.executable, "-c", PEAK], input=body, capture_output=True, check=True)

    assert int(done.stdout) < 100 * len(body)


OLDER = {
    "type": "record",
    "name": "driftline.fleet.Slot",
    "fields": [
        {"name": "gone", "type": {"type": "array", "items": "string"}},
        {"name": "name", "type": "string"},
        {
            "name": "state",
            "type": {"type": "enum", "name": "driftline.SlotState", "symbols": ["unknown", "stable", "melted"]},
        },
    ],
}


def test_another_version_is_resolved_into_todays_record():
    reader = codec_of(Slot).written_with(OLDER)
    stable, melted = (long(1) + long(1) + b"x" + long(0) + long(1) + b"A" + long(symbol) for symbol in (1, 2))

    assert codec_of(Slot).made(reader.read(stable)) == SLOT
    # A symbol that today's reader does not know.
    assert codec_of(Slot).made(reader.read(melted)) == replace(SLOT, state=SlotState.UNKNOWN)


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param(long(-1) + long(-7) + long(1) + b"x" + long(0), id="a block size that lies"),
        pytest.param(long(1) + long(-5), id="a negative length"),
        pytest.param(long(2**62), id="more items than bytes"),
    ],
)
def test_what_is_left_out_is_read_strictly_too(gone):
    reader = codec_of(Slot).written_with(OLDER)
    body = gone + long(1) + b"A" + long(1)

    try:
        record = codec_of(Slot).made(reader.read(body))
    except BadRecordError:
        return

    assert record == SLOT


def test_defaults_are_not_shared_between_records():
    schema = codec_of(DriftAlert).schema
    older = schema | {"fields": [field for field in schema["fields"] if field["name"] != "labels"]}
    reader = codec_of(DriftAlert).written_with(older)
    body = codec_of(DriftAlert).encode(ALERT)[:-1]

    first, second = (codec_of(DriftAlert).made(reader.read(body)) for _ in range(2))

    assert first == second == ALERT
    assert first.labels is not second.labels


def _hostile(kind: object) -> dict[str, object]:
    return OLDER | {"fields": [*OLDER["fields"], {"name": "more", "type": kind}]}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        pytest.param({"type": "array", "items": "null"}, "items take no byte", id="items of nothing"),
        pytest.param(
            {"type": "record", "name": "E", "fields": [{"name": "n", "type": "null"}]}, "without a byte", id="nothing"
        ),
        pytest.param(["null", "driftline.fleet.Slot"], "holds itself", id="a record in itself"),
        pytest.param("nonsense", "not an Avro schema", id="no type"),
        pytest.param({"type": {"type": {}}}, "not an Avro schema", id="no schema"),
    ],
)
def test_a_schema_that_would_not_end_is_refused(kind, message):
    with pytest.raises(SchemaError, match=message):
        codec_of(Slot).written_with(_hostile(kind))
