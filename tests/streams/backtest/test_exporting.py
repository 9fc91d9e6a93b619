"""Export and import over a real Kafka: what comes back is what was there."""

import time
from dataclasses import replace

import pytest
from click.testing import CliRunner
from confluent_kafka.admin import AdminClient
from drift_fleet import MINUTE_MS, Fleet
from patience import PATIENCE_S

from driftline.command import main
from schemas import feeds
from schemas.catalogue import CATALOGUE
from schemas.cluster import Cluster
from schemas.feeds import TopicMissingError
from schemas.topics import create_missing
from schemas.wire import Contract
from streams.backtest.errors import BacktestError, NothingThereError
from streams.backtest.exporting import export_file, export_folder, import_file
from streams.backtest.history import ClusterHistory, FileHistory, state_of
from streams.backtest.span import EVER, Span

STATS = "telemetry.feature-stats"


@pytest.fixture
def told(cluster, publish):
    fleet = Fleet(samples=60)
    publish("models.grids", [fleet.grid])
    publish("models.baselines", [fleet.baseline])
    windows = [fleet.window(f"d-{minute % 5}", minute) for minute in range(100)]
    publish(STATS, windows[:60])
    time.sleep(0.05)
    between_ms = time.time_ns() // 1_000_000
    time.sleep(0.05)
    publish(STATS, windows[60:])
    return windows, between_ms


@pytest.fixture
def elsewhere(bootstrap, registry_url, prefix):
    cluster = Cluster(bootstrap=bootstrap, registry_url=registry_url, prefix=f"{prefix}b-")
    create_missing(cluster)
    yield cluster
    admin = AdminClient(cluster.client_settings())
    for deleted in admin.delete_topics([cluster.named(name) for name in CATALOGUE]).values():
        deleted.result(PATIENCE_S)


def records(cluster, topic=STATS):
    with feeds.follow(cluster, topic, from_ms=0, until_current=True) as log:
        return {(one.value.device_id, one.value.seq): one.value for one in log if isinstance(one, feeds.Changed)}


@pytest.mark.parametrize("name", ["out.avro", "out.parquet"])
def test_a_file_comes_back_as_the_records_that_were_exported(cluster, told, elsewhere, tmp_path, name):
    windows, _ = told

    done = export_file(ClusterHistory(cluster), STATS, EVER, tmp_path / name)
    back = import_file(elsewhere, tmp_path / name)

    assert (done.records, done.troubles) == (100, [])
    assert records(elsewhere) == {(one.device_id, one.seq): one for one in windows}
    # What judging takes came along.
    assert (
        state_of(FileHistory(tmp_path / name), "models.grids").keys() == feeds.snapshot(cluster, "models.grids").keys()
    )
    assert back.records == 100


def test_only_what_arrived_in_the_range_is_exported(cluster, told, tmp_path):
    _, between_ms = told

    export_file(ClusterHistory(cluster), STATS, Span(between_ms, EVER.to_ms), tmp_path / "late.avro")
    export_file(ClusterHistory(cluster), STATS, Span(0, between_ms), tmp_path / "early.avro")

    def seqs(path):
        history = FileHistory(path)
        return sorted(e.plain["seq"] for s in history.shares(STATS, EVER) for some in history.entries(s) for e in some)

    assert seqs(tmp_path / "late.avro") == list(range(60, 100))
    assert seqs(tmp_path / "early.avro") == list(range(60))


def test_a_topic_that_a_file_does_not_have_is_not_imported_in_silence(cluster, told, tmp_path):
    export_file(ClusterHistory(cluster), STATS, EVER, tmp_path / "a.avro")

    with pytest.raises(NothingThereError, match=r"drift\.alerts: found none in .*a\.avro; it has .*feature-stats"):
        import_file(cluster, tmp_path / "a.avro", topics=["drift.alerts"])


def test_a_cluster_without_the_topics_is_told_so_before_anything_is_written(cluster, told, tmp_path):
    export_file(ClusterHistory(cluster), STATS, EVER, tmp_path / "a.avro")
    elsewhere = replace(cluster, prefix=f"{cluster.prefix}none-")

    with pytest.raises(TopicMissingError, match=f"there is no topic {elsewhere.prefix}"):
        import_file(elsewhere, tmp_path / "a.avro")


def test_a_folder_goes_on_where_it_was_interrupted(cluster, told, publish, tmp_path):
    history = ClusterHistory(cluster)
    first = export_folder(history, [STATS, "models.grids"], EVER, tmp_path)
    publish(STATS, [Fleet(samples=60).window("d-1", 500)])

    second = export_folder(history, [STATS, "models.grids"], EVER, tmp_path)

    assert (first.records, second.records) == (101, 1)
    assert FileHistory(tmp_path).extent(STATS).records == 101
    assert not list(tmp_path.rglob(".*"))


def test_an_empty_range_says_what_is_there(cluster, told, tmp_path):
    with pytest.raises(NothingThereError, match=r"found no record from .* has about 100 records, 20\d\d-"):
        export_file(ClusterHistory(cluster), STATS, Span(1000, 60_000), tmp_path / "a.avro")
    assert not (tmp_path / "a.avro").exists()


def test_a_topic_without_records_is_named(cluster, tmp_path):
    with pytest.raises(NothingThereError, match="has nothing"):
        export_file(ClusterHistory(cluster), STATS, EVER, tmp_path / "a.parquet")


def test_records_that_cannot_be_read_are_left_out_and_named(cluster, publish, tmp_path):
    from confluent_kafka import Producer

    fleet = Fleet(samples=60)
    publish(STATS, [fleet.window("d-1", 0)])
    producer = Producer(cluster.client_settings())
    producer.produce(cluster.named(STATS), key=b"d-1", value=b"nonsense")
    _, value = Contract.connect(cluster).encode(STATS, fleet.window("d-1", 1))
    producer.produce(cluster.named(STATS), key=b"somebody-else", value=value)
    producer.flush(PATIENCE_S)

    done = export_file(ClusterHistory(cluster), STATS, EVER, tmp_path / "a.parquet")

    assert done.records == 1
    assert sorted("magic byte" in one or "key: found" in one for one in done.troubles) == [True, True]


def test_a_file_of_no_known_kind_is_refused(cluster, tmp_path):
    with pytest.raises(BacktestError, match=r"found \.csv, wanted \.avro or \.parquet"):
        export_file(ClusterHistory(cluster), STATS, EVER, tmp_path / "a.csv")


def test_exported_times_are_those_of_the_broker(cluster, told, tmp_path):
    now_ms = time.time_ns() // 1_000_000
    export_file(ClusterHistory(cluster), STATS, EVER, tmp_path / "a.parquet")

    extent = FileHistory(tmp_path / "a.parquet").extent(STATS)

    assert now_ms - 60 * MINUTE_MS < extent.first_ms <= extent.last_ms <= now_ms


def test_the_command_makes_no_folder_of_a_misspelt_file(cluster, tmp_path):
    where = ["--bootstrap", cluster.bootstrap, "--registry", cluster.registry_url, "--prefix", cluster.prefix]
    refused = CliRunner().invoke(main, ["export", STATS, *where, "-o", str(tmp_path / "a.txt")], prog_name="driftline")

    assert refused.exit_code == 2
    assert "a.txt ends in '.txt'; wanted: .avro, .parquet, or a folder's name" in refused.stderr
    assert list(tmp_path.iterdir()) == []
