"""Brokers and registries that are away, at the start and in mid-stream.

What is broken is a stack of this file's own. A registry that keeps its data in a broker does not outlive the broker's
sudden end, so brokers are broken last, and readers then use the registry that all tests share.
"""

import dataclasses
import json
import threading
import time

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from feed_reading import read_until
from patience import PATIENCE_S

from driftline.stack import Stack
from schemas import feeds
from schemas.admin import BrokerAwayError
from schemas.cluster import Cluster
from schemas.codec import codec_of
from schemas.errors import RegistryAwayError
from schemas.feeds import CaughtUp, Changed
from schemas.rollouts import Command
from schemas.wire import Contract

COMMANDS = "rollouts.commands"


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """The stack that is broken."""
    with Stack.start(data=tmp_path_factory.mktemp("stack")) as broken:
        yield broken


@pytest.fixture
def cluster(broken, registry_url, prefix):
    """Brokers that are broken, and a registry that is not."""
    return Cluster(bootstrap=broken.endpoints.bootstrap, registry_url=registry_url, prefix=prefix)


@pytest.fixture
def whole_cluster(cluster, broken, fleet):
    """Brokers and registry of the stack that is broken; the fleet writes with that registry's ids as well."""
    whole = dataclasses.replace(cluster, registry_url=broken.endpoints.registry_url)
    fleet.cluster, fleet.contract = whole, Contract.connect(whole)
    return whole


def caught_up(told):
    return any(isinstance(event, CaughtUp) for event in told)


def revisions(told):
    return [event.value.revision for event in told if isinstance(event, Changed)]


def test_a_reader_starts_from_its_cache_while_the_registry_is_away(broken, whole_cluster, fleet, command, tmp_path):
    fleet.make(partitions=1)
    fleet.put(command("gw-1", 1))
    with feeds.read(whole_cluster, COMMANDS, cache_dir=tmp_path) as feed:
        read_until(feed, caught_up)

    broken.kill("registry")
    try:
        with feeds.read(whole_cluster, COMMANDS, cache_dir=tmp_path, wait_s=1) as feed:
            told = read_until(feed, caught_up)
    finally:
        broken.restart("registry")

    assert revisions(told) == [1]


def test_a_record_waits_for_the_registry_and_is_neither_lost_nor_bad(broken, whole_cluster, fleet, command):
    fleet.make(partitions=1)
    fleet.put(command("gw-1", 1))
    stranger = stranger_id(fleet)

    with feeds.read(whole_cluster, COMMANDS) as feed:
        read_until(feed, caught_up)
        broken.kill("registry")
        try:
            key, value = fleet.contract.encode(COMMANDS, command("gw-2", 2))
            fleet.put_raw(key, value[:1] + stranger.to_bytes(4, "big") + value[5:])
            fleet.put(command("gw-3", 3))
            during = read_until(feed, lambda _: feed.counts.waits_for_registry) + feed.poll(4)
        finally:
            broken.restart("registry")
        after = read_until(feed, lambda told: len(told) >= 2)

    assert during == []
    assert revisions(after) == [2, 3]
    assert feed.counts.bad == 0
    assert feed.counts.waits_for_registry == 1


def stranger_id(fleet):
    """The id of the same record in a schema that no reader has met: another text, so another id."""
    schema = dict(codec_of(Command).schema) | {"doc": f"As {fleet.cluster.prefix} writes it."}
    client = SchemaRegistryClient({"url": fleet.cluster.registry_url})
    return client.register_schema(f"{fleet.cluster.prefix}stranger-value", Schema(json.dumps(schema), "AVRO"))


def test_a_broker_restart_in_mid_stream_is_survived_and_tables_stay_usable(broken, cluster, fleet, command):
    fleet.make(partitions=2)
    fleet.put(command("gw-1", 1))

    with feeds.read(cluster, COMMANDS, check_every_s=1) as feed, feeds.table(cluster, COMMANDS) as table:
        read_until(feed, caught_up)
        table.wait_until_current(PATIENCE_S)
        broken.kill("kafka")
        assert feed.poll(3) == []
        assert table["gw-1"].revision == 1
        broken.restart("kafka")
        fleet.put(command("gw-1", 2), command("gw-2", 3))
        told = read_until(feed, lambda told: len(told) >= 2)
        more = feed.poll(1)

        assert table.wait_for(lambda rows: len(rows) == 2 and rows["gw-1"].revision == 2, PATIENCE_S)
    assert sorted(revisions(told + more)) == [2, 3]
    assert feed.counts.restarts == 0


def test_a_broker_that_is_away_at_the_start_is_a_clear_error_in_time():
    away = Cluster(bootstrap="127.0.0.1:1", registry_url="http://127.0.0.1:1")
    began = time.monotonic()

    with pytest.raises(BrokerAwayError, match=r"no Kafka broker answered at 127\.0\.0\.1:1") as refused:
        feeds.read(away, COMMANDS, wait_s=1).open()

    assert "driftline status" in refused.value.hint
    # Without a word of how long, it waits for 10 s.
    assert time.monotonic() - began < 10


def test_a_broker_that_is_away_at_the_start_can_be_waited_for(broken, cluster, fleet, command):
    fleet.make(partitions=2)
    fleet.put(command("gw-1", 1))
    broken.kill("kafka")
    back = threading.Timer(4, broken.restart, ["kafka"])
    back.start()

    try:
        with feeds.read(cluster, COMMANDS, wait_s=float("inf")) as feed:
            told = read_until(feed, caught_up)
    finally:
        back.join()

    assert revisions(told) == [1]


def test_a_registry_that_is_away_at_the_start_is_a_clear_error_in_time(cluster, fleet, command):
    fleet.make(partitions=1)
    fleet.put(command("gw-1", 1))
    without = dataclasses.replace(cluster, registry_url="http://127.0.0.1:1")
    began = time.monotonic()

    with feeds.read(without, COMMANDS, wait_s=1) as feed, pytest.raises(RegistryAwayError, match=r"127\.0\.0\.1:1"):
        read_until(feed, caught_up)

    assert time.monotonic() - began < 15
