"""The pinned keys: who may sign what, how many must, and who no longer may.

A keyring is a value. Its successor is accepted when it is the next version, signed by enough keys of the present one
and by enough of its own, and takes nobody back who was revoked; so keys rotate without a new enrolment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from securesystemslib.signer import Key

from trust.errors import KeyringError
from trust.kinds import Kind

__all__ = ["Keyring", "PinnedKey", "admit", "pin", "revoke", "rotate"]


@dataclass(frozen=True, slots=True)
class PinnedKey:
    """A public key, what people call it, and what it may sign."""

    name: str
    key: Key
    may_sign: frozenset[Kind]

    @property
    def key_id(self) -> str:
        return str(self.key.keyid)


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys that are trusted; a kind without a threshold needs one signature."""

    keys: tuple[PinnedKey, ...]
    version: int = 1
    thresholds: Mapping[Kind, int] = field(default_factory=dict)
    # Why each key was revoked, by key id.
    revoked: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ids = [pinned.key_id for pinned in self.keys]
        if len(set(ids)) < len(ids) or len({pinned.name for pinned in self.keys}) < len(ids):
            raise KeyringError("a key or a name is pinned twice")
        for pinned in self.keys:
            if pinned.key_id in self.revoked:
                raise KeyringError(f"key {pinned.name!r} ({pinned.key_id:.12}) is pinned and revoked at once")
        for kind, wanted in self.thresholds.items():
            if wanted < 1:
                raise KeyringError(f"the threshold for {kind.name.lower()} is {wanted}; wanted at least 1")

    def keys_for(self, kind: Kind) -> list[Key]:
        return [pinned.key for pinned in self.keys if kind in pinned.may_sign]

    def threshold(self, kind: Kind) -> int:
        return self.thresholds.get(kind, 1)

    def as_fields(self) -> dict[str, Any]:
        """Return the keyring as plain JSON values."""
        return {
            "version": self.version,
            "keys": [
                {
                    "name": pinned.name,
                    "key_id": pinned.key_id,
                    "key": pinned.key.to_dict(),
                    "may_sign": sorted(kind.name.lower() for kind in pinned.may_sign),
                }
                for pinned in self.keys
            ],
            "thresholds": {kind.name.lower(): wanted for kind, wanted in self.thresholds.items()},
            "revoked": dict(self.revoked),
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "Keyring":
        try:
            return cls(
                keys=tuple(
                    PinnedKey(
                        name=str(entry["name"]),
                        key=Key.from_dict(str(entry["key_id"]), dict(entry["key"])),
                        may_sign=frozenset(_kind(name) for name in entry["may_sign"]),
                    )
                    for entry in fields["keys"]
                ),
                version=int(fields["version"]),
                thresholds={_kind(name): int(wanted) for name, wanted in fields["thresholds"].items()},
                revoked={str(key_id): str(why) for key_id, why in fields["revoked"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise KeyringError(f"not a keyring: {type(error).__name__}: {error}") from error


def pin(name: str, key: Key, *kinds: Kind) -> PinnedKey:
    """Trust the key with these kinds and no others."""
    if not kinds:
        raise KeyringError(f"key {name!r} may sign nothing; known: {_known()}")
    return PinnedKey(name=name, key=key, may_sign=frozenset(kinds))


def admit(keyring: Keyring, new: PinnedKey) -> Keyring:
    """Return the next version, in which `new` is trusted as well: the first half of a planned rotation."""
    return replace(keyring, version=keyring.version + 1, keys=(*keyring.keys, new))


def rotate(keyring: Keyring, old: str, new: PinnedKey, *, why: str) -> Keyring:
    """Return the next version, in which `new` takes the place of the key named or identified by `old`.

    What `old` has signed is refused from then on; to keep it for a while, `admit` first and `revoke` later.
    """
    return replace(admit(revoke(keyring, old, why=why), new), version=keyring.version + 1)


def revoke(keyring: Keyring, old: str, *, why: str) -> Keyring:
    """Return the next version, in which the key named or identified by `old` is no longer trusted."""
    leaving = _find(keyring, old)
    return replace(
        keyring,
        version=keyring.version + 1,
        keys=tuple(pinned for pinned in keyring.keys if pinned is not leaving),
        revoked={**keyring.revoked, leaving.key_id: why},
    )


def _find(keyring: Keyring, wanted: str) -> PinnedKey:
    found: Sequence[PinnedKey] = [
        pinned
        for pinned in keyring.keys
        if pinned.name == wanted or (len(wanted) >= 8 and pinned.key_id.startswith(wanted))
    ]
    if len(found) != 1:
        names = ", ".join(sorted(pinned.name for pinned in keyring.keys)) or "none"
        raise KeyringError(f"{len(found)} pinned keys are called {wanted!r}; pinned: {names}")
    return found[0]


def _kind(name: str) -> Kind:
    try:
        return Kind[name.upper()]
    except KeyError:
        raise KeyringError(f"unknown kind {name!r}; known: {_known()}") from None


def _known() -> str:
    return ", ".join(sorted(kind.name.lower() for kind in Kind))
