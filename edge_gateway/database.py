"""The gateway's one database file: opened so that it survives power cuts, and set aside when it did not survive."""

import contextlib
import logging
import os
import sqlite3
from pathlib import Path

from edge_gateway.errors import SpoolError

__all__ = ["Spare", "copied_out", "is_damage", "is_in_place", "is_no_room", "open_database", "set_aside"]

_log = logging.getLogger(__name__)

_LAYOUT = 1
_TABLES = """
CREATE TABLE records (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    lane INTEGER NOT NULL,
    topic TEXT NOT NULL,
    key TEXT NOT NULL,
    schema INTEGER NOT NULL,
    made_ms INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX records_by_lane ON records (lane, id);
CREATE TABLE schemas (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    definition TEXT NOT NULL,
    UNIQUE (topic, definition)
);
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE kept (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
"""

_HEAD = b"SQLite format 3\0"
# Damaged files that are kept for whoever wants to look; more would fill the disk of a box with bad flash.
_KEPT_ASIDE = 2


# What SQLite needs beside the file to open it, many times over.
_SPARE_BYTES = 256 * 1024


class Spare:
    """Room that is laid by while there is some, so that a gateway starts on a disk that somebody else has filled."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(f"{database.name}-spare")

    def lay_by(self) -> None:
        """Take the room, unless it is there; where there is none now, perhaps later."""
        if self._path.exists():
            return
        try:
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, _SPARE_BYTES)
        except OSError:
            self.spend()

    def spend(self) -> bool:
        """Give the room to whoever needs it now; False: there is none laid by."""
        with contextlib.suppress(OSError):
            self._path.unlink()
            return True
        return False


def open_database(path: Path, *, durable: bool = True, spare: Spare | None = None) -> sqlite3.Connection:
    """Open the file, made anew where there is none; raises `sqlite3.DatabaseError` for a damaged one.

    `SpoolError`: there is no room to begin with, the spare one included, or another version wrote it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = _opened(path, durable=durable)
    except SpoolError:
        if spare is None or not spare.spend():
            raise
        _log.warning("the disk is full: spool opened on the room that was laid by: file=%s", path)
        return _opened(path, durable=durable)
    if spare is not None:
        spare.lay_by()
    return connection


def _opened(path: Path, *, durable: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
    try:
        _prepare(connection, path, durable=durable)
    except sqlite3.OperationalError as error:
        connection.close()
        if is_no_room(error):
            raise SpoolError(f"{path} cannot be opened: {error}", hint="make room on the disk") from error
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def set_aside(path: Path, now_ms: int) -> Path:
    """Move a damaged file out of the way, with what SQLite keeps beside it."""
    aside = path.with_name(f"{path.name}.damaged-{now_ms}")
    for suffix in ("-wal", "-shm", ""):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.replace(aside.with_name(aside.name + suffix))
    old = sorted(path.parent.glob(f"{path.name}.damaged-*[0-9]"))[:-_KEPT_ASIDE]
    for each in old:
        for suffix in ("-wal", "-shm", ""):
            each.with_name(each.name + suffix).unlink(missing_ok=True)
    _log.error("spool damaged: file=%s set-aside=%s", path, aside)
    return aside


def is_in_place(path: Path, opened: os.stat_result) -> bool:
    """Say whether the file that was opened is still there, and looks like a database."""
    try:
        with path.open("rb") as file:
            found, head = os.fstat(file.fileno()), file.read(len(_HEAD))
    except FileNotFoundError:
        return False
    return os.path.samestat(found, opened) and head == _HEAD


def copied_out(connection: sqlite3.Connection, path: Path) -> Path:
    """Write all that an open connection still knows to a file beside `path`; `sqlite3.DatabaseError`: it cannot."""
    copy = path.with_name(f"{path.name}-copy")
    copy.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(copy)) as target:
        connection.backup(target)
    return copy


def is_damage(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_no_room(error: sqlite3.Error) -> bool:
    # A full disk shows as either, depending on what could not be written; so does a quota.
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def _prepare(connection: sqlite3.Connection, path: Path, *, durable: bool) -> None:
    # What is told to a broker must never be forgotten here, so each commit reaches the disk.
    synchronous = "synchronous=FULL" if durable else "synchronous=OFF"
    for pragma in ("auto_vacuum=INCREMENTAL", "journal_mode=WAL", synchronous, "journal_size_limit=4194304"):
        connection.execute(f"PRAGMA {pragma}")
    layout = connection.execute("PRAGMA user_version").fetchone()[0]
    if layout == 0:
        connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version={_LAYOUT}; COMMIT;")
    elif layout != _LAYOUT:
        raise SpoolError(
            f"{path} is of layout {layout}, this version reads {_LAYOUT}",
            hint="a newer gateway wrote it; install that version again, or move the file away",
        )
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        damage = sqlite3.DatabaseError(verdict)
        damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damage
