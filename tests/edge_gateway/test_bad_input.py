"""What goes wrong around a gateway: each is told in words, and costs nothing else."""

import errno
import hashlib
import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from edge_gateway import Running, download
from edge_gateway.spool import SpoolConfig, look_into
from sensing.sources import ReplaySource
from sensing.sources.base import Readings


def take(gateway, values, at_ms=None):
    """Give a gateway readings of a second each, a second after the last."""
    values = np.asarray(values, dtype=np.float64)
    times = gateway.now_ms + 1000 * np.arange(1, len(values) + 1) if at_ms is None else np.asarray(at_ms)
    decided = gateway.gateway.take([Readings("s", times, values)], gateway.now_ms)
    gateway.gateway.tick(gateway.now_ms)
    return decided


def goes_on(gateway):
    """Decide about the next ten readings as if nothing had been."""
    before = gateway.gateway.decided
    gateway.run(10)
    return gateway.gateway.decided - before == 10


def test_a_broken_csv_costs_its_broken_rows(tmp_path, serving, caplog):
    gateway = serving()
    channels = gateway.sensor.pipeline.channel_names
    good = ",".join(["20"] * len(channels))
    rows = ["at_ms," + ",".join(channels), f"1000,{good}", "2000,hot,20,20,20", "3000,20", "", "never," + good]
    path = tmp_path / "readings.csv"
    path.write_bytes("\n".join([*rows, f"4000,{good}", ""]).encode() + b"\xff\xfe\x00\n" + f"5000,{good}\n".encode())

    source = ReplaySource(path, channels, speed=0)
    found = []
    while not source.done:
        found += source.poll(0.0)

    times = sorted({at for each in found for at in each.at_ms.tolist()})
    assert {1000, 4000, 5000} <= set(times)
    assert source.refused >= 2
    assert goes_on(gateway)


def test_a_file_that_ends_leaves_no_window_open(tmp_path, serving):
    gateway = serving(spool=SpoolConfig(max_age_s=1e9))
    before = len(gateway.sent("telemetry.feature-stats"))
    channels = gateway.sensor.pipeline.channel_names
    start_ms = gateway.now_ms + 60_000 - gateway.now_ms % 10_000
    rows = [f"{start_ms + 1000 * row},{','.join(['20'] * len(channels))}" for row in range(25)]
    path = tmp_path / "readings.csv"
    path.write_text("\n".join(["at_ms," + ",".join(channels), *rows, ""]))
    running = Running(gateway.gateway, ReplaySource(path, channels, speed=0), None)

    while not running.done:
        running.turn(0.0)
    summary = running.close()

    # What was open before, two whole ones, and a half.
    _, by_topic = look_into(gateway.folder / "data" / "spool.db")
    assert by_topic["telemetry.feature-stats"] == before + 4
    assert (summary.readings_decided, summary.readings_refused, summary.readings_late) == (45 + 25, 0, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_a_value_that_is_none_is_missing_and_counted(serving, value):
    gateway = serving()
    sample = gateway.sensor.take(1).values[0].copy()
    sample[0] = value

    take(gateway, [sample] * 3)
    gateway.now_ms += 3000
    gateway.run(30)

    missing = [np.frombuffer(each.missing, "<u4")[0] for each in gateway.sent("telemetry.feature-stats")]
    out = [np.frombuffer(each.out_of_range, "<u4")[0] for each in gateway.sent("telemetry.feature-stats")]
    assert sum(missing) + sum(out) >= 1
    assert goes_on(gateway)


def test_a_wrong_unit_is_said_once_and_counted(serving, caplog):
    gateway = serving()

    gateway.run(40, values=lambda values: values * 1000 + 1e6)

    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("out of range")]
    features = [message.split("feature=")[1].split(" ")[0] for message in told]
    assert "temperature" in features
    assert len(features) == len(set(features))
    assert "its unit the right one?" in told[0]
    assert np.frombuffer(gateway.sent("telemetry.feature-stats")[-1].out_of_range, "<u4").max() > 0
    assert goes_on(gateway)


def test_samples_out_of_order_are_left_out_and_counted(serving, caplog):
    gateway = serving()
    sample = gateway.sensor.take(5).values[0]
    now = gateway.now_ms

    decided = take(gateway, [sample] * 4, at_ms=[now + 3000, now + 1000, now + 2000, now + 4000])
    gateway.now_ms += 4000

    assert sum(len(each.at_ms) for each in decided) == 2
    assert gateway.gateway.late == 2
    assert caplog.text.count("readings left out: stream=s") == 1
    assert goes_on(gateway)


@pytest.mark.parametrize("jump_ms", [-86_400_000, -5_000, 86_400_000, 400 * 86_400_000])
def test_a_clock_that_jumps_silences_nobody(serving, jump_ms):
    gateway = serving()
    heartbeats = len(gateway.sent("fleet.heartbeats"))

    gateway.now_ms += jump_ms
    gateway.sensor.start_ms += jump_ms
    gateway.run(130)

    assert len(gateway.sent("fleet.heartbeats")) >= heartbeats + 2
    assert len(gateway.sent("telemetry.feature-stats")) >= 10
    assert goes_on(gateway)


def test_a_bundle_with_a_missing_file_is_refused_and_the_model_goes_on(serving, foundry):
    gateway = serving()
    made = foundry.bundle("2", threshold=6.5)
    with zipfile.ZipFile(io.BytesIO(made.content)) as whole:
        kept = io.BytesIO()
        with zipfile.ZipFile(kept, "w") as cut:
            for name in whole.namelist():
                if name != "grid.json":
                    cut.writestr(name, whole.read(name))
    made.path.write_bytes(kept.getvalue())
    sha256 = hashlib.sha256(kept.getvalue()).hexdigest()

    gateway.tell(foundry.command(replace(made, content=kept.getvalue(), sha256=sha256), 2))
    gateway.tick(6)

    assert gateway.acks()[-1] == (2, "refused")
    assert "the bundle holds" in gateway.sent("rollouts.acks")[-1].reason
    assert gateway.gateway.slots.installation.model_id == "demo/1"
    assert goes_on(gateway)


def test_a_disk_without_room_for_a_bundle_is_waited_out(serving, foundry, monkeypatch, caplog):
    gateway = serving()
    monkeypatch.setattr(download, "disk_free_bytes", lambda _folder: 1000)

    gateway.tell(foundry.command(foundry.bundle("2", threshold=6.5), 2))
    gateway.tick(6)
    waited = gateway.acks()[-1]
    monkeypatch.undo()
    gateway.run(60)

    assert waited == (2, "downloading")
    assert "1000 bytes are free; the bundle needs" in caplog.text
    assert gateway.acks()[-1] == (2, "succeeded")


def test_a_disk_that_fills_up_in_mid_download_is_waited_out(serving, foundry, monkeypatch, caplog):
    gateway = serving()
    real = download._copy

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_copy", full)
    gateway.tell(foundry.command(foundry.bundle("2", threshold=6.5), 2))
    gateway.tick(6)
    monkeypatch.setattr(download, "_copy", real)
    gateway.run(60)

    assert f"{gateway.folder}/data/bundles/" in caplog.text
    assert ".part: No space left on device" in caplog.text
    assert gateway.acks()[-1] == (2, "succeeded")
