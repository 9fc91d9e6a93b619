"""Batches: many payloads under one signature. The root of their Merkle tree is signed, each carries its own proof.

A member opens by itself, as an envelope of its own does: whoever gets one needs none of the others. That a payload is
of its kind is part of its leaf, and that a batch holds this kind is part of what is signed.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from securesystemslib.signer import Signer

from trust.envelope import MAX_ENVELOPE_BYTES, Opened, open_envelope, open_typed, parsed_fields, seal, seal_typed
from trust.errors import EnvelopeError, TamperedError, WrongKindError
from trust.keyring import Keyring
from trust.kinds import Kind
from trust.merkle import HASH_BYTES, Tree, root_from

__all__ = ["open_sealed", "seal_batch"]

# A path of so many hashes belongs to more leaves than anybody signs at once.
_LONGEST_PATH = 40 * HASH_BYTES
_SPELLED = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)


def seal_batch(kind: Kind, batch: Sequence[Mapping[str, Any]], signers: Sequence[Signer]) -> list[str]:
    """Return one text for each of the fields, in their order; `open_sealed` takes each of them by itself."""
    if len(batch) < 2:
        return [seal(kind, fields, signers) for fields in batch]
    payloads = [_json(fields) for fields in batch]
    tree = Tree([_leaf(kind, payload) for payload in payloads])
    root = seal_typed(_type_of(kind), {"root": tree.root.hex(), "size": len(batch)}, signers)
    return [
        f'{{"batch":{root},"index":{index},"path":"{_text(path)}",'
        f'"payload":"{_text(payload)}","payloadType":"{kind.value}"}}'
        for index, (payload, path) in enumerate(zip(payloads, tree.paths(), strict=True))
    ]


def open_sealed(text: str | bytes, kind: Kind, keyring: Keyring) -> Opened:
    """Return what is inside an envelope, or inside a member of a batch, if pinned keys vouch for it as this kind."""
    member = _member(text)
    if member is None:
        return open_envelope(text, kind, keyring)
    if member["payloadType"] != kind.value:
        raise WrongKindError(found=str(member["payloadType"]), wanted=kind.value)
    batch = open_typed(json.dumps(member["batch"]), _type_of(kind), kind, keyring)
    try:
        payload = base64.b64decode(member["payload"], validate=True)
        path = base64.b64decode(member["path"], validate=True)
        index, size, root = int(member["index"]), int(batch.fields["size"]), bytes.fromhex(batch.fields["root"])
    except (binascii.Error, ValueError, TypeError, KeyError) as error:
        raise EnvelopeError(f"not a member of a batch: {type(error).__name__}: {error}") from error
    if len(path) > _LONGEST_PATH or root_from(_leaf(kind, payload), index, size, path) != root:
        raise TamperedError("the payload is not in the batch whose root was signed")
    return Opened(kind=kind, payload=payload, fields=parsed_fields(payload), signed_by=batch.signed_by)


def _member(text: str | bytes) -> dict[str, Any] | None:
    """Return the parts of a batch's member; None for what is no such thing, and perhaps an envelope."""
    if len(text) > MAX_ENVELOPE_BYTES:
        return None
    try:
        parts = json.loads(text)
    except (ValueError, RecursionError):
        return None
    wanted = {"batch", "index", "path", "payload", "payloadType"}
    return parts if isinstance(parts, dict) and parts.keys() == wanted else None


def _leaf(kind: Kind, payload: bytes) -> bytes:
    return f"{len(kind.value)} {kind.value} ".encode() + payload


def _type_of(kind: Kind) -> str:
    return kind.value.replace("+json", ".batch+json")


def _json(fields: Mapping[str, Any]) -> bytes:
    # What is signed are these very bytes, so any spelling will do; the canonical one takes ten times as long.
    return _SPELLED.encode(fields).encode()


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
