import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from sensing.errors import ReadingError, SensingError
from sensing.sources import ReplaySource, TableForm, parse_reading

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

    assert found[0].at_ms.tolist() == [1000, 4000, 5000, 8000]
    assert source.refused == 4


def test_what_a_spreadsheet_wrote_is_read_as_it_was_meant(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(
        "timestamp;wind; temperature;°\n2026-01-05 00:00:00;2,6;-1,5;a\n2026-01-05T00:01;n/a;?;\n".encode("cp1252")
    )

    source, found = played(path)

    assert found[0].at_ms.tolist() == [1_767_571_200_000, 1_767_571_260_000]
    np.testing.assert_array_equal(found[0].values, [[-1.5, 2.6], [np.nan, np.nan]])
    assert source.refused == 0


def test_a_date_and_a_time_of_day_and_units_in_the_head_are_understood(tmp_path):
    text = (
        "Date;Time;Temperature (°C);WIND [m/s];;\n"
        "10/03/2004;18.00.00;2,6;-200;;\n10/03/2004;18.00.01;-200;1360;;\n11/13/2004;0.0.0;1;1;;\n"
    )

    source, found = played(tmp_path / "a.csv", text, form=TableForm(time_format="%d/%m/%Y %H.%M.%S", missing=(-200.0,)))

    assert found[0].at_ms.tolist() == [1_078_941_600_000, 1_078_941_601_000]
    np.testing.assert_array_equal(found[0].values, [[2.6, np.nan], [np.nan, 1360]])
    assert source.refused == 1


@pytest.mark.parametrize(
    "at",
    ["1078941600", "1078941600.5", "1078941600500", "1078941600500000", "1078941600500000000", "2004-03-10 18:00:00Z"],
)
def test_whatever_unit_a_time_is_in_it_is_the_same(at):
    _, at_ms, _ = parse_reading({"timestamp": at, "wind": 1}, CHANNELS)

    assert at_ms // 1000 == 1_078_941_600


def test_a_file_of_which_no_row_can_be_used_says_what_to_do(tmp_path, caplog):
    source, found = played(tmp_path / "a.csv", "timestamp,temperature,wind\n10.03.2004 18:00,1,2\n")

    assert (found, source.refused) == ([], 1)
    assert "the time is '10.03.2004 18:00'" in caplog.text
    assert "gateway.source.time_format says how times are written, such as '%d/%m/%Y %H:%M:%S'" in caplog.text


def test_random_bytes_are_no_reason_to_stop(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(HEAD.encode() + np.random.default_rng(1).bytes(5000) + b"\n9000,1,2\n")

    source, found = played(path)

    assert found[-1].at_ms.tolist()[-1] == 9000
    assert source.refused > 0


def test_a_parquet_file_says_the_same(tmp_path):
    table = pa.table({"timestamp": ["2026-01-05T00:00:00Z", "bad"], "temperature": [1.5, 2.0], "wind": [None, 1.0]})
    parquet.write_table(table, tmp_path / "a.parquet")
    typed = table.set_column(0, "Time", pa.array([1_767_571_200_000, 1_767_571_201_000], pa.timestamp("ms")))
    parquet.write_table(typed, tmp_path / "typed.parquet")

    source, found = played(tmp_path / "a.parquet")
    _, of_moments = played(tmp_path / "typed.parquet")

    assert found[0].at_ms.tolist() == [1_767_571_200_000]
    assert source.refused == 1
    assert of_moments[0].at_ms.tolist() == [1_767_571_200_000, 1_767_571_201_000]


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
        ({"at_ms": 10**23, "temperature": 1}, "between 1970 and 9999"),
        ({"timestamp": 38056.75, "temperature": 1}, "the time is 38056.75; wanted: ISO 8601"),
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
