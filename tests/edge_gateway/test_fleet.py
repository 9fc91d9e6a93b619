"""Many gateways in one process over real Kafka."""

import pytest
from confluent_kafka import Producer
from patience import PATIENCE_S, eventually

from edge_gateway.fleet import first_moment_ms, members
from schemas import feeds
from schemas.wire import Contract


@pytest.mark.parametrize(
    ("fleet", "speed", "every_ms"),
    [
        pytest.param("machine", 60.0, 1000, id="a minute in a second"),
        pytest.param("weather", 60.0, 3_600_000, id="sixty hours in a second"),
    ],
)
def test_a_hurried_sensor_meets_the_clock_when_it_was_told_to_and_not_before(fleet, speed, every_ms):
    now_ms, behind_clock_s = 1_795_000_000_000, 3600.0

    first_ms = first_moment_ms(fleet, speed, now_ms, behind_clock_s)

    assert first_ms + speed * behind_clock_s * every_ms == now_ms + behind_clock_s * 1000


@pytest.mark.parametrize(("fleet", "speed"), [("machine", 1.0), ("vibration", 60.0)])
def test_a_sensor_that_lives_no_faster_than_the_clock_begins_now(fleet, speed):
    assert first_moment_ms(fleet, speed, 1_795_000_000_000, 3600.0) == 1_795_000_000_000


def test_each_of_many_obeys_its_own_command_and_loses_nothing(played_fleet, foundry, cluster):
    devices = members(12, ["machine"])
    made, contract = foundry.bundle("1"), Contract.connect(cluster)
    producer = Producer(cluster.producer_settings())
    for member in devices[:11]:
        command = foundry.command(made, 1, device_id=member.device_id)
        key, value = contract.encode("rollouts.commands", command)
        producer.produce(cluster.named("rollouts.commands"), key=key, value=value)
    producer.flush(PATIENCE_S)

    with played_fleet(devices) as fleet:
        eventually(
            lambda: (
                [fleet.run(0.5)] and sum(bool(each.slots.installation.active) for each in fleet.gateways.values()) == 11
            )
        )
        fleet.run(3)
        numbered = {device_id: each.spool.kept("said") for device_id, each in fleet.gateways.items()}

    found = {}
    with feeds.follow(cluster, "telemetry.feature-stats", from_ms=0, until_current=True) as feed:
        for event in feed:
            if isinstance(event, feeds.Changed):
                found.setdefault(event.value.device_id, []).append(event.value.seq)
    assert (fleet.summary.waiting, fleet.summary.lost) == (0, 0)
    assert set(found) == {member.device_id for member in devices[:11]}
    for seqs in found.values():
        assert sorted(set(seqs)) == list(range(max(seqs) + 1))
    assert numbered[devices[11].device_id] in (b"0", None)
