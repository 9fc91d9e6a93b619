"""History in files: what was written is read again, and damage stays where it is."""

import os
import time
from dataclasses import replace

import numpy as np
import pytest
import record_strategies
from drift_fleet import MINUTE_MS, START_MS, Fleet
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.catalogue import CATALOGUE, topic_named
from schemas.columns import GridShape
from schemas.errors import DriftlineError
from schemas.record import as_plain
from streams.backtest.errors import HistoryError
from streams.backtest.history import Entry, FileHistory
from streams.backtest.history.avro_file import AvroWriter
from streams.backtest.history.entry import made
from streams.backtest.history.parquet_file import ParquetWriter
from streams.backtest.keeping import Kept
from streams.backtest.span import EVER, Span

STATS = topic_named("telemetry.feature-stats")
WRITERS = {".avro": AvroWriter, ".parquet": ParquetWriter}
KINDS = pytest.mark.parametrize("suffix", WRITERS)
SHAPE = GridShape(3, 8)


def entries(count=300, partitions=3):
    fleet = Fleet(samples=60)
    return [
        Entry(
            partition=minute % partitions,
            offset=minute // partitions,
            at_ms=START_MS + minute * MINUTE_MS,
            key=f"d-{minute % partitions}".encode(),
            plain=as_plain(fleet.window(f"d-{minute % partitions}", minute)),
            headers={"ce_id": b"7"},
        )
        for minute in range(count)
    ]


def written(folder, suffix, told, *, per_block=50, topic=STATS):
    path = folder / f"stats{suffix}"
    with WRITERS[suffix](path, topic) as writer:
        for partition in sorted({entry.partition for entry in told}):
            mine = [entry for entry in told if entry.partition == partition]
            for first in range(0, len(mine), per_block):
                writer.write(mine[first : first + per_block])
    return path


def read(history, topic="telemetry.feature-stats", span=EVER):
    return [entry for share in history.shares(topic, span) for some in history.entries(share) for entry in some]


def by_place(told):
    return sorted(told, key=lambda entry: (entry.partition, entry.offset))


@KINDS
def test_what_was_written_is_read_again(tmp_path, suffix):
    told = entries()

    history = FileHistory(written(tmp_path, suffix, told))

    assert read(history) == by_place(told)
    assert (history.topics(), history.troubles) == (["telemetry.feature-stats"], [])


@KINDS
@pytest.mark.parametrize("topic", sorted(CATALOGUE))
@settings(max_examples=5)
@given(data=st.data())
def test_any_record_of_any_topic_survives(tmp_path_factory, suffix, topic, data):
    records = data.draw(st.lists(record_strategies.records(CATALOGUE[topic].record), min_size=1, max_size=3))
    told = [Entry(0, place, 5, b"k", as_plain(record)) for place, record in enumerate(records)]
    told.append(Entry(0, len(records), 5, b"k", None))

    history = FileHistory(written(tmp_path_factory.mktemp("h"), suffix, told, topic=CATALOGUE[topic]))

    found = [made(CATALOGUE[topic], entry) for entry in read(history, topic)]
    assert repr(found) == repr([*records, None])


@KINDS
def test_a_span_is_cut_out_by_broker_time(tmp_path, suffix):
    told = entries()
    span = Span(START_MS + 60 * MINUTE_MS, START_MS + 90 * MINUTE_MS)

    found = read(FileHistory(written(tmp_path, suffix, told, per_block=7)), span=span)

    assert found == by_place(entry for entry in told if entry.at_ms in span)
    assert len(found) == 30


@KINDS
def test_columns_hold_what_records_say(tmp_path, suffix):
    told = entries(30)
    history = FileHistory(written(tmp_path, suffix, told))

    for share in history.shares("telemetry.feature-stats", EVER):
        mine = [entry for entry in by_place(told) if entry.partition == share.partition]
        (batch,) = history.stats(share, lambda _: SHAPE)
        (run,) = batch.sorted.runs
        assert batch.offsets.tolist() == [entry.offset for entry in mine]
        assert run.device_id == [entry.plain["device_id"] for entry in mine]
        assert run.columns.counts.tobytes() == b"".join(entry.plain["counts"] for entry in mine)
        assert run.columns.mean.tobytes() == b"".join(entry.plain["mean"] for entry in mine)
        assert np.array_equal(run.seq, [entry.plain["seq"] for entry in mine])


