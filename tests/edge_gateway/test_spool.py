"""The spool's rules, on real files: whole or not at all, in order, bounded, and never silently."""

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from edge_gateway.config import SpoolConfig
from edge_gateway.errors import ConfigError, SpoolError
from edge_gateway.spool import Lane, Spool
from schemas.operators import AuditEntry
from schemas.rollouts import Ack, AckPhase

MB = 1024**2


def entry(number: int, *, size: int = 10) -> AuditEntry:
    return AuditEntry(subject="device/d", action="tried", who="test", why="x" * size, at_ms=number)


def put(spool: Spool, number: int, *, lane: Lane = Lane.WINDOWS, now_ms: int = 0, size: int = 10) -> bool:
    return spool.write(lambda write: write.put(lane, "audit.log", entry(number, size=size), now_ms), now_ms=now_ms)


def opened(folder: Path, **config) -> Spool:
    return Spool(folder / "spool.db", SpoolConfig(**config), now_ms=0)


@pytest.fixture
def spool(tmp_path):
    with opened(tmp_path) as spool:
        yield spool


def test_what_was_written_is_there_after_a_restart(tmp_path):
    with opened(tmp_path) as spool:
        put(spool, 1)
        spool.write(lambda write: write.keep("windows", b"open"), now_ms=0)
        boot_id = spool.boot_id

    with opened(tmp_path) as again:
        assert len(again.live(0, 10)) == 1
        assert again.kept("windows") == b"open"
        assert again.boot_id == boot_id


def test_a_write_that_fails_leaves_nothing_and_does_not_stand_in_the_way(spool):
    def broken(write):
        write.put(Lane.WINDOWS, "audit.log", entry(1), 0)
        write.next_number("windows")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        spool.write(broken, now_ms=0)

    numbers = []
    spool.write(lambda write: numbers.append(write.next_number("windows")), now_ms=0)
    assert numbers == [0]
    assert spool.depth().records == 0


def test_live_goes_before_backlog_and_control_before_all(spool):
    for number, lane in enumerate([Lane.SAMPLES, Lane.WINDOWS, Lane.CONTROL, Lane.HEARTBEATS]):
        put(spool, number, lane=lane)
    outage_ends = spool.newest_id()
    put(spool, 9, lane=Lane.WINDOWS)

    live, backlog = spool.live(outage_ends, 10), spool.backlog(outage_ends, 10)

    assert [each.lane for each in live] == [Lane.CONTROL, Lane.WINDOWS]
    assert [each.lane for each in backlog] == [Lane.WINDOWS, Lane.HEARTBEATS, Lane.SAMPLES]


def test_acknowledged_records_are_deleted_and_others_stay(spool):
    for number in range(5):
        put(spool, number)
    waiting = spool.live(0, 10)

    spool.delete(waiting[:3])

    assert [each.id for each in spool.live(0, 10)] == [each.id for each in waiting[3:]]
    assert spool.depth().records == 2
    assert spool.depth().bytes == sum(len(each.body) + 120 for each in waiting[3:])


def test_a_full_spool_gives_up_the_least_important_oldest_first_and_counts_it(tmp_path):
    with opened(tmp_path, max_bytes=MB) as spool:
        for number in range(150):
            put(spool, number, lane=[Lane.SAMPLES, Lane.WINDOWS, Lane.CONTROL][number % 3], size=10_000)

        depth = spool.depth()
        lanes = [each.lane for each in spool.live(0, 1000)]

        assert depth.bytes <= MB
        assert depth.dropped == 150 - depth.records
        assert lanes.count(Lane.CONTROL) == 50
        assert lanes.count(Lane.SAMPLES) < 5


def test_what_is_too_old_is_dropped_and_counted(tmp_path):
    with opened(tmp_path, max_age_s=100) as spool:
        put(spool, 1, now_ms=0)
        put(spool, 2, now_ms=90_000)

        gone = spool.expire(now_ms=101_000)

        assert (gone, spool.depth().records, spool.depth().dropped) == (1, 1, 1)


def test_a_damaged_file_is_set_aside_and_a_new_life_begins(tmp_path):
    with opened(tmp_path) as spool:
        for number in range(50):
            put(spool, number, size=500)
        boot_id = spool.boot_id
    file = tmp_path / "spool.db"
    content = bytearray(file.read_bytes())
    content[4096:12_288] = os.urandom(8192)
    file.write_bytes(content)

    with opened(tmp_path) as again:
        put(again, 1)

        assert again.boot_id != boot_id
        assert [each.name for each in again.set_aside] == ["spool.db.damaged-0"]
        assert again.depth().records == 1


def test_damage_while_running_costs_what_was_damaged_and_nothing_else(tmp_path):
    with opened(tmp_path) as spool:
        for number in range(50):
            put(spool, number, size=500)
        other = sqlite3.connect(tmp_path / "spool.db")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        other.close()
        file = tmp_path / "spool.db"
        content = bytearray(file.read_bytes())
        content[8192:] = os.urandom(len(content) - 8192)
        with file.open("r+b") as handle:
            handle.write(content)
        spool._connection.execute("PRAGMA shrink_memory")

        assert put(spool, 99)

        assert len(spool.set_aside) == 1
        assert spool.depth().records == 1


