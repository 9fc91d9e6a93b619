"""The sink, over a real Kafka: each record is in the files once, whoever is killed in between."""

import json
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.dataset
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from patience import PATIENCE_S, eventually

from schemas import feeds
from schemas.cluster import Cluster
from schemas.feature_stats import FeatureStats
from schemas.topics import create_missing
from schemas.wire import Contract
from trainer.data.topics import from_topics
from trainer.errors import DatasetError, TrainerError
from trainer.offline import Flushing, OfflineStore, TopicSink, run_sink
from trainer.offline.kinds import LABELS, SAMPLES, STATS
from trainer.publishing import Publisher

FAR_MS = 4_000_000_000_000


@pytest.fixture
def send(cluster):
    publisher = Publisher(cluster, Contract.connect(cluster), name="test").start()

    def publish(topic: str, records) -> None:
        publisher.publish([(topic, record) for record in records])

    yield publish
    publisher.close()


@pytest.fixture
def sink_of(cluster, tmp_path):
    opened = []

    def make(kind=SAMPLES, **changes) -> TopicSink:
        options = {"flushing": Flushing(every_s=3600), "report": lambda bad: None, **changes}
        opened.append(TopicSink(cluster, kind, tmp_path, **options))
        return opened[-1]

    yield make
    for sink in opened:
        sink.close()


def remove_topic(cluster: Cluster, topic: str) -> None:
    admin = AdminClient(cluster.client_settings())
    for future in admin.delete_topics([cluster.named(topic)]).values():
        future.result(PATIENCE_S)
    eventually(lambda: cluster.named(topic) not in admin.list_topics(timeout=PATIENCE_S).topics)


def take(sink: TopicSink, records: int) -> None:
    """Let the sink read so many records; nothing is written yet."""
    eventually(lambda: [sink.step(now_s=0)] and sink.waiting >= records, or_say=lambda: f"{sink.waiting} wait")
    assert sink.waiting == records


def kept(folder: Path, kind=SAMPLES) -> list[tuple[int, int, int]]:
    """What any tool finds in the files: lives, partitions and offsets."""
    root = folder / kind.folder
    if not list(root.glob("day=*/*.parquet")):
        return []
    table = pyarrow.dataset.dataset(root, format="parquet").to_table()
    return sorted(zip(*(table[f"kafka_{name}"].to_pylist() for name in ("life", "partition", "offset")), strict=True))


@contextmanager
def at_work(cluster, folder):
    stop = threading.Event()
    arguments = {"flushing": Flushing(every_s=0.2), "clock_ms": lambda: 7}
    thread = threading.Thread(target=run_sink, args=(cluster, folder, stop), kwargs=arguments)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE_S)


def test_what_the_sink_keeps_is_what_the_topics_say(cluster, tmp_path, send, sample, label, sink_of):
    send("telemetry.samples", [sample(number, device=f"d{number % 7}") for number in range(1, 200)])
    send("telemetry.labels", [label(number, 1.0, number * 1000 + 5) for number in range(1, 200, 3)])
    for kind, records in ((SAMPLES, 199), (LABELS, 67)):
        sink = sink_of(kind)
        take(sink, records)
        sink.flush()

    stretch = {"from_ms": 0, "to_ms": FAR_MS, "as_of_ms": 100_000}
    stored = OfflineStore(tmp_path).assemble("machine/1", **stretch)

    assert stored.dataset.fingerprint() == from_topics(cluster, "machine/1", **stretch).dataset.fingerprint()
    assert stored.labels_used == 33


def test_statistics_are_kept_byte_by_byte(tmp_path, send, sink_of):
    window = FeatureStats(
        device_id="d1",
        model_id="bearing/1",
        pipeline="machine/1",
        grid_id="g",
        boot_id=str(uuid.UUID(int=1)),
        seq=3,
        window_start_ms=86_400_000 - 60_000,
        window_end_ms=86_400_000,
        samples=3,
        counts=np.array([1, 2], "<u4").tobytes(),
        missing=bytes(4),
        out_of_range=bytes(4),
        **{name: np.array([1.5], "<f4").tobytes() for name in ("mean", "m2", "min", "max")},
    )
    send("telemetry.feature-stats", [window])
    sink = sink_of(STATS)
    take(sink, 1)
    sink.flush()

    (row,) = OfflineStore(tmp_path).table(STATS, from_ms=86_400_000, to_ms=86_400_001).to_pylist()

    assert FeatureStats(**{name: value for name, value in row.items() if not name.startswith("kafka_")}) == window


def test_the_sink_goes_on_where_its_files_end(tmp_path, send, sample, sink_of):
    send("telemetry.samples", [sample(number) for number in range(10)])
    first = sink_of()
    take(first, 10)
    first.flush()
    send("telemetry.samples", [sample(number) for number in range(10, 15)])

    second = sink_of()
    take(second, 5)
    second.flush()

    assert len(kept(tmp_path)) == len(set(kept(tmp_path))) == 15
    assert second.counts == {"stored": 15, "bad": 0, "skipped": 0}


