"""Keys and values as they stand on topics."""

import struct
from dataclasses import replace

import pytest

from schemas.catalogue import CATALOGUE, UnknownTopicError
from schemas.cluster import Cluster
from schemas.codec import codec_of
from schemas.errors import BadRecordError, WrongValueError
from schemas.fleet import Slot, SlotState
from schemas.registry import Registry
from schemas.rollouts import DeviceInRollout, RolloutDevice, RolloutPlan
from schemas.wire import Contract

PLAN = RolloutPlan(rollout_id="r1", model_id="m/2", document="{}", created_ms=1, created_by="ada")
TOPIC = "rollouts.plans"


@pytest.fixture
def contract(registry_url, prefix):
    return Contract.connect(Cluster(registry_url=registry_url, prefix=prefix))


def test_a_value_is_framed_as_any_registry_client_expects(contract):
    key, value = contract.encode(TOPIC, PLAN)

    schema_id = contract.register(TOPIC)
    assert key == b"r1"
    assert value == struct.pack(">bI", 0, schema_id) + codec_of(RolloutPlan).encode(PLAN)


def test_a_key_of_two_fields_is_joined(contract):
    device = RolloutDevice(
        rollout_id="r1",
        device_id="größe-7",
        state=DeviceInRollout.WAITING,
        stage=0,
        revision=0,
        attempts=0,
        previous_model_id="",
        reason="",
        changed_ms=0,
    )

    key, value = contract.encode("rollouts.devices", device)

    assert key == "r1/größe-7".encode()
    assert contract.decode("rollouts.devices", key, value) == device


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        pytest.param(lambda value: b"", "value: found 0 bytes, wanted at least 5", id="empty"),
        pytest.param(lambda value: value[:4], "value: found 4 bytes, wanted at least 5", id="no whole header"),
        pytest.param(lambda value: b"\1" + value[1:], "magic byte: found 0x01, wanted 0x00", id="magic byte"),
        pytest.param(lambda value: b"{" + value[1:], "magic byte: found 0x7b, wanted 0x00", id="JSON"),
        pytest.param(
            lambda value: value[:1] + b"\x7f\xff\xff\xff" + value[5:], "schema id: found 2147483647", id="unknown id"
        ),
        pytest.param(lambda value: value[:5], "RolloutPlan.rollout_id: found its end too early", id="no body"),
        pytest.param(lambda value: value[:-1], "RolloutPlan.created_by: found Expected 3 bytes", id="truncated"),
        pytest.param(lambda value: value + b"\0", "RolloutPlan: found 1 bytes after its end", id="extended"),
        pytest.param(lambda value: value + bytes(10_000_000), "RolloutPlan: found 10,000,0", id="10 MB"),
    ],
)
def test_bad_input_has_a_reason(contract, damage, reason):
    key, value = contract.encode(TOPIC, PLAN)

    with pytest.raises(BadRecordError) as caught:
        contract.decode(TOPIC, key, damage(value))

    assert reason in caught.value.reason
    assert contract.decode(TOPIC, key, value) == PLAN


@pytest.mark.parametrize("key", [None, b"", b"r2", b"R1", b"r1 ", b"\xff"])
def test_a_key_that_is_not_the_records_is_bad(contract, key):
    _, value = contract.encode(TOPIC, PLAN)

    with pytest.raises(BadRecordError, match=r"^key: found .*, wanted rollout_id = 'r1'$"):
        contract.decode(TOPIC, key, value)


def test_a_record_of_another_topic_is_bad(contract):
    key, value = contract.encode(TOPIC, PLAN)

    with pytest.raises(
        BadRecordError, match=r"rollouts\.status: found driftline\.rollouts\.RolloutPlan \(schema id \d+\), wanted dri"
    ):
        contract.decode("rollouts.status", key, value)


def test_a_record_for_another_topic_is_not_sent(contract):
    with pytest.raises(WrongValueError, match=r"rollouts\.status: found RolloutPlan, wanted RolloutStatus"):
        contract.encode("rollouts.status", PLAN)


def test_a_wrong_type_is_not_sent(contract):
    with pytest.raises(WrongValueError, match="created_ms: found 'now' "):
        contract.encode(TOPIC, replace(PLAN, created_ms="now"))


def test_an_unknown_topic_is_answered_with_the_known_ones(contract):
    with pytest.raises(UnknownTopicError, match=r"known: audit\.checkpoints"):
        contract.encode("rollouts.plan", PLAN)


def test_another_version_of_the_writer_is_read(contract):
    codec = codec_of(RolloutPlan)
    fields = [*codec.schema["fields"], {"name": "budget", "type": ["null", "long"], "default": None}]
    newer = codec.schema | {"fields": fields}
    schema_id = contract.registry.register(contract.subject_of(CATALOGUE[TOPIC]), newer)

    # The new field has a value: branch 1, then 21.
    value = struct.pack(">bI", 0, schema_id) + codec.encode(PLAN) + b"\x02\x2a"

    assert contract.decode(TOPIC, b"r1", value) == PLAN


def test_a_schema_that_would_not_end_makes_the_record_bad(contract):
    codec = codec_of(RolloutPlan)
    endless = {"name": "more", "type": {"type": "array", "items": "null"}, "default": []}
    schema = codec.schema | {"fields": [*codec.schema["fields"], endless]}
    schema_id = contract.registry.register(contract.subject_of(CATALOGUE[TOPIC]), schema)
    value = struct.pack(">bI", 0, schema_id) + codec.encode(PLAN) + b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x00"

    with pytest.raises(BadRecordError, match=r"schema id \d+: found an array whose items take no byte"):
        contract.decode(TOPIC, b"r1", value)


def test_two_fleets_on_one_registry_do_not_meet(registry_url, prefix):
    ours, theirs = (Contract.connect(Cluster(registry_url=registry_url, prefix=f"{prefix}{who}-")) for who in "ab")
    narrowed = {"type": "record", "name": "driftline.rollouts.RolloutPlan", "fields": [{"name": "n", "type": "int"}]}

    Registry(theirs.cluster).register(theirs.subject_of(CATALOGUE[TOPIC]), narrowed)

    assert ours.decode(TOPIC, *ours.encode(TOPIC, PLAN)) == PLAN


def test_nested_records_have_names_of_their_own():
    assert codec_of(Slot).decode(codec_of(Slot).encode(Slot(name="A", state=SlotState.BAD))).state is SlotState.BAD
