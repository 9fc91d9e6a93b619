"""Keys, sessions and invitations in SQLite; of secrets only hashes."""

import hashlib
import secrets
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from console.auth.roles import Principal, Role

__all__ = ["AuthStore", "Key"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
    key_id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, hash TEXT NOT NULL,
    created_ms INTEGER NOT NULL, created_by TEXT NOT NULL, revoked_ms INTEGER);
CREATE TABLE IF NOT EXISTS invitations (
    invitation_id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, hash TEXT NOT NULL,
    created_by TEXT NOT NULL, expires_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (
    digest TEXT PRIMARY KEY, key_id TEXT NOT NULL, expires_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS issuer_sessions (
    digest TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, expires_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    who TEXT NOT NULL, idempotency_key TEXT NOT NULL, asked TEXT NOT NULL, status INTEGER NOT NULL,
    body TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (who, idempotency_key));
"""
_PREFIX = "dl"


@dataclass(frozen=True, slots=True)
class Key:
    """What may be told of a key."""

    key_id: str
    name: str
    role: Role
    created_ms: int
    created_by: str
    revoked_ms: int | None


class AuthStore:
    """One file, mode 0600; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + _SCHEMA)
        self._hasher = PasswordHasher()

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def make_key(self, name: str, role: Role, *, by: str, now_ms: int) -> tuple[str, str]:
        """Return the id of a new key and the key itself, which is shown once and never again."""
        key_id, secret = secrets.token_hex(4), secrets.token_urlsafe(24)
        row = (key_id, name, role.value, self._hasher.hash(secret), now_ms, by)
        self._run("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, NULL)", row)
        return key_id, f"{_PREFIX}_{key_id}_{secret}"

    def all_keys(self) -> list[Key]:
        rows = self._run("SELECT key_id, name, role, created_ms, created_by, revoked_ms FROM keys ORDER BY created_ms")
        return [Key(row[0], row[1], Role(row[2]), row[3], row[4], row[5]) for row in rows]

    def revoke(self, key_id: str, *, now_ms: int) -> bool:
        """End a key and its sessions; False when there is no such key in use."""
        found = self._run(
            "UPDATE keys SET revoked_ms = ? WHERE key_id = ? AND revoked_ms IS NULL RETURNING key_id", (now_ms, key_id)
        )
        self._run("DELETE FROM sessions WHERE key_id = ?", (key_id,))
        return bool(found)

    def check_key(self, text: str) -> Principal | None:
        """Say who a key belongs to, None if to nobody; slow on purpose."""
        prefix, _, rest = text.partition("_")
        key_id, _, secret = rest.partition("_")
        rows = self._run("SELECT name, role, hash FROM keys WHERE key_id = ? AND revoked_ms IS NULL", (key_id,))
        if prefix != _PREFIX or not rows or not self._matches(rows[0][2], secret):
            return None
        return Principal(rows[0][0], Role(rows[0][1]), "key", key_id)

    def in_use(self, key_id: str) -> bool:
        return bool(self._run("SELECT 1 FROM keys WHERE key_id = ? AND revoked_ms IS NULL", (key_id,)))

    def has_admin(self) -> bool:
        return bool(self._run("SELECT 1 FROM keys WHERE role = 'admin' AND revoked_ms IS NULL"))

    def invite(self, name: str, role: Role, *, by: str, expires_ms: int) -> str:
        """Return a secret that can be turned into a key, once."""
        invitation_id, secret = secrets.token_hex(4), secrets.token_urlsafe(24)
        row = (invitation_id, name, role.value, self._hasher.hash(secret), by, expires_ms)
        self._run("INSERT INTO invitations VALUES (?, ?, ?, ?, ?, ?)", row)
        return f"{invitation_id}_{secret}"

    def withdraw_invitations(self, by: str) -> None:
        self._run("DELETE FROM invitations WHERE created_by = ?", (by,))

    def accept(self, invitation: str, *, now_ms: int) -> tuple[Principal, str] | None:
        """Turn an invitation into a key; None when it is unknown, used or too old."""
        invitation_id, _, secret = invitation.partition("_")
        rows = self._run(
            "SELECT name, role, hash, created_by FROM invitations WHERE invitation_id = ? AND expires_ms > ?",
            (invitation_id, now_ms),
        )
        if not rows or not self._matches(rows[0][2], secret):
            return None
        # Two that accept at the same moment: the row is removed once.
        if not self._run("DELETE FROM invitations WHERE invitation_id = ? RETURNING 1", (invitation_id,)):
            return None
        name, role, _hash, by = rows[0]
        key_id, key = self.make_key(name, Role(role), by=by, now_ms=now_ms)
        return Principal(name, Role(role), "key", key_id), key

    def open_session(self, who: Principal, *, now_ms: int, expires_ms: int) -> str:
        """Return the token of a session that ends with the key it was opened by; one by an issuer, only with time."""
        token = secrets.token_urlsafe(32)
        for table in ("sessions", "issuer_sessions"):
            self._run(f"DELETE FROM {table} WHERE expires_ms <= ?", (now_ms,))  # noqa: S608 - our own two names.
        if who.key_id:
            self._run("INSERT INTO sessions VALUES (?, ?, ?)", (_digest(token), who.key_id, expires_ms))
        else:
            row = (_digest(token), who.name, who.role.value, expires_ms)
            self._run("INSERT INTO issuer_sessions VALUES (?, ?, ?, ?)", row)
        return token

    def session(self, token: str, *, now_ms: int) -> Principal | None:
        rows = self._run(
            "SELECT name, role, key_id FROM sessions JOIN keys USING (key_id)"
            " WHERE digest = ? AND expires_ms > ? AND revoked_ms IS NULL"
            " UNION ALL SELECT name, role, '' FROM issuer_sessions WHERE digest = ? AND expires_ms > ?",
            (_digest(token), now_ms, _digest(token), now_ms),
        )
        return Principal(rows[0][0], Role(rows[0][1]), "session", rows[0][2]) if rows else None

    def close_session(self, token: str) -> None:
        for table in ("sessions", "issuer_sessions"):
            self._run(f"DELETE FROM {table} WHERE digest = ?", (_digest(token),))  # noqa: S608 - our own two names.

    def answer(self, who: str, idempotency_key: str) -> tuple[str, int, str] | None:
        """Return what was asked under this key, and the status and body of the answer."""
        rows = self._run(
            "SELECT asked, status, body FROM answers WHERE who = ? AND idempotency_key = ?", (who, idempotency_key)
        )
        return (rows[0][0], rows[0][1], rows[0][2]) if rows else None

    def keep_answer(
        self, who: str, idempotency_key: str, *, asked: str, status: int, body: str, now_ms: int, forget_before_ms: int
    ) -> None:
        self._run("DELETE FROM answers WHERE at_ms < ?", (forget_before_ms,))
        row = (who, idempotency_key, asked, status, body, now_ms)
        self._run("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", row)

    def _matches(self, kept: str, secret: str) -> bool:
        try:
            return self._hasher.verify(kept, secret)
        except (Argon2Error, InvalidHashError):
            return False

    def _run(self, statement: str, values: tuple[object, ...] = ()) -> list[Any]:
        with self._lock:
            return self._database.execute(statement, values).fetchall()


def _digest(token: str) -> str:
    # 256 random bits need no slow hash.
    return hashlib.sha256(token.encode()).hexdigest()