@KINDS
def test_windows_that_make_no_sense_are_set_aside_alone(tmp_path, suffix):
    told = entries(30, partitions=1)
    told[4].plain["counts"] = told[4].plain["counts"][:-4]
    told[9].plain["samples"] = 1
    told[11].plain["grid_id"] = "another"

    (share,) = (history := FileHistory(written(tmp_path, suffix, told))).shares("telemetry.feature-stats", EVER)
    (batch,) = history.stats(share, lambda grid: None if grid == "another" else SHAPE)

    assert sorted(one.position for one in batch.sorted.bad) == [4, 9]
    assert batch.sorted.unknown_grids == {"another": [11]}
    assert len(batch.sorted.runs[0].positions) == 27


@KINDS
def test_a_damaged_block_is_left_out_named_and_alone(tmp_path, suffix):
    path = written(tmp_path, suffix, entries(), per_block=20)
    damage(path, at=0.5)

    history = FileHistory(path)
    found = read(history)
    columns = [len(batch.offsets) for share in history.shares("telemetry.feature-stats", EVER)
               for batch in history.stats(share, lambda _: SHAPE)]  # fmt: skip

    assert 200 <= len(found) < 300
    # Parquet's columns are damaged one by one, and judging does not read all of them.
    assert len(found) <= sum(columns) <= 300
    assert any("stats" in trouble and "its bytes are damaged" in trouble for trouble in history.troubles)


@KINDS
@settings(max_examples=60)
@given(at=st.floats(0.0, 0.999), byte=st.integers(1, 255))
def test_no_damaged_byte_breaks_the_reader(tmp_path_factory, suffix, at, byte):
    path = written(tmp_path_factory.mktemp("h"), suffix, entries(60), per_block=10)
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] ^= byte
    path.write_bytes(data)

    try:
        history = FileHistory(path)
        found = read(history, *history.topics())
    except DriftlineError:
        return
    assert len(found) <= 60


def damage(path, *, at):
    data = bytearray(path.read_bytes())
    place = int(at * len(data))
    data[place : place + 8] = bytes(8)
    path.write_bytes(data)


def test_a_folder_is_read_as_one_history_and_repeats_count_once(tmp_path):
    told = entries()
    written(tmp_path, ".avro", told[:200])
    written(tmp_path, ".parquet", told[100:])
    (tmp_path / "notes.txt").write_text("not ours")

    assert read(FileHistory(tmp_path)) == by_place(told)


def test_a_file_that_is_none_is_left_out_of_a_folder_and_named(tmp_path):
    written(tmp_path, ".avro", entries(10))
    (tmp_path / "strange.parquet").write_bytes(b"PAR1 but not really")

    history = FileHistory(tmp_path)

    assert len(read(history)) == 10
    assert history.troubles[0].startswith("file left out: strange.parquet: found")


def test_a_file_of_an_earlier_version_is_read_with_todays_defaults(tmp_path):
    told = entries(5, partitions=1)
    import pyarrow.parquet as pq

    path = written(tmp_path, ".parquet", told)
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["windows", "arrival_hour_ms"]), path)

    assert read(FileHistory(path)) == [replace(entry, headers={"ce_id": b"7"}) for entry in told]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "found .csv, wanted .avro or .parquet"),
        ("a.avro", b"", "wanted a file that `driftline export` has written"),
        ("a.avro", b"Obj\x01\x00" + bytes(16), "wanted a file that `driftline export` has written"),
        ("a.parquet", b"PAR1", "wanted a Parquet file"),
    ],
)
def test_what_is_no_history_is_said_to_be_none(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(HistoryError, match="a\\.") as refused:
        FileHistory(tmp_path / name)

    assert message in str(refused.value)


def test_an_empty_folder_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(HistoryError, match=r"found neither|found no \.avro"):
        FileHistory(tmp_path)
    with pytest.raises(HistoryError, match="found nothing there"):
        FileHistory(tmp_path / "gone.avro")


@KINDS
def test_a_file_of_a_later_edition_is_refused(tmp_path, suffix, monkeypatch):
    for module in ("arrow", "avro_file"):
        monkeypatch.setattr(f"streams.backtest.history.{module}.FORMAT", "2")
    path = written(tmp_path, suffix, entries(5))

    with pytest.raises(HistoryError, match=r"stats\..*: found format 2, wanted 1"):
        FileHistory(path)


def test_what_nobody_came_back_for_is_removed(tmp_path):
    (old := tmp_path / "old.json.gz").write_bytes(b"")
    (new := tmp_path / "new.json.gz").write_bytes(b"")
    os.utime(old, (0, 0))

    Kept(tmp_path, tmp_path / "passing").tidy(time.time())

    assert not old.exists()
    assert new.exists()
