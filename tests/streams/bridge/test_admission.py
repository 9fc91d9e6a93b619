"""What may pass the bridge."""

import copy
import io
import json
from dataclasses import replace

import fastavro
import pytest

from schemas.catalogue import topic_named
from schemas.codec import codec_of
from schemas.operators import AuditEntry
from schemas.parcel import Letter
from schemas.record import as_plain
from schemas.rollouts import Ack, AckPhase
from schemas.schema_cache import fingerprint
from streams.bridge.admission import Admission, Admitted, Refused, Unknown

BOOT = "0b5d2f0e-8f2f-4a3a-9a63-0f7f9f0c8f11"
ACK = Ack(
    device_id="press-7", revision=1, rollout_id="r1", phase=AckPhase.RECEIVED, model_id="", reason="", at_ms=1,
    boot_id=BOOT, seq=0,
)  # fmt: skip
AUDIT = AuditEntry(subject="device/press-7", action="said", who="gateway press-7", why="", at_ms=1)


def letter(topic, record, **changes):
    codec = codec_of(topic_named(topic).record)
    return replace(
        Letter(number=3, topic=topic, schema=codec.fingerprint, body=codec_of(type(record)).encode(record)), **changes
    )


def judge(letter, definitions=None, device_id="press-7"):
    return Admission().judge(device_id, letter, definitions or {})


def test_a_devices_own_record_passes_under_the_key_that_it_must_have():
    assert judge(letter("rollouts.acks", ACK)).key == b"press-7"
    assert judge(letter("audit.log", AUDIT)).key == b"device/press-7"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(letter("rollouts.acks", replace(ACK, device_id="press-8")), id="another device's ack"),
        pytest.param(letter("audit.log", replace(AUDIT, subject="device/press-8")), id="an entry about another"),
        pytest.param(letter("audit.log", replace(AUDIT, subject="rollout/r1")), id="an entry about a rollout"),
        pytest.param(letter("audit.log", replace(AUDIT, who="controller")), id="an entry in another's name"),
    ],
)
def test_a_record_that_is_not_the_certificates_is_refused(sent):
    found = judge(sent)

    assert isinstance(found, Refused)
    assert "the certificate is that of 'press-7'" in found.reason


@pytest.mark.parametrize("topic", ["rollouts.commands", "fleet.devices", "operators.requests", "nothing"])
def test_a_gateway_writes_a_gateways_topics_only(topic):
    found = judge(replace(letter("rollouts.acks", ACK), topic=topic))

    assert isinstance(found, Refused)
    assert found.reason.startswith(f"a gateway does not write {topic!r}")


@pytest.mark.parametrize("body", [b"", b"\x00", b"\xff" * 50, letter("rollouts.acks", ACK).body + b"\x00"])
def test_bytes_that_are_no_record_are_refused(body):
    assert isinstance(judge(letter("rollouts.acks", ACK, body=body)), Refused)


def newer_schema():
    """Acks as a newer gateway writes them."""
    schema = copy.deepcopy(codec_of(Ack).schema)
    schema["fields"] = [{**field, "doc": ""} for field in schema["fields"]]
    schema["fields"].append({"name": "newer", "type": "string", "default": ""})
    return schema


def written_with(schema):
    out = io.BytesIO()
    plain = {**as_plain(ACK), "newer": "x"}
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), plain)
    return out.getvalue()


def test_a_schema_of_another_version_is_asked_for_once_and_then_known():
    schema = newer_schema()
    name = fingerprint(schema)
    sent = Letter(number=3, topic="rollouts.acks", schema=name, body=written_with(schema))
    admission = Admission()

    first = admission.judge("press-7", sent, {})
    shown = admission.judge("press-7", sent, {name: json.dumps(schema)})
    later = admission.judge("press-7", sent, {})

    assert isinstance(first, Unknown)
    assert isinstance(shown, Admitted)
    assert isinstance(later, Admitted)
    assert later.schema == schema


@pytest.mark.parametrize(
    "definition",
    ["", "5", "{", '{"type": "record"}', json.dumps(codec_of(AuditEntry).schema), "[" * 10_000, "x" * 70_000],
)
def test_a_schema_that_is_not_the_one_it_is_called_is_refused(definition):
    sent = letter("rollouts.acks", ACK, schema="ab" * 32)

    assert isinstance(judge(sent, {"ab" * 32: definition}), Refused)


def test_another_records_schema_does_not_pass_for_this_topics():
    other = codec_of(AuditEntry)

    found = judge(
        letter("rollouts.acks", AUDIT, schema=other.fingerprint), {other.fingerprint: json.dumps(other.schema)}
    )

    assert isinstance(found, Refused)
