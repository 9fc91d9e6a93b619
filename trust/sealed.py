"""Bundles that only certain devices can read: encrypted once, to each device's own key.

The file is a line that names the format, the length of a header, the header, and the content. The content is encrypted
with ChaCha20-Poly1305 under a key that is used once; the header, which is authenticated with it, holds that key for
each device, wrapped by HPKE (RFC 9180, base mode: X25519, HKDF-SHA256, ChaCha20-Poly1305). Encryption hides; who made
the bundle is still said by the signature inside.
"""

import base64
import hashlib
import json
import os
import struct
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from schemas.canonical import canonical_json
from trust.errors import KeyFileError, SealError
from trust.private_file import read_private, write_private

__all__ = ["DeviceKey", "is_sealed", "load_device_key", "make_device_key", "public_text", "seal_for", "unseal"]

_MAGIC = b"driftline-sealed/1\n"
_LENGTH = struct.Struct(">I")
_MAX_HEADER = 16 * 1024**2
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
# The key is new for each file, so its one nonce may be any.
_NONCE = bytes(12)
_PREFIX = "x25519:"

DeviceKey = X25519PrivateKey


def make_device_key(path: Path) -> str:
    """Write a new private key (PEM), readable by its owner alone; return its public half as text.

    An existing file is never overwritten.
    """
    private = X25519PrivateKey.generate()
    write_private(path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return public_text(private.public_key())


def load_device_key(path: Path) -> DeviceKey:
    """Return the device's private key from a file that only its owner can read."""
    try:
        private = load_pem_private_key(read_private(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path} holds no usable private key; wanted X25519, PEM, not encrypted") from error
    if not isinstance(private, X25519PrivateKey):
        raise KeyFileError(f"{path} holds {type(private).__name__}; wanted an X25519 private key")
    return private


def public_text(public: X25519PublicKey) -> str:
    """Return a public key as text, as it is told to who encrypts."""
    return _PREFIX + base64.b64encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def is_sealed(content: bytes) -> bool:
    return content.startswith(_MAGIC)


def seal_for(content: bytes, recipients: Sequence[str]) -> bytes:
    """Return the content so that only the devices with these public keys can read it."""
    if not recipients:
        raise SealError("nobody could read it; wanted at least one device's public key")
    once = os.urandom(32)
    keys = [_public(text) for text in recipients]
    wrapped = {_name(key): base64.b64encode(_SUITE.encrypt(once, key, _MAGIC)).decode() for key in keys}
    header = canonical_json({"recipients": wrapped})
    head = _MAGIC + _LENGTH.pack(len(header)) + header
    return head + ChaCha20Poly1305(once).encrypt(_NONCE, content, head)


def unseal(sealed: bytes, key: DeviceKey | None) -> bytes:
    """Return what was encrypted to this device's key; `SealError` says why it cannot be read."""
    if key is None:
        raise SealError("the bundle is encrypted, and this device has no key", hint="gateway.updates.device_key")
    head, recipients = _header(sealed)
    name = _name(key.public_key())
    wrapped = recipients.get(name)
    if wrapped is None:
        raise SealError(f"the bundle is encrypted to {len(recipients)} other devices, not to this one ({name:.12})")
    try:
        once = _SUITE.decrypt(base64.b64decode(wrapped, validate=True), key, _MAGIC)
        return ChaCha20Poly1305(once).decrypt(_NONCE, sealed[len(head) :], head)
    except (InvalidTag, ValueError, TypeError) as error:
        raise SealError("the encrypted bundle is damaged, or was altered") from error


def _header(sealed: bytes) -> tuple[bytes, dict[str, str]]:
    begins = len(_MAGIC) + _LENGTH.size
    if not is_sealed(sealed) or len(sealed) < begins:
        raise SealError("not an encrypted bundle, or cut off")
    (length,) = _LENGTH.unpack_from(sealed, len(_MAGIC))
    if length > min(_MAX_HEADER, len(sealed) - begins):
        raise SealError(f"the header claims {length} bytes; the file has {len(sealed)}")
    try:
        recipients = json.loads(sealed[begins : begins + length])["recipients"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SealError(f"the header is of no use: {error}") from error
    if not isinstance(recipients, dict):
        raise SealError("the header names no recipients")
    return sealed[: begins + length], recipients


def _public(text: str) -> X25519PublicKey:
    try:
        if not text.startswith(_PREFIX):
            raise ValueError(text)
        return X25519PublicKey.from_public_bytes(base64.b64decode(text.removeprefix(_PREFIX).strip(), validate=True))
    except ValueError:
        raise SealError(f"{text!r} is no device's public key; wanted {_PREFIX}… in base64, 32 bytes") from None


def _name(key: X25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()
