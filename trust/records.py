"""Records that carry their own signature in a field `envelope`: commands, policies, audit checkpoints.

All other fields are signed. Whoever opens such a record works with what was signed, never with what stands around it.
"""

from collections.abc import Sequence
from dataclasses import Field, fields
from typing import Any, TypeVar

from securesystemslib.signer import Signer

from schemas.errors import SchemaError
from schemas.operators import AuditCheckpoint
from schemas.policy import Policy
from schemas.record import as_plain, changed, from_plain
from schemas.rollouts import Command
from trust.batch import open_sealed, seal_batch
from trust.envelope import seal
from trust.errors import EnvelopeError, TamperedError, WrongDeviceError
from trust.keyring import Keyring
from trust.kinds import Kind

__all__ = ["open_command", "open_record", "read_signed", "sign_record", "sign_records"]

T = TypeVar("T")
Signed = TypeVar("Signed", Command, Policy, AuditCheckpoint)

_KINDS: dict[type[Any], Kind] = {
    Command: Kind.COMMAND,
    Policy: Kind.POLICY,
    AuditCheckpoint: Kind.CHECKPOINT,
}


def sign_record(record: Signed, signers: Sequence[Signer]) -> Signed:
    """Return the record with its envelope filled in."""
    plain = as_plain(record)
    del plain["envelope"]
    return changed(record, envelope=seal(_KINDS[type(record)], plain, signers))


def sign_records(records: Sequence[Signed], signers: Sequence[Signer]) -> list[Signed]:
    """Return the records, of one type, with their envelopes: one signature over all, in each the proof of its own."""
    if not records:
        return []
    plains = [as_plain(record) for record in records]
    for plain in plains:
        del plain["envelope"]
    envelopes = seal_batch(_KINDS[type(records[0])], plains, signers)
    return [changed(record, envelope=envelope) for record, envelope in zip(records, envelopes, strict=True)]


def open_record(record: Signed, keyring: Keyring) -> Signed:
    """Return the record as it was signed; a record that says something else around its envelope is refused."""
    signed = _signed(type(record), record.envelope, keyring)
    for field in fields(signed):
        if getattr(signed, field.name) != getattr(record, field.name):
            raise TamperedError(
                f"{type(record).__name__}.{field.name} is {getattr(record, field.name)!r}, "
                f"signed was {getattr(signed, field.name)!r}"
            )
    return signed


def open_command(envelope: str, keyring: Keyring, *, device_id: str) -> Command:
    """Return the command inside an envelope, if it is for this device.

    A command does not expire; whether its revision is newer than the last one is for the caller to judge.
    """
    command = _signed(Command, envelope, keyring)
    if command.device_id != device_id:
        raise WrongDeviceError(found=command.device_id, wanted=device_id)
    return command


def read_signed(cls: type[T], kind: Kind, text: str | bytes, keyring: Keyring, /, **unsigned: Any) -> T:
    """Return the record inside an envelope, verified; `unsigned` fills the fields that the envelope cannot hold."""
    found = open_sealed(text, kind, keyring).fields
    # A newer signer may know more fields; what this reader does not know, it does not act on.
    known = {field.name: found[field.name] for field in _fields(cls) if field.name in found}
    try:
        return from_plain(cls, {**known, **unsigned})
    except (TypeError, KeyError, ValueError, AttributeError, SchemaError) as error:
        raise EnvelopeError(f"the signed {cls.__name__} does not fit its record: {error}") from error


def _fields(cls: type[Any]) -> tuple[Field[Any], ...]:
    return fields(cls)


def _signed(cls: type[Signed], envelope: str, keyring: Keyring) -> Signed:
    return read_signed(cls, _KINDS[cls], envelope, keyring, envelope=envelope)
