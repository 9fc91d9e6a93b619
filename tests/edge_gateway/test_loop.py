"""The way up and the way down, over real Kafka and a real registry."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from confluent_kafka import Producer

from edge_gateway import Gateway, GatewayConfig, Running, WatchConfig, WindowConfig, online
from edge_gateway.config import UpdateConfig
from edge_gateway.runner import wall_ms
from schemas import feeds
from schemas.cluster import Cluster
from schemas.topics import create_missing
from schemas.wire import Contract
from sensing.simulator import Simulated
from sensing.sources import SimulatedSource


@pytest.fixture
def cluster(bootstrap, registry_url, prefix):
    made = Cluster(bootstrap=bootstrap, registry_url=registry_url, prefix=prefix)
    create_missing(made)
    return made


@pytest.fixture
def send(cluster):
    """Publish a command as the controller does."""
    contract = Contract.connect(cluster)
    producer = Producer({**cluster.client_settings(), "partitioner": "murmur2_random"})

    def publish(command):
        key, value = contract.encode("rollouts.commands", command)
        producer.produce(cluster.named("rollouts.commands"), key=key, value=value)
        assert producer.flush(10) == 0

    return publish


class Live:
    """A gateway that runs on a thread of the test, against real servers."""

    def __init__(self, folder, foundry, cluster, *, speed=60.0):
        self.config = GatewayConfig(
            device_id="press-7",
            data=folder,
            keyring=folder / "keys.json",
            windows=WindowConfig(length_s=10.0, lateness_s=0.0, checkpoint_s=0.5),
            watch=WatchConfig(bake_s=0.5, bake_windows=2, bake_decisions=10),
            updates=UpdateConfig(reserve_bytes=0),
            heartbeat_s=1.0,
        )
        self._executor = ThreadPoolExecutor(1)
        gateway = Gateway(self.config, foundry.keyring, executor=self._executor, rng=Random(1), now_ms=wall_ms())
        source = SimulatedSource([Simulated("machine", device=9)], speed=speed)
        self.running = Running(gateway, source, online(gateway, cluster, rng=Random(2)))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()

    def _loop(self):
        while not self._stop.is_set():
            self.running.turn()

    def close(self):
        self._stop.set()
        self._thread.join()
        summary = self.running.close()
        self._executor.shutdown()
        return summary


def read(cluster, topic, enough, timeout_s=30.0):
    """Follow a topic from its beginning until `enough` of its records are there."""
    found = []
    deadline_s = time.monotonic() + timeout_s
    with feeds.follow(cluster, topic, from_ms=0) as feed:
        while not enough(found):
            assert time.monotonic() < deadline_s, f"{topic}: {found}"
            found += [event.value for event in feed.poll(0.5) if isinstance(event, feeds.Changed)]
    return found


def test_a_command_on_the_topic_becomes_a_serving_model_and_acks_on_the_topic(tmp_path, foundry, cluster, send):
    send(foundry.command(foundry.bundle("1"), 1))
    live = Live(tmp_path, foundry, cluster)

    acks = read(cluster, "rollouts.acks", lambda found: any(ack.phase == "succeeded" for ack in found))
    stats = read(cluster, "telemetry.feature-stats", lambda found: {s.seq for s in found} >= {0, 1, 2})
    heartbeats = read(cluster, "fleet.heartbeats", lambda found: any(each.model_id == "demo/1" for each in found))
    summary = live.close()

    assert [ack.phase for ack in acks] == ["received", "downloading", "installed", "trial", "succeeded"]
    assert len({(each.boot_id, each.seq) for each in stats}) == len(stats)
    assert heartbeats[-1].slots[0].active
    assert (summary.waiting, summary.lost) == (0, 0)


def test_a_command_for_another_device_is_none_of_its_business(tmp_path, foundry, cluster, send):
    made = foundry.bundle("1")
    send(foundry.command(made, 1, device_id="press-8"))
    send(foundry.command(made, 2))
    live = Live(tmp_path, foundry, cluster)

    acks = read(cluster, "rollouts.acks", lambda found: any(ack.phase == "succeeded" for ack in found))
    live.close()

    assert {(ack.device_id, ack.revision) for ack in acks} == {("press-7", 2)}


def test_a_stranger_is_refused_in_words_and_the_place_is_kept(tmp_path, foundry, cluster, send):
    send(foundry.command(foundry.bundle("1"), 1, signer=foundry.stranger))
    live = Live(tmp_path, foundry, cluster)
    acks = read(cluster, "rollouts.acks", lambda found: len(found) >= 1)
    audit = read(cluster, "audit.log", lambda found: len(found) >= 1)
    live.close()

    again = Live(tmp_path, foundry, cluster)
    read(cluster, "fleet.heartbeats", lambda found: len(found) >= 4)
    again.close()
    later = read(cluster, "rollouts.acks", lambda found: len(found) >= 1)

    assert [(ack.revision, ack.phase) for ack in acks] == [(1, "refused")]
    assert acks[0].reason.startswith("the command lacks 1 valid signature(s) by pinned keys")
    assert audit[0].action == "command refused"
    assert len(later) == 1


def test_what_was_made_offline_arrives_when_the_broker_is_back(tmp_path, foundry, cluster, send, stack):
    send(foundry.command(foundry.bundle("1"), 1))
    live = Live(tmp_path, foundry, cluster)
    read(cluster, "rollouts.acks", lambda found: any(ack.phase == "succeeded" for ack in found))

    stack.kill("kafka")
    before = live.running.gateway.spool.depth().records
    time.sleep(4)
    buffered = live.running.gateway.spool.depth().records
    stack.restart("kafka")
    time.sleep(1)
    stats = read(cluster, "telemetry.feature-stats", lambda found: len({s.seq for s in found}) >= 40, timeout_s=60)
    live.close()

    assert buffered > before + 20
    assert {each.seq for each in stats} >= set(range(40))
