"""Keys, signatures and envelopes: what makes a command or a bundle worth obeying."""

from schemas.canonical import canonical_json, content_id, with_content_id
from trust.batch import open_sealed, seal_batch
from trust.bundle import Bundle, open_bundle, open_manifest, pack_bundle, read_bundle
from trust.envelope import Opened, open_envelope, seal
from trust.errors import (
    BundleError,
    DigestMismatchError,
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
from trust.records import open_command, open_record, sign_record, sign_records
from trust.succession import read_keyring, seal_keyring, succeed, write_keyring

__all__ = [
    "Bundle",
    "BundleError",
    "DigestMismatchError",
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
    "open_bundle",
    "open_command",
    "open_envelope",
    "open_manifest",
    "open_record",
    "open_sealed",
    "pack_bundle",
    "pin",
    "read_bundle",
    "read_keyring",
    "revoke",
    "rotate",
    "seal",
    "seal_batch",
    "seal_keyring",
    "sign_record",
    "sign_records",
    "succeed",
    "with_content_id",
    "write_keyring",
    "write_whole",
]
