"""A command is obeyed as it was signed, by the device it was signed for."""

import json
from dataclasses import replace

import pytest

from schemas.operators import AuditCheckpoint
from schemas.policy import Policy
from trust import (
    EnvelopeError,
    Kind,
    TamperedError,
    UntrustedError,
    WrongDeviceError,
    WrongKindError,
    open_command,
    open_record,
    seal,
    sign_record,
)


def test_a_signed_command_comes_back_as_it_was(command, controller, keyring):
    signed = sign_record(command, [controller.signer])

    assert open_record(signed, keyring) == signed
    assert open_command(signed.envelope, keyring, device_id="press-7") == signed


def test_a_command_for_another_device_is_refused(command, controller, keyring):
    signed = sign_record(command, [controller.signer])

    with pytest.raises(WrongDeviceError, match="'press-7'; this is 'press-8'"):
        open_command(signed.envelope, keyring, device_id="press-8")


@pytest.mark.parametrize(
    ("field", "value"),
    [("device_id", "press-8"), ("revision", 4), ("bundle_sha256", "cd" * 32), ("settings", {})],
)
def test_a_record_that_differs_from_its_envelope_is_refused(command, controller, keyring, field, value):
    signed = sign_record(command, [controller.signer])

    with pytest.raises(TamperedError, match=f"Command.{field}"):
        open_record(replace(signed, **{field: value}), keyring)


def test_an_unsigned_command_is_refused(command, keyring):
    with pytest.raises(EnvelopeError):
        open_record(command, keyring)


def test_the_trainer_cannot_command(command, trainer, keyring):
    with pytest.raises(UntrustedError):
        open_record(sign_record(command, [trainer.signer]), keyring)


def test_a_policys_envelope_commands_nothing(controller, keyring):
    policy = Policy(policy_id="p", revision=1, document="", envelope="", issued_ms=1, issued_by="ops", withdrawn=False)
    signed = sign_record(policy, [controller.signer])

    assert open_record(signed, keyring) == signed
    with pytest.raises(WrongKindError):
        open_command(signed.envelope, keyring, device_id="press-7")


def test_an_audit_checkpoint_is_signed_whole(party, keyring):
    auditor = party("auditor", Kind.CHECKPOINT)
    ring = replace(keyring, keys=(*keyring.keys, auditor.pinned))
    signed = sign_record(
        AuditCheckpoint(partition=0, next_offset=10, digest="ab" * 32, at_ms=1, envelope=""), [auditor.signer]
    )

    assert open_record(signed, ring) == signed
    with pytest.raises(TamperedError, match="next_offset"):
        open_record(replace(signed, next_offset=9), ring)


def test_fields_that_this_reader_does_not_know_are_not_acted_on(command, controller, keyring):
    signed = sign_record(command, [controller.signer])
    newer = json.loads(open_payload(signed.envelope)) | {"urgency": "high"}
    envelope = seal(Kind.COMMAND, newer, [controller.signer])

    assert replace(open_command(envelope, keyring, device_id="press-7"), envelope="") == command


def test_a_signed_command_with_a_missing_field_is_refused(controller, keyring):
    envelope = seal(Kind.COMMAND, {"device_id": "press-7"}, [controller.signer])

    with pytest.raises(EnvelopeError, match="does not fit its record"):
        open_command(envelope, keyring, device_id="press-7")


def open_payload(envelope: str) -> bytes:
    import base64

    return base64.b64decode(json.loads(envelope)["payload"])