def test_files_beyond_the_place_are_of_a_killed_sink_and_go(tmp_path, send, sample, sink_of):
    send("telemetry.samples", [sample(number) for number in range(10)])
    killed = sink_of()
    take(killed, 10)
    place = tmp_path / "positions" / "telemetry.samples.json"
    before = place.read_bytes()
    killed.flush()
    place.write_bytes(before)
    assert len(kept(tmp_path)) == 10

    again = sink_of()
    assert kept(tmp_path) == []
    take(again, 10)
    again.flush()

    assert len(kept(tmp_path)) == len(set(kept(tmp_path))) == 10


def test_a_store_that_lost_its_place_loses_no_file(tmp_path, send, sample, sink_of):
    send("telemetry.samples", [sample(number) for number in range(10)])
    first = sink_of()
    take(first, 10)
    first.flush()
    (tmp_path / "positions" / "telemetry.samples.json").unlink()

    sink = sink_of()
    take(sink, 10)
    sink.flush()

    assert {life for life, _, _ in kept(tmp_path)} == {0, 1}
    found = OfflineStore(tmp_path).assemble("machine/1", from_ms=0, to_ms=FAR_MS, as_of_ms=FAR_MS)
    assert len(found.dataset) == 10


def test_a_topic_that_is_made_anew_begins_another_life(cluster, tmp_path, send, sample, sink_of):
    send("telemetry.samples", [sample(number) for number in range(3)])
    sink = sink_of()
    take(sink, 3)
    sink.flush()
    sink.close()
    remove_topic(cluster, "telemetry.samples")
    create_missing(cluster)
    send("telemetry.samples", [sample(number) for number in range(10, 12)])

    sink = sink_of()
    take(sink, 2)
    sink.flush()

    assert [life for life, _, _ in kept(tmp_path)] == [0, 0, 0, 1, 1]


def test_a_record_that_nobody_can_read_becomes_a_dead_letter(cluster, tmp_path, send, sample):
    producer = Producer(cluster.client_settings())
    producer.produce(cluster.named("telemetry.samples"), key=b"d", value=b"no record")
    producer.flush(PATIENCE_S)
    send("telemetry.samples", [sample(1)])

    with at_work(cluster, tmp_path), feeds.follow(cluster, "dead-letters", from_ms=0) as feed:
        letter = next(event.value for event in feed if isinstance(event, feeds.Changed))

    assert (letter.source_topic, letter.found_by, letter.at_ms) == ("telemetry.samples", "sink", 7)
    assert len(kept(tmp_path)) == 1
    place = json.loads((tmp_path / "positions" / "telemetry.samples.json").read_text())
    assert place["counts"] == {"stored": 1, "bad": 1, "skipped": 0}


def test_a_damaged_place_is_named(tmp_path, sink_of):
    sink_of()
    (tmp_path / "positions" / "telemetry.samples.json").write_text('{"life": 0, "pos')

    with pytest.raises(DatasetError, match=r"telemetry\.samples\.json is damaged"):
        sink_of()


def test_one_folder_takes_one_sink(cluster, tmp_path):
    with at_work(cluster, tmp_path):
        eventually((tmp_path / "positions").exists)
        with pytest.raises(TrainerError, match="another sink fills"):
            run_sink(cluster, tmp_path, threading.Event(), flushing=Flushing(), clock_ms=lambda: 0)


SINK = """
import sys, threading
from pathlib import Path
from schemas.cluster import Cluster
from trainer.offline import Flushing, run_sink
bootstrap, registry, prefix, folder = sys.argv[1:]
run_sink(
    Cluster(bootstrap=bootstrap, registry_url=registry, prefix=prefix), Path(folder), threading.Event(),
    flushing=Flushing(every_s=0.01, records=40), clock_ms=lambda: 0,
)
"""


@pytest.mark.nightly
def test_killed_again_and_again_the_sink_keeps_each_record_once(cluster, tmp_path, send, sample):
    command = [sys.executable, "-c", SINK, cluster.bootstrap, cluster.registry_url, cluster.prefix, str(tmp_path)]
    sent = 0
    for _ in range(5):
        worker = subprocess.Popen(command)
        try:
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                many = range(sent, sent := sent + 25)
                send("telemetry.samples", [sample(one, device=f"d{one % 11}", at_ms=one * 3_600_000) for one in many])
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
    with at_work(cluster, tmp_path):
        eventually(lambda: len(kept(tmp_path)) >= sent, or_say=lambda: f"{len(kept(tmp_path))} of {sent} are kept")

    assert len(kept(tmp_path)) == len(set(kept(tmp_path))) == sent
