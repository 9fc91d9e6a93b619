"""Keys, signatures and envelopes: what makes a command or a bundle worth obeying."""

from schemas.canonical import canonical_json, content_id, with_content_id
from trust.envelope import Opened, open_envelope, seal
from trust.errors import (
    EnvelopeError,
    KeyFileError,
    KeyringError,
    RevokedKeyError,
    TamperedError,
    TrustError,
    UntrustedError,
    WrongDeviceError,
    WrongKindError,
)
from trust.files import write_whole
from trust.keyring import Keyring, PinnedKey, admit, pin, revoke, rotate
from trust.keys import Key, Signer, load_signer, make_key
from trust.kinds import Kind
from trust.records import open_command, open_record, sign_record
from trust.succession import read_keyring, seal_keyring, succeed, write_keyring

__all__ = [
    "EnvelopeError",
    "Key",
    "KeyFileError",
    "Keyring",
    "KeyringError",
    "Kind",
    "Opened",
    "PinnedKey",
    "RevokedKeyError",
    "Signer",
    "TamperedError",
    "TrustError",
    "UntrustedError",
    "WrongDeviceError",
    "WrongKindError",
    "admit",
    "canonical_json",
    "content_id",
    "load_signer",
    "make_key",
    "open_command",
    "open_envelope",
    "open_record",
    "pin",
    "read_keyring",
    "revoke",
    "rotate",
    "seal",
    "seal_keyring",
    "sign_record",
    "succeed",
    "with_content_id",
    "write_keyring",
    "write_whole",
]
