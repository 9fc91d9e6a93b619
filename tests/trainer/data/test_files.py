"""Files of readings or vectors, and what is said about files that are neither."""

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from sensing import pipeline_named, run_batch
from sensing.simulator import Simulated
from trainer.data.files import from_file
from trainer.errors import DatasetError

READINGS = Simulated("machine", seed=3).take(300)
MACHINE = pipeline_named("machine/1")


def readings_table(**more) -> pa.Table:
    channels = dict(zip(MACHINE.channel_names, READINGS.values.T, strict=True))
    return pa.table({"at_ms": READINGS.at_ms, **channels, **more})


def test_readings_become_the_vectors_that_a_gateway_makes(tmp_path):
    pyarrow.parquet.write_table(readings_table(), tmp_path / "r.parquet")

    dataset = from_file(tmp_path / "r.parquet", "machine/1")

    vectors = run_batch(MACHINE, READINGS.at_ms, READINGS.values)
    np.testing.assert_array_equal(dataset.matrix, vectors.matrix)
    assert not dataset.labelled.any()


def test_vectors_are_taken_as_they_are(tmp_path):
    vectors = run_batch(MACHINE, READINGS.at_ms, READINGS.values)
    features = dict(zip(MACHINE.feature_names, vectors.matrix.T, strict=True))
    pyarrow.parquet.write_table(pa.table({"at_ms": vectors.at_ms, **features}), tmp_path / "v.parquet")

    np.testing.assert_array_equal(from_file(tmp_path / "v.parquet", "machine/1").matrix, vectors.matrix)


def test_devices_and_labels_are_kept_in_csv(tmp_path):
    device = ["a"] * 150 + ["b"] * 150
    label = np.zeros(300)
    label[200] = 1
    pyarrow.csv.write_csv(readings_table(device_id=device, label=label), tmp_path / "r.csv")

    dataset = from_file(tmp_path / "r.csv", "machine/1")

    assert dataset.devices == ("a", "b")
    assert dataset.label.sum() == 1


WRITTEN = {
    "seconds": lambda at_ms: at_ms // 1000,
    "moments": lambda at_ms: at_ms.astype("datetime64[ms]"),
    "ISO": lambda at_ms: [f"{moment}Z" for moment in at_ms.astype("datetime64[ms]")],
}


@pytest.mark.parametrize(
    ("written", "ending"),
    [("seconds", "csv"), ("moments", "csv"), ("ISO", "csv"), ("seconds", "parquet"), ("moments", "parquet")],
)
def test_times_are_read_however_they_are_written(tmp_path, written, ending):
    at_ms = READINGS.at_ms // 1000 * 1000
    table = readings_table().drop_columns("at_ms").append_column("timestamp", pa.array(WRITTEN[written](at_ms)))
    if ending == "csv":
        pyarrow.csv.write_csv(table, tmp_path / "r.csv")
    else:
        pyarrow.parquet.write_table(table, tmp_path / "r.parquet")

    dataset = from_file(tmp_path / f"r.{ending}", "machine/1")

    vectors = run_batch(MACHINE, at_ms, READINGS.values)
    np.testing.assert_array_equal(dataset.at_ms, vectors.at_ms)


def test_a_spreadsheets_decimal_commas_are_read(tmp_path):
    (tmp_path / "r.csv").write_text(
        "at_ms;temperature;vibration;pressure;current\n"
        + "".join(f"{at_ms};{20 + at_ms % 7},5;0,1;n/a;3\n" for at_ms in range(0, 300_000, 1000))
    )

    dataset = from_file(tmp_path / "r.csv", "machine/1")

    assert dataset.matrix[:, MACHINE.feature_names.index("temperature")].max() == 26.5


def test_a_date_beside_a_time_and_units_in_the_head_are_understood(tmp_path):
    (tmp_path / "r.csv").write_text(
        "Date;Time;Temperature (°C);Vibration [g];Pressure;Current\n"
        + "".join(f"10/03/2004;18.{at_s // 60:02}.{at_s % 60:02};20,5;0,1;1;3\n" for at_s in range(300))
    )

    dataset = from_file(tmp_path / "r.csv", "machine/1", time_format="%d/%m/%Y %H.%M.%S")

    assert dataset.at_ms.max() == 1_078_941_899_000
    with pytest.raises(DatasetError, match=r"date time: row 1: the time is '10/03/2004 18.00.00'; wanted: ISO 8601"):
        from_file(tmp_path / "r.csv", "machine/1")


def test_rows_out_of_order_are_put_in_order(tmp_path):
    table = readings_table()
    pyarrow.parquet.write_table(table.take(np.random.default_rng(0).permutation(300)), tmp_path / "r.parquet")
    pyarrow.parquet.write_table(table, tmp_path / "s.parquet")

    shuffled, sorted_ = (from_file(tmp_path / name, "machine/1") for name in ("r.parquet", "s.parquet"))

    assert shuffled.fingerprint() == sorted_.fingerprint()


def test_a_block_of_readings_is_as_anomalous_as_its_worst(tmp_path):
    readings = Simulated("vibration", seed=3).take(4096)
    label = np.zeros(len(readings.at_ms))
    label[2000] = 1
    table = pa.table({"at_ms": readings.at_ms, "acceleration": readings.values[:, 0], "label": label})
    names = pipeline_named("vibration/1").channel_names
    pyarrow.parquet.write_table(table.rename_columns(["at_ms", *names, "label"]), tmp_path / "v.parquet")

    dataset = from_file(tmp_path / "v.parquet", "vibration/1")

    assert dataset.label.sum() == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "cannot be read, or is cut off", id="empty"),
        pytest.param("moment,temperature\n1,2\n", "moment, temperature; wanted one of times: at_ms", id="no time"),
        pytest.param("at_ms,temperature,current\n1,2,3\n", "lacks pressure, vibration; machine/1 wants", id="channels"),
        pytest.param(
            "at_ms,temperature,vibration,pressure,current\n1,hot,2,3,4\n", "temperature holds 'hot'", id="text"
        ),
        pytest.param("at_ms,temperature,vibration,pressure,current\n,1,2,3,4\n", "at_ms", id="row without time"),
        pytest.param(
            "at_ms,device_id,temperature,vibration,pressure,current\n1,,1,2,3,4\n2,,1,2,3,4\n",
            "row 1: device_id is empty; wanted a name in every row",
            id="rows without device",
        ),
        pytest.param("at_ms,temperature\n1,2,3,4\n", "cannot be read, or is cut off", id="ragged"),
    ],
)
def test_a_bad_csv_is_refused_in_words(tmp_path, text, message):
    (tmp_path / "r.csv").write_text(text)

    with pytest.raises(DatasetError, match=message):
        from_file(tmp_path / "r.csv", "machine/1")


def test_a_cut_off_parquet_is_refused_in_words(tmp_path):
    pyarrow.parquet.write_table(readings_table(), tmp_path / "r.parquet")
    content = (tmp_path / "r.parquet").read_bytes()
    (tmp_path / "r.parquet").write_bytes(content[: len(content) // 2])

    with pytest.raises(DatasetError, match="cannot be read, or is cut off"):
        from_file(tmp_path / "r.parquet", "machine/1")


def test_an_unknown_ending_is_answered_with_the_known_ones(tmp_path):
    (tmp_path / "r.xlsx").write_text("")

    with pytest.raises(DatasetError, match=r"ends in .xlsx; known: .csv, .parquet"):
        from_file(tmp_path / "r.xlsx", "machine/1")