@pytest.mark.parametrize("how", ["deleted", "moved away", "another in its place", "another database in its place"])
@pytest.mark.parametrize("noticed", ["in passing", "at the end"])
def test_a_file_that_was_taken_away_under_a_running_gateway_is_written_anew(tmp_path, how, noticed):
    path = tmp_path / "spool.db"
    spool = Spool(path, SpoolConfig(), now_ms=0)
    put(spool, 3)
    take_away(path, how)
    put(spool, 2)

    if noticed == "in passing":
        spool.expire(0)
        put(spool, 1)
    boot_id = spool.boot_id
    spool.close()

    with Spool(path, SpoolConfig(), now_ms=0) as found:
        assert found.depth().records == (3 if noticed == "in passing" else 2)
        assert found.boot_id == boot_id


def test_a_file_that_was_overwritten_under_a_running_gateway_costs_no_more_than_its_content(tmp_path, caplog):
    path = tmp_path / "spool.db"
    spool = Spool(path, SpoolConfig(), now_ms=0)
    put(spool, 3)
    path.write_bytes(b"garbage" * 10_000)

    spool.expire(0)
    put(spool, 2)
    spool.close()

    with Spool(path, SpoolConfig(), now_ms=0) as found:
        assert found.depth().records in (1, 2)
    assert "spool was taken away and is back" in caplog.text


def take_away(path, how):
    match how:
        case "deleted":
            for each in path.parent.glob("spool.db*"):
                each.unlink()
        case "moved away":
            path.replace(path.with_name("elsewhere"))
        case "another in its place":
            path.with_name("garbage").write_bytes(b"garbage" * 10_000)
            path.with_name("garbage").replace(path)
        case _:
            sqlite3.connect(path.with_name("other")).execute("CREATE TABLE t (x)")
            path.with_name("other").replace(path)


def test_only_two_damaged_files_are_kept(tmp_path):
    for life in range(4):
        (tmp_path / "spool.db").write_bytes(b"this is no database" * 1000)
        Spool(tmp_path / "spool.db", SpoolConfig(), now_ms=life).close()

    assert sorted(path.name for path in tmp_path.glob("*.damaged-*")) == ["spool.db.damaged-2", "spool.db.damaged-3"]


def test_a_file_of_a_newer_gateway_is_not_touched(tmp_path):
    opened(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "spool.db")
    connection.execute("PRAGMA user_version=99")
    connection.close()

    with pytest.raises(SpoolError, match="is of layout 99, this version reads 1"):
        opened(tmp_path)


def test_a_full_disk_costs_the_least_important_first_and_is_counted(tmp_path):
    with opened(tmp_path) as spool:
        spool._connection.execute("PRAGMA max_page_count=100")
        for number in range(200):
            put(spool, number, lane=[Lane.SAMPLES, Lane.WINDOWS][number % 2], size=4_000)

        depth = spool.depth()
        newest = spool.live(spool.newest_id() - 1, 1)

        assert depth.dropped + depth.records + depth.held == 200
        assert depth.dropped > 100
        assert newest[0].body.count(b"x") == 4_000


def test_a_disk_without_any_room_is_waited_out_in_memory(tmp_path):
    """A real file system of 2 MB, filled to the brim by somebody else, then freed."""
    script = Path(__file__).with_name("full_disk.py")
    run = subprocess.run(
        ["unshare", "--mount", sys.executable, script, tmp_path], capture_output=True, text=True, check=False
    )
    if run.returncode == 77 or "unshare" in run.stderr:
        pytest.skip(f"no file system can be mounted here: {run.stderr.strip()}")

    assert run.returncode == 0, run.stderr
    written, another, after = run.stdout.splitlines()
    assert written == "written: False, held: 20"
    assert re.fullmatch(r"another: \S+/another.db cannot be opened: .*; make room on the disk", another)
    assert after == "after: written: True, records: 21, held: 0, dropped: 0"


@pytest.mark.parametrize("config", [{"max_bytes": 1}, {"max_age_s": 0}, {"batch": 0}, {"backlog_per_s": -1}])
def test_a_setting_that_cannot_work_is_named(config):
    with pytest.raises(ConfigError, match=rf"spool\.{next(iter(config))} is "):
        SpoolConfig(**config)


def test_bodies_remember_the_schema_they_were_written_with(spool):
    ack = Ack(
        device_id="d",
        revision=1,
        rollout_id="r",
        phase=AckPhase.RECEIVED,
        model_id="",
        reason="",
        at_ms=0,
        boot_id=spool.boot_id,
        seq=0,
    )
    put(spool, 1)
    spool.write(lambda write: write.put(Lane.CONTROL, "rollouts.acks", ack, 0), now_ms=0)

    definitions = {each.topic: spool.schema(each.schema) for each in spool.live(0, 10)}

    assert '"driftline.rollouts.Ack"' in definitions["rollouts.acks"]
    assert '"driftline.audit.AuditEntry"' in definitions["audit.log"]
