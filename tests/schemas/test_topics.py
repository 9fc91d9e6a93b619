"""The catalogue against clusters: in thought, and on a real one."""

import time
from dataclasses import replace

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from patience import PATIENCE_S

from schemas.admin import BrokerAwayError, FoundTopic
from schemas.catalogue import CATALOGUE, Cleanup, Placement, topic_named
from schemas.cluster import Cluster
from schemas.topics import Difference, check, compare, create_missing, settings_on

COMMANDS = topic_named("rollouts.commands")
ACKS = topic_named("rollouts.acks")

DAY_MS = 86_400_000


def as_declared(topic, *, brokers=1, **changed):
    settings = settings_on(topic, brokers=brokers) | changed.pop("settings", {})
    found = FoundTopic(
        name=topic.name,
        topic_id="id",
        partitions=topic.partitions,
        replication=min(3, brokers),
        settings=settings,
    )
    return {topic.name: replace(found, **changed)}


def differences(topic, found, *, brokers=1):
    return compare([topic], found, brokers=brokers).differences


@pytest.mark.parametrize("topic", CATALOGUE.values(), ids=lambda topic: topic.name)
@pytest.mark.parametrize("brokers", [1, 3])
def test_what_is_as_declared_does_not_differ(topic, brokers):
    compared = compare([topic], as_declared(topic, brokers=brokers), brokers=brokers)

    assert compared.clean
    assert compared.present == (topic.name,)


def test_what_is_not_there_is_missing_under_its_prefix():
    compared = compare([COMMANDS], {}, brokers=1, prefix="plant7-")

    assert compared.missing == ("plant7-rollouts.commands",)
    assert not compared.clean


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"partitions": 6}, ("partitions", "6", "12")),
        ({"settings": {"cleanup.policy": "delete"}}, ("cleanup.policy", "delete", "compact")),
        ({"settings": {"cleanup.policy": "compact,delete"}}, ("cleanup.policy", "compact,delete", "compact")),
        (
            {"settings": {"message.timestamp.type": "CreateTime"}},
            ("message.timestamp.type", "CreateTime", "LogAppendTime"),
        ),
        ({"settings": {"delete.retention.ms": "1"}}, ("delete.retention.ms", "1", str(7 * DAY_MS))),
        ({"settings": {"segment.ms": "1"}}, ("segment.ms", "1", "3600000")),
        ({"settings": {"min.insync.replicas": "2"}}, ("min.insync.replicas", "2", "1")),
    ],
)
def test_each_departure_is_told(change, difference):
    assert differences(COMMANDS, as_declared(COMMANDS, **change)) == (Difference(COMMANDS.name, *difference),)


def test_a_changed_retention_is_told():
    found = as_declared(ACKS, settings={"retention.ms": "1000"})

    assert differences(ACKS, found) == (Difference(ACKS.name, "retention.ms", "1000", str(30 * DAY_MS)),)


def test_a_topic_from_before_the_cluster_grew_lacks_replicas():
    found = as_declared(COMMANDS, brokers=1)

    told = {(each.setting, each.found, each.wanted) for each in differences(COMMANDS, found, brokers=3)}

    assert told == {("replicas", "1", "3"), ("min.insync.replicas", "1", "2")}


def test_settings_that_we_may_not_ask_for_are_not_held_against_a_topic():
    (found,) = as_declared(COMMANDS).values()

    assert differences(COMMANDS, {COMMANDS.name: replace(found, settings={})}) == ()


def test_a_wrong_cleanup_policy_says_what_follows():
    (told,) = differences(COMMANDS, as_declared(COMMANDS, settings={"cleanup.policy": "delete"}))

    assert str(told) == (
        "rollouts.commands: cleanup.policy is delete, wanted compact: "
        "state that nobody renews is forgotten after a time"
    )


@pytest.mark.parametrize("topic", CATALOGUE.values(), ids=lambda topic: topic.name)
def test_every_topic_stamps_the_brokers_time_and_bounds_its_records(topic):
    settings = topic.settings()

    assert settings["message.timestamp.type"] == "LogAppendTime"
    assert int(settings["max.message.bytes"]) <= 1_048_588
    if topic.cleanup is Cleanup.COMPACT:
        assert int(settings["max.compaction.lag.ms"]) < int(settings["delete.retention.ms"])
        assert int(settings["segment.ms"]) <= int(settings["max.compaction.lag.ms"])


@pytest.mark.parametrize(
    "topic", [topic for topic in CATALOGUE.values() if topic.retention_ms is not None], ids=lambda topic: topic.name
)
def test_a_log_is_not_kept_much_longer_than_declared(topic):
    settings = topic.settings()

    assert settings["retention.bytes"] == "-1"
    # A segment goes when its newest record is old enough, so the oldest is kept for both together.
    assert int(settings["segment.ms"]) <= topic.retention_ms / 5


def test_topics_of_devices_have_one_partition_count():
    counts = {topic.partitions for topic in CATALOGUE.values() if topic.key[0] == "device_id"}

    assert len(counts) == 1


def test_alerts_lie_where_what_they_judge_lies():
    alerts = topic_named("drift.alerts")

    assert alerts.placement is Placement.SOURCE
    assert alerts.partitions == topic_named("telemetry.feature-stats").partitions


@pytest.fixture
def cluster(bootstrap: str, registry_url: str, prefix: str) -> Cluster:
    """A cluster that has no topics yet."""
    return Cluster(bootstrap=bootstrap, registry_url=registry_url, prefix=prefix)


def test_all_topics_are_made_in_seconds_and_are_then_as_declared(cluster):
    began = time.monotonic()
    made, before = create_missing(cluster)
    took_s = time.monotonic() - began

    assert sorted(made) == sorted(cluster.named(name) for name in CATALOGUE)
    assert sorted(before.missing) == sorted(made)
    # To wait until brokers know them it has 30 s.
    assert took_s < 25
    assert check(cluster).clean


def test_what_is_there_is_left_as_it_is(cluster):
    admin = AdminClient(cluster.client_settings())
    name = cluster.named("rollouts.commands")
    admin.create_topics([NewTopic(name, 2, 1, config={"cleanup.policy": "delete"})])[name].result(PATIENCE_S)

    made, before = create_missing(cluster)
    after = check(cluster)

    assert name not in made
    assert len(made) == len(CATALOGUE) - 1
    told = {(each.setting, each.found) for each in before.differences}
    assert {("partitions", "2"), ("cleanup.policy", "delete"), ("message.timestamp.type", "CreateTime")} <= told
    assert after.differences == before.differences
    assert after.missing == ()


def test_making_them_twice_makes_nothing(cluster):
    create_missing(cluster)

    made, before = create_missing(cluster)

    assert made == []
    assert before.clean


def test_a_broker_that_is_away_is_named_within_the_time_given():
    began = time.monotonic()

    with pytest.raises(BrokerAwayError, match=r"no Kafka broker answered at 127\.0\.0\.1:1 within 1 s .*refused"):
        check(Cluster(bootstrap="127.0.0.1:1"), timeout_s=1)

    # Where no time is given, it is 10 s.
    assert time.monotonic() - began < 6
