"""Many gateways in one process over real Kafka."""

from confluent_kafka import Producer
from patience import PATIENCE_S, eventually

from edge_gateway.fleet import members
from schemas import feeds
from schemas.wire import Contract


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
