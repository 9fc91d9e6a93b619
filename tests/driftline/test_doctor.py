"""`driftline doctor`: each thing that can be wrong is said, with what to do."""

import re
import time

import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from patience import PATIENCE_S
from rollout_records import heartbeat

from driftline.command import main
from driftline.doctor import examine
from schemas.catalogue import CATALOGUE
from schemas.wire import Contract
from trust import Keyring, write_keyring


@pytest.fixture
def found(cluster, redis_url):
    """Examine the cluster; gives the findings by what was looked at."""

    def found(*, keyring=None, now_ms=None):
        now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        return {finding.what: finding for finding in examine(cluster, redis_url, keyring=keyring, now_ms=now_ms)}

    return found


def test_a_cluster_that_was_just_made_is_well_but_for_its_schemas(found, cluster):
    before = found()
    Contract.connect(cluster).register_all(CATALOGUE)
    after = found()

    assert [what for what, finding in before.items() if not finding.well] == ["registry"]
    assert before["registry"].hint == "`driftline schemas register`"
    assert [what for what, finding in after.items() if not finding.well] == []
    assert after["clocks"].said == "no device has said anything in the last minutes"


def test_records_that_nobody_reads_are_counted(found, cluster):
    topic = cluster.named("telemetry.labels")
    producer = Producer(cluster.client_settings())
    for _ in range(10_050):
        producer.produce(topic, value=b"x", partition=3)
    producer.flush(PATIENCE_S)
    consumer = Consumer({**cluster.client_settings(), "group.id": f"{cluster.prefix}health"})
    consumer.commit(offsets=[TopicPartition(topic, 3, 20)], asynchronous=False)
    consumer.close()

    lag = found()["lag"]

    assert not lag.well
    assert lag.said == "records not yet read: health 10030"
    assert lag.hint.startswith("is health running")


def test_what_others_read_of_their_own_topics_is_not_ours_to_judge(found, cluster, bootstrap):
    foreign = f"{cluster.prefix}journal"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(foreign, 1)])[foreign].result(PATIENCE_S)
    producer = Producer(cluster.client_settings())
    producer.produce(foreign, value=b"x")
    producer.flush(PATIENCE_S)
    consumer = Consumer({**cluster.client_settings(), "group.id": f"{cluster.prefix}journal-reader"})
    consumer.commit(offsets=[TopicPartition(foreign, 0, 0)], asynchronous=False)
    consumer.close()

    assert found()["lag"].said == "no worker has ever committed anything here"


def test_a_device_whose_clock_is_off_is_named(found, cluster):
    contract, producer = Contract.connect(cluster), Producer(cluster.client_settings())
    contract.register("fleet.heartbeats")
    now_ms = time.time_ns() // 1_000_000
    for device_id, off_ms in (("press-1", 0), ("press-2", -90_000)):
        key, value = contract.encode("fleet.heartbeats", heartbeat(device_id, "", at_ms=now_ms + off_ms))
        producer.produce(cluster.named("fleet.heartbeats"), key=key, value=value)
    producer.flush(PATIENCE_S)

    clocks = found()["clocks"]

    assert not clocks.well
    assert re.fullmatch(r"1 of 2 devices are off by more than 5 s, press-2 by -9\d s", clocks.said)


def test_our_own_clock_is_looked_at(found, cluster):
    contract, producer = Contract.connect(cluster), Producer(cluster.client_settings())
    contract.register("fleet.heartbeats")
    now_ms = time.time_ns() // 1_000_000
    key, value = contract.encode("fleet.heartbeats", heartbeat("press-1", "", at_ms=now_ms))
    producer.produce(cluster.named("fleet.heartbeats"), key=key, value=value)
    producer.flush(PATIENCE_S)

    assert re.fullmatch(r"this machine is 6[01]\d s behind the broker", found(now_ms=now_ms - 600_000)["clocks"].said)


def test_a_keyring_without_keys_is_no_keyring(found, tmp_path):
    write_keyring(tmp_path / "keys.json", Keyring(keys=()))

    keys = found(keyring=tmp_path / "keys.json")["keys"]

    assert (keys.well, keys.hint) == (False, "`driftline keys pin`")


def test_everything_away_is_said_in_one_go_and_exits_1():
    result = CliRunner().invoke(
        main,
        ["doctor", "--bootstrap", "127.0.0.1:1", "--registry", "http://127.0.0.1:1"],
        env={"DRIFTLINE_REDIS": "redis://127.0.0.1:1/0"},
        prog_name="driftline",
    )

    assert result.exit_code == 1
    assert [line.split()[1] for line in result.stdout.splitlines() if line.startswith("BAD")] == [
        "broker",
        "registry",
        "redis",
    ]
