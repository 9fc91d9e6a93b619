"""The spool: everything that should be sent is in it first, and leaves it when the broker has it.

It keeps five rules:

* what `write` returned from is on disk, whole: records, their numbers, and the state that goes with them;
* acknowledged records are deleted, others are not, so a record goes out at least once;
* acks and audit entries keep their order; of the others, the live ones go first, the backlog beside them;
* a full spool gives up what matters least, oldest first, and counts it: samples, heartbeats, windows, and acks last;
* a damaged file is set aside and a new one begun, under a new boot_id.
"""

import contextlib
import json
import logging
import sqlite3
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Self

from edge_gateway.config import SpoolConfig
from edge_gateway.database import (
    Spare,
    copied_out,
    is_damage,
    is_in_place,
    is_no_room,
    open_database,
    set_aside,
)
from edge_gateway.errors import SpoolError
from schemas.canonical import canonical_json
from schemas.catalogue import topic_named
from schemas.codec import codec_of

__all__ = ["Depth", "Lane", "Spool", "Spooled", "Write", "look_into"]

_log = logging.getLogger(__name__)

# What a row costs beside its body, roughly: key, topic, index.
_ROW_BYTES = 120
# Writes that are held in memory while the disk takes none.
_MAX_HELD = 1_000
# A dropped record makes room for this share of the spool at once, so that a full spool is not emptied one by one.
_ROOM = 0.05


class Lane(IntEnum):
    """What a record is to the fleet; the lowest goes first and is given up last."""

    CONTROL = 0
    WINDOWS = 1
    HEARTBEATS = 2
    SAMPLES = 3


@dataclass(frozen=True, slots=True)
class Spooled:
    """A record that waits; the schema is the one that its body was written with."""

    id: int
    lane: Lane
    topic: str
    key: str
    schema: int
    made_ms: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Depth:
    """How full the spool is; `dropped` counts records given up since the device was enrolled."""

    records: int
    bytes: int
    dropped: int
    oldest_ms: int | None
    held: int


class Write:
    """What one transaction puts on disk; valid within it only."""

    def __init__(self, spool: "Spool", connection: sqlite3.Connection) -> None:
        self._spool = spool
        self._connection = connection
        self.records = 0
        self.bytes = 0

    def next_number(self, counter: str) -> int:
        """Count up; the first number is 0."""
        query = "INSERT INTO counters VALUES (?, 0) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value"
        return int(self._connection.execute(query, (counter,)).fetchone()[0])

    def put(self, lane: Lane, topic: str, record: Any, now_ms: int) -> None:
        declared = topic_named(topic)
        codec = codec_of(declared.record)
        body = codec.encode(record)
        row = (lane, topic, declared.key_of(record), self._spool.schema_number(topic), now_ms, body)
        self._connection.execute(
            "INSERT INTO records (lane, topic, key, schema, made_ms, body) VALUES (?, ?, ?, ?, ?, ?)", row
        )
        self.records += 1
        self.bytes += len(body) + _ROW_BYTES

    def keep(self, name: str, value: bytes) -> None:
        """Remember something in the same breath, such as the windows that are still open."""
        self._connection.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (name, value))


