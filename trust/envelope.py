"""DSSE envelopes: bytes, what they are, and who vouches for both.

Nothing inside an envelope is parsed before its signatures are verified against pinned keys.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import Signer

from schemas.canonical import canonical_json
from trust.errors import EnvelopeError, RevokedKeyError, UntrustedError, WrongKindError
from trust.keyring import Keyring
from trust.kinds import Kind

__all__ = ["MAX_ENVELOPE_BYTES", "Opened", "open_envelope", "open_typed", "parsed_fields", "seal", "seal_typed"]

MAX_ENVELOPE_BYTES = 4 * 1024**2


@dataclass(frozen=True, slots=True)
class Opened:
    """A verified payload and the keys that vouch for it."""

    kind: Kind
    payload: bytes
    fields: Mapping[str, Any]
    signed_by: tuple[str, ...]


def seal(kind: Kind, fields: Mapping[str, Any], signers: Sequence[Signer]) -> str:
    """Return the fields as canonical JSON, signed together with their kind: a DSSE envelope, JSON."""
    return seal_typed(kind.value, fields, signers)


def seal_typed(payload_type: str, fields: Mapping[str, Any], signers: Sequence[Signer]) -> str:
    """Return an envelope of a payload that is no kind by itself, such as a batch of one kind."""
    if not signers:
        what = payload_type.removeprefix("application/vnd.driftline.").removesuffix("+json")
        raise UntrustedError(f"nobody signs this {what}; wanted at least one signer")
    envelope = Envelope(canonical_json(dict(fields)), payload_type, {})
    for signer in signers:
        envelope.sign(signer)
    return canonical_json(envelope.to_dict()).decode()


def open_envelope(text: str | bytes, kind: Kind, keyring: Keyring) -> Opened:
    """Return what is inside, if enough pinned keys that may sign this kind have signed it as this kind."""
    return open_typed(text, kind.value, kind, keyring)


def open_typed(text: str | bytes, payload_type: str, kind: Kind, keyring: Keyring) -> Opened:
    """Return what is inside an envelope of `payload_type`, if enough keys that may sign `kind` have signed it."""
    envelope = _parse(text)
    if envelope.payload_type != payload_type:
        raise WrongKindError(found=envelope.payload_type, wanted=payload_type)
    signed_by = _verify(envelope, kind, keyring)
    return Opened(kind=kind, payload=envelope.payload, fields=parsed_fields(envelope.payload), signed_by=signed_by)


def parsed_fields(payload: bytes) -> Mapping[str, Any]:
    """Return the fields of a payload that has been verified."""
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise EnvelopeError(f"the signed payload is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise EnvelopeError(f"the signed payload is a {type(fields).__name__}; wanted an object")
    return fields


def _parse(text: str | bytes) -> Envelope:
    if len(text) > MAX_ENVELOPE_BYTES:
        raise EnvelopeError(f"the envelope has {len(text)} bytes; at most {MAX_ENVELOPE_BYTES} are read")
    try:
        envelope = Envelope.from_dict(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EnvelopeError(f"not a DSSE envelope: {type(error).__name__}: {error}") from error
    if not all(isinstance(text, str) for text in (envelope.payload_type, *envelope.signatures)):
        raise EnvelopeError("not a DSSE envelope: payloadType and key ids are strings")
    return envelope


def _verify(envelope: Envelope, kind: Kind, keyring: Keyring) -> tuple[str, ...]:
    keys, threshold = keyring.keys_for(kind), keyring.threshold(kind)
    if len(keys) < threshold:
        raise _refusal(envelope, kind, keyring)
    try:
        return tuple(sorted(envelope.verify(keys, threshold)))
    except VerificationError as error:
        raise _refusal(envelope, kind, keyring) from error


def _refusal(envelope: Envelope, kind: Kind, keyring: Keyring) -> UntrustedError:
    what, found = kind.name.lower(), list(envelope.signatures)
    revoked = [key_id for key_id in found if key_id in keyring.revoked]
    if revoked:
        why = "; ".join(f"{key_id:.12}: {keyring.revoked[key_id]}" for key_id in revoked)
        return RevokedKeyError(f"the {what} is signed with a revoked key ({why})")
    pinned = [key.keyid for key in keyring.keys_for(kind)]
    return UntrustedError(
        f"the {what} lacks {keyring.threshold(kind)} valid signature(s) by pinned keys; "
        f"signed by {_short(found)}, pinned for it are {_short(pinned)}"
    )


def _short(key_ids: Sequence[str]) -> str:
    return ", ".join(f"{key_id:.12}" for key_id in key_ids) or "nobody"
