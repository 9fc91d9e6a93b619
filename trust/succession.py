"""Keeping a pinned keyring: reading and writing it, and taking on its successors.

Each version is vouched for by the one before it and by itself. The file that is pinned at enrolment is plain: it is
trusted for where it lies, and write access to it is write access to the device.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from securesystemslib.signer import Signer

from trust.envelope import open_envelope, seal
from trust.errors import KeyringError
from trust.files import write_whole
from trust.keyring import Keyring
from trust.kinds import Kind

__all__ = ["read_keyring", "seal_keyring", "succeed", "write_keyring"]


def read_keyring(path: Path) -> Keyring:
    """Return the keyring that is pinned in this file."""
    try:
        fields = json.loads(path.read_bytes())
    except OSError as error:
        raise KeyringError(
            f"{path}: {error.strerror or error}; without pinned keys nothing is trusted",
            hint="make keys and a keyring with `driftline keys make` and `driftline keys pin`",
        ) from error
    except ValueError as error:
        raise KeyringError(f"{path} is no keyring: {error}") from error
    return Keyring.from_fields(fields)


def write_keyring(path: Path, keyring: Keyring) -> None:
    """Pin the keyring in this file, whole or not at all."""
    write_whole(path, json.dumps(keyring.as_fields(), indent=2, sort_keys=True).encode() + b"\n")


def seal_keyring(keyring: Keyring, signers: Sequence[Signer]) -> str:
    """Return the signed keyring; a successor takes signers of the version before it and of its own."""
    return seal(Kind.KEYRING, keyring.as_fields(), signers)


def succeed(pinned: Keyring, envelope: str | bytes) -> Keyring:
    """Return the next keyring if it follows from the pinned one; a repeat of the pinned one changes nothing.

    Versions are taken one by one: who missed some is given all of them, in order.
    """
    successor = Keyring.from_fields(open_envelope(envelope, Kind.KEYRING, pinned).fields)
    if successor == pinned:
        return pinned
    if successor.version != pinned.version + 1:
        raise KeyringError(f"keyring version {successor.version} does not follow version {pinned.version}")
    forgotten = set(pinned.revoked) - set(successor.revoked)
    if forgotten:
        raise KeyringError(f"the new keyring forgets that key {min(forgotten):.12} was revoked")
    open_envelope(envelope, Kind.KEYRING, successor)
    return successor
