"""Whom this device believes, and what it can read: the pinned keyring with its successors, and the device's own key.

keyrings/<version>.json    the successors that were taken, each vouched for by the one before it
"""

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

from edge_gateway.config import GatewayConfig
from trust import (
    Bundle,
    BundleError,
    DigestMismatchError,
    Keyring,
    TrustError,
    open_bundle,
    read_keyring,
    succeed,
    write_whole,
)
from trust.bundle import MAX_BUNDLE_BYTES
from trust.sealed import DeviceKey, is_sealed, load_device_key, unseal

__all__ = ["Trusted"]

_log = logging.getLogger(__name__)


class Trusted:
    """`keyring` is the present one; it changes by `take` alone. Whoever judges something asks anew."""

    def __init__(self, pinned: Keyring, folder: Path, device_key: DeviceKey | None = None) -> None:
        self._folder = folder
        self._device_key = device_key
        self.keyring = self._carried_on(pinned)

    @classmethod
    def of(cls, config: GatewayConfig, pinned: Keyring | None = None) -> "Trusted":
        """Read what the device has on disk."""
        key = config.updates.device_key
        return cls(
            read_keyring(config.keyring) if pinned is None else pinned,
            config.data / "keyrings",
            None if key is None else load_device_key(key),
        )

    def take(self, envelope: bytes) -> bool:
        """Take the next version on, if it follows; False: it is the present one. Raises `TrustError`."""
        successor = succeed(self.keyring, envelope)
        if successor == self.keyring:
            return False
        write_whole(self._path(successor.version), envelope)
        self.keyring = successor
        return True

    def read(self, path: Path, *, sha256: str | None = None) -> Bundle:
        """Return the bundle in a file, decrypted where that is needed, and verified; size and digest are the file's."""
        try:
            if path.stat().st_size > MAX_BUNDLE_BYTES:
                raise BundleError(f"{path} has {path.stat().st_size} bytes; at most {MAX_BUNDLE_BYTES} are read")
            content = path.read_bytes()
        except OSError as error:
            raise BundleError(f"{path}: {error.strerror or error}") from error
        found = hashlib.sha256(content).hexdigest()
        if sha256 is not None and found != sha256:
            raise DigestMismatchError(what="the bundle", promised=sha256, found=found)
        plain = unseal(content, self._device_key) if is_sealed(content) else content
        return replace(open_bundle(plain, self.keyring), sha256=found, size=len(content))

    def _path(self, version: int) -> Path:
        return self._folder / f"{version}.json"

    def _carried_on(self, pinned: Keyring) -> Keyring:
        """Follow the successors again, each of them verified: what lies on the disk is not believed for that."""
        keyring = pinned
        while (path := self._path(keyring.version + 1)).exists():
            try:
                keyring = succeed(keyring, path.read_bytes())
            except (TrustError, OSError) as error:
                _log.error("keyring of no use: file=%s error=%s", path, error)
                return keyring
        return keyring