class Spool:
    """See the module. One spool serves one gateway; its methods may be called from any thread."""

    def __init__(self, path: Path, config: SpoolConfig, *, now_ms: int) -> None:
        self.path = path
        self.config = config
        self.set_aside: list[Path] = []
        self._lock = threading.RLock()
        self._held: deque[Callable[[Write], None]] = deque()
        self._lost = 0
        self._without_room = False
        self._spare = Spare(path)
        self._now_ms = now_ms
        self._connection = self._opened()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def boot_id(self) -> str:
        """Names the life of all counters; it lasts as long as the file."""
        return self._boot_id

    def write(self, build: Callable[[Write], None], *, now_ms: int) -> bool:
        """Put on disk what `build` writes, all or nothing; True: it is there.

        `build` may be called more than once. While the disk is full it waits in memory, in order (False), and what
        no longer fits there is counted as dropped.
        """
        self.hold(build)
        return self.write_held(now_ms=now_ms)

    def hold(self, build: Callable[[Write], None]) -> None:
        """Let a write wait its turn in memory, for the next `write` or `write_held`; this itself never waits."""
        self._held.append(build)

    def write_held(self, *, now_ms: int) -> bool:
        """Put on disk what waits in memory; False: the disk takes nothing now."""
        with self._lock:
            self._now_ms = now_ms
            while self._held:
                try:
                    written = self._written(self._held[0])
                except BaseException:
                    self._held.popleft()
                    raise
                if not written:
                    while len(self._held) > _MAX_HELD:
                        self._give_up_held()
                    return False
                self._held.popleft()
            return True

    def kept(self, name: str) -> bytes | None:
        """Return what was kept under this name."""
        with self._lock:
            row = self._connection.execute("SELECT value FROM kept WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def newest_id(self) -> int:
        with self._lock:
            return int(self._connection.execute("SELECT ifnull(max(id), 0) FROM records").fetchone()[0])

    def live(self, after_id: int, limit: int) -> list[Spooled]:
        """Return what goes first: all of the control lane, then what came after `after_id`."""
        chosen = self._select("lane = 0", (), limit)
        if len(chosen) < limit:
            chosen += self._select("id > ? AND lane > 0", (after_id,), limit - len(chosen), order="id")
        return chosen

    def backlog(self, up_to_id: int, limit: int) -> list[Spooled]:
        """Return what waited longest, what matters most first."""
        return self._select("id <= ? AND lane > 0", (up_to_id,), limit)

    def schema(self, number: int) -> str:
        """Return the definition, JSON, of the schema that bodies with this number were written with."""
        with self._lock:
            return str(self._connection.execute("SELECT definition FROM schemas WHERE id = ?", (number,)).fetchone()[0])

    def schema_number(self, topic: str) -> int:
        """Return the number of the schema that today's bodies of a topic are written with."""
        number = self._schemas.get(topic)
        if number is None:
            definition = canonical_json(codec_of(topic_named(topic).record).schema).decode()
            with self._lock:
                known = "SELECT id FROM schemas WHERE topic = ? AND definition = ?"
                row = self._connection.execute(known, (topic, definition)).fetchone()
                if row is None:
                    insert = "INSERT INTO schemas (topic, definition) VALUES (?, ?) RETURNING id"
                    row = self._connection.execute(insert, (topic, definition)).fetchone()
                    # Written within a transaction that may yet be undone: look again next time.
                    return int(row[0])
            number = self._schemas[topic] = int(row[0])
        return number

    def delete(self, records: Iterable[Spooled]) -> None:
        """Forget records that the broker has."""
        gone = list(records)
        with self._lock:
            try:
                # Whatever a power cut brings back goes out once more, which is harmless; so this waits for no disk.
                with self._unhurried():
                    self._delete([record.id for record in gone])
            except sqlite3.DatabaseError as error:
                self._survive(error)

    def give_up(self, records: Iterable[Spooled], why: str) -> None:
        """Drop records that no broker will ever take, and count them."""
        gone = list(records)
        with self._lock:
            for record in gone:
                _log.error(
                    "record dropped: topic=%s key=%s bytes=%d why=%s", record.topic, record.key, len(record.body), why
                )
            self._drop([record.id for record in gone])

    def expire(self, now_ms: int) -> int:
        """Drop what is older than the declared age; return how many that were. To be called now and then."""
        with self._lock:
            self._now_ms = now_ms
            self._return_to_its_place()
            self._spare.lay_by()
            oldest_ms = now_ms - int(self.config.max_age_s * 1000)
            rows = self._connection.execute("SELECT id FROM records WHERE made_ms < ?", (oldest_ms,)).fetchall()
            if rows:
                _log.warning("backlog expired: records=%d older-than-s=%g", len(rows), self.config.max_age_s)
                self._drop([row[0] for row in rows])
        return len(rows)

    def depth(self) -> Depth:
        with self._lock:
            oldest = self._connection.execute("SELECT made_ms FROM records ORDER BY id LIMIT 1").fetchone()
            dropped = self._counter("dropped") + self._lost
            return Depth(self._records, self._bytes, dropped, None if oldest is None else oldest[0], len(self._held))

    def close(self) -> None:
        with self._lock:
            self._return_to_its_place()
            self._connection.close()

    def _return_to_its_place(self) -> None:
        """Write the file anew if somebody moved, deleted or overwrote it: what is in it is still known here."""
        if is_in_place(self.path, self._file):
            return
        try:
            copy = copied_out(self._connection, self.path)
        except sqlite3.DatabaseError as error:
            if is_no_room(error):
                # It works on where it is; the next look may find room.
                return
            _log.error("spool overwritten: file=%s error=%s; what waited in it is lost", self.path, error)
            copy = None
        # Closed first: SQLite removes by name what it keeps beside a file.
        self._connection.close()
        self.set_aside.append(set_aside(self.path, self._now_ms))
        if copy is not None:
            copy.replace(self.path)
        self._connection = self._opened()
        _log.error("spool was taken away and is back: file=%s records=%d", self.path, self._records)

    def _opened(self) -> sqlite3.Connection:
        durable = self.config.survive_power_cut
        try:
            connection = open_database(self.path, durable=durable, spare=self._spare)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            self.set_aside.append(set_aside(self.path, self._now_ms))
            connection = open_database(self.path, durable=durable)
        self._schemas: dict[str, int] = {}
        row = connection.execute("SELECT value FROM kept WHERE name = 'boot_id'").fetchone()
        self._boot_id = bytes(row[0]).decode() if row else str(uuid.uuid4())
        if row is None:
            connection.execute("INSERT INTO kept VALUES ('boot_id', ?)", (self._boot_id.encode(),))
        sums = "SELECT count(*), ifnull(sum(length(body)), 0) FROM records"
        self._records, self._bytes = connection.execute(sums).fetchone()
        self._bytes += self._records * _ROW_BYTES
        self._file = self.path.stat()
        return connection

    def _written(self, build: Callable[[Write], None]) -> bool:
        for _ in range(4):
            try:
                self._transact(build)
            except sqlite3.DatabaseError as error:
                if not self._survive(error):
                    return False
            else:
                if self._without_room:
                    _log.info("room for the spool again: file=%s", self.path)
                    self._without_room = False
                self._keep_bounds()
                return True
        return False

    def _transact(self, build: Callable[[Write], None]) -> None:
        write = Write(self, self._connection)
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            build(write)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._records += write.records
        self._bytes += write.bytes

    def _survive(self, error: sqlite3.DatabaseError) -> bool:
        """Mend what stands in the way of a write; False: nothing can be done now, so wait."""
        if is_damage(error):
            self._connection.close()
            self.set_aside.append(set_aside(self.path, self._now_ms))
            self._connection = self._opened()
            return True
        if not is_no_room(error):
            raise error
        if not self._without_room:
            _log.warning("no room for the spool: file=%s error=%s; make room on the disk", self.path, error)
            self._without_room = True
        try:
            if self._shrunk():
                return True
            return self._make_room(max(int(self._bytes * _ROOM), 1)) > 0
        except sqlite3.DatabaseError:
            # Deleting needs room as well.
            return False

    def _shrunk(self) -> bool:
        """Give back the room of the write-ahead log; True if that was any."""
        log = self.path.with_name(f"{self.path.name}-wal")
        before = log.stat().st_size if log.exists() else 0
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return before > 0 and (not log.exists() or log.stat().st_size < before)

    @contextlib.contextmanager
    def _unhurried(self) -> Iterator[None]:
        """Let commits reach the disk with the next one that must."""
        if not self.config.survive_power_cut:
            yield
            return
        self._connection.execute("PRAGMA synchronous=NORMAL")
        try:
            yield
        finally:
            self._connection.execute("PRAGMA synchronous=FULL")

    def _keep_bounds(self) -> None:
        if self._bytes > self.config.max_bytes:
            self._make_room(self._bytes - self.config.max_bytes + int(self.config.max_bytes * _ROOM))

    def _make_room(self, wanted_bytes: int) -> int:
        victims: list[int] = []
        freed = 0
        query = "SELECT id, length(body) FROM records ORDER BY lane DESC, id"
        for row_id, size in self._connection.execute(query):
            if freed >= wanted_bytes:
                break
            victims.append(row_id)
            freed += size + _ROW_BYTES
        if victims:
            _log.warning("spool full: dropped=%d bytes=%d", len(victims), freed)
            self._drop(victims)
        return len(victims)

    def _drop(self, ids: Sequence[int]) -> None:
        self._delete(ids, count_as="dropped")

    def _delete(self, ids: Sequence[int], count_as: str = "") -> None:
        if not ids:
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            query = "DELETE FROM records WHERE id IN (SELECT value FROM json_each(?)) RETURNING length(body)"
            sizes = [row[0] for row in self._connection.execute(query, (json.dumps(ids),))]
            if count_as and sizes:
                add = "INSERT INTO counters VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = value + ?2"
                self._connection.execute(add, (count_as, len(sizes)))
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._records -= len(sizes)
        self._bytes -= sum(sizes) + len(sizes) * _ROW_BYTES
        self._connection.execute("PRAGMA incremental_vacuum(256)")

    def _give_up_held(self) -> None:
        # It may be the window of one that had written nothing yet; a transaction counts as one record.
        self._held.popleft()
        self._lost += 1
        _log.error("no room on disk nor in memory: file=%s dropped=1 total=%d", self.path, self._lost)

    def _counter(self, name: str) -> int:
        row = self._connection.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()
        return 0 if row is None else int(row[0])

    def _select(self, where: str, values: Sequence[Any], limit: int, order: str = "lane, id") -> list[Spooled]:
        query = (
            f"SELECT id, lane, topic, key, schema, made_ms, body FROM records WHERE {where} ORDER BY {order} LIMIT ?"  # noqa: S608
        )
        with self._lock:
            try:
                rows = self._connection.execute(query, (*values, limit)).fetchall()
            except sqlite3.DatabaseError as error:
                self._survive(error)
                return []
        return [Spooled(row[0], Lane(row[1]), *row[2:]) for row in rows]


def look_into(path: Path) -> tuple[Depth, dict[str, int]]:
    """Return how full a spool is, and how many records wait for each topic, without disturbing who works on it."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            sums = "SELECT count(*), ifnull(sum(length(body)), 0), min(made_ms) FROM records"
            records, size, oldest_ms = connection.execute(sums).fetchone()
            dropped = connection.execute("SELECT value FROM counters WHERE name = 'dropped'").fetchone()
            by_topic = dict(connection.execute("SELECT topic, count(*) FROM records GROUP BY topic ORDER BY topic"))
    except sqlite3.Error as error:
        raise SpoolError(f"{path}: {error}", hint="a gateway makes its spool at its first start") from error
    return Depth(records, size + records * _ROW_BYTES, dropped[0] if dropped else 0, oldest_ms, 0), by_topic
