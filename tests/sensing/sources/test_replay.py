import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from sensing.errors import ReadingError, SensingError
from sensing.sources import ReplaySource, parse_reading

CHANNELS = ("temperature", "wind")
HEAD = "at_ms,temperature,wind\n"


def played(path, text=None, **options):
    if text is not None:
        path.write_text(text)
    source = ReplaySource(path, CHANNELS, speed=0, **options)
    found = []
    while not source.done:
        found += source.poll(0.01)
    return source, found


def test_a_csv_file_is_played_in_order(tmp_path):
    _, found = played(tmp_path / "a.csv", HEAD + "1000,20.5,3\n2000,21,\n")

    assert found[0].at_ms.tolist() == [1000, 2000]
    np.testing.assert_array_equal(found[0].values, [[20.5, 3], [21, np.nan]])


def test_rows_that_cannot_be_used_are_counted_and_the_others_go_on(tmp_path):
    text = HEAD + "1000,20,3\nsoon,20,3\n3000,warm,3\n4000,20\n\n5000,nan,inf\n6000,1,2,3,4\n7000,\0,1\n8000,9,9\n"

    source, found = played(tmp_path / "a.csv", text)

    assert found[0].at_ms.tolist() == [1000, 4000, 5000, 6000, 8000]
    assert source.refused == 3


def test_what_a_spreadsheet_wrote_is_read_as_it_was_meant(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(
        "timestamp;wind; temperature;°\n2026-01-05 00:00:00;2,6;-1,5;a\n2026-01-05T00:01;n/a;?;\n".encode("cp1252")
    )

    source, found = played(path)

    assert found[0].at_ms.tolist() == [1_767_571_200_000, 1_767_571_260_000]
    np.testing.assert_array_equal(found[0].values, [[-1.5, 2.6], [np.nan, np.nan]])
    assert source.refused == 0


def test_random_bytes_are_no_reason_to_stop(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(HEAD.encode() + np.random.default_rng(1).bytes(5000) + b"\n9000,1,2\n")

    source, found = played(path)

    assert found[-1].at_ms.tolist()[-1] == 9000
    assert source.refused > 0


def test_a_parquet_file_says_the_same(tmp_path):
    table = pa.table({"timestamp": ["2026-01-05T00:00:00Z", "bad"], "temperature": [1.5, 2.0], "wind": [None, 1.0]})
    parquet.write_table(table, tmp_path / "a.parquet")

    source, found = played(tmp_path / "a.parquet")

    assert found[0].at_ms.tolist() == [1_767_571_200_000]
    assert source.refused == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.csv", None, "No such file"),
        ("a.csv", b"at_ms,temperature\n1,2\n", "has columns at_ms, temperature; missing: wind"),
        ("a.csv", b"", r"has columns \(none\)"),
        ("a.parquet", b"PAR1 cut off", "is no Parquet file"),
    ],
)
def test_a_file_that_is_no_table_stops_at_once(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(SensingError, match=said):
        ReplaySource(tmp_path / name, CHANNELS)


def test_stretched_time_is_kept(tmp_path):
    now_s = [0.0]
    (tmp_path / "a.csv").write_text(HEAD + "0,1,1\n60000,2,2\n")
    source = ReplaySource(tmp_path / "a.csv", CHANNELS, speed=60, clock_s=lambda: now_s[0])

    first, early = source.poll(0), source.poll(0)
    now_s[0] = 1.0
    later = source.poll(0)

    assert [len(each) for each in (first, early, later)] == [1, 0, 1]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"temperature": 1}, "no time: wanted one of"),
        ({"at_ms": "noon", "temperature": 1}, "the time is 'noon'"),
        ({"at_ms": float("nan"), "temperature": 1}, "the time is nan"),
        ({"at_ms": True, "temperature": 1}, "the time is True"),
        ({"at_ms": -5, "temperature": 1}, "the time is -5"),
        ({"at_ms": 10**15, "temperature": 1}, "between 1970 and 9999"),
        ({"at_ms": 5, "pressure": 1}, "none of temperature, wind is among at_ms, pressure"),
        ({"at_ms": 5, "temperature": [1]}, r"temperature is \[1\]; wanted: a number"),
        ({"at_ms": 5, "temperature": "hot"}, "temperature is 'hot'; wanted: a number"),
        ({"at_ms": 5, "temperature": 1, "stream": "x" * 300}, "the stream's name has 300 characters"),
    ],
)
def test_a_reading_is_refused_in_words(fields, said):
    with pytest.raises(ReadingError, match=said):
        parse_reading(fields, CHANNELS)


@pytest.mark.parametrize("at", [1_767_571_200, 1_767_571_200_000, "1767571200000", "2026-01-05T00:00:00+00:00"])
def test_times_are_understood_as_people_write_them(at):
    assert parse_reading({"timestamp": at, "wind": 1}, CHANNELS)[1] == 1_767_571_200_000
