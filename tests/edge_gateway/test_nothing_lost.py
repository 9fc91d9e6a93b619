"""Gateway and broker are killed at random moments; afterwards every sequence number is accounted for."""

import contextlib
import json
import random
import socket
import sqlite3
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from confluent_kafka import Producer
from feed_reading import records_on
from live_gateway import Live
from patience import PATIENCE_S

from driftline.stack import Stack
from schemas import feeds
from schemas.cluster import Cluster
from schemas.topics import create_missing
from schemas.wire import Contract
from trust import write_keyring

NUMBERED = {"telemetry.feature-stats": "windows", "telemetry.model-health": "health", "rollouts.acks": "acks"}


def account_after(seconds, tmp_path, foundry, stack, cluster, *, rng, broker_kills):
    """Kill for a while, then let the gateway end in peace; return what it numbered and what arrived."""
    write_keyring(tmp_path / "keyring.json", foundry.keyring)
    publish(cluster, foundry.command(foundry.bundle("1"), 1))
    ends_s = time.monotonic() + seconds
    broker_dies_s = sorted(time.monotonic() + rng.uniform(0.2, 0.7) * seconds for _ in range(broker_kills))
    kills = 0
    while time.monotonic() < ends_s:
        with killed_at_the_end(tmp_path, cluster, 3600.0) as victim:
            time.sleep(rng.uniform(1.0, max(seconds / 8, 2.5)))
            if broker_dies_s and time.monotonic() > broker_dies_s[0]:
                broker_dies_s.pop(0)
                stack.kill("kafka")
                time.sleep(rng.uniform(0.5, 3.0))
                if rng.random() < 0.5:
                    victim.kill()
                stack.restart("kafka")
        kills += 1
    with killed_at_the_end(tmp_path, cluster, 8.0) as last:
        out, _ = last.communicate(timeout=120)
    summary = json.loads(out.splitlines()[-1])
    assert (summary["waiting"], summary["lost"]) == (0, 0), (tmp_path / "victim.log").read_text()[-5000:]
    return kills, numbered(tmp_path / "data" / "spool.db"), {topic: arrived(cluster, topic) for topic in NUMBERED}


def check(kills, numbers, found):
    assert kills >= 3
    for topic, counter in NUMBERED.items():
        records = found[topic]
        assert len({boot_id for boot_id, _ in records}) == 1
        missing = set(range(numbers[counter] + 1)) - {seq for _, seq in records}
        assert missing == set(), f"{topic}: {sorted(missing)} of {numbers[counter] + 1} are missing"
        # A repeat says what was said before.
        assert all(len(contents) == 1 for contents in records.values()), topic
    assert numbers["windows"] > 50


@pytest.mark.nightly
def test_what_was_made_offline_arrives_when_the_broker_is_back(tmp_path, foundry, stack, cluster):
    publish(cluster, foundry.command(foundry.bundle("1"), 1))
    live = Live(tmp_path, foundry, cluster)
    records_on(cluster, "rollouts.acks", lambda found: any(ack.phase == "succeeded" for ack in found))

    stack.kill("kafka")
    before = live.running.gateway.spool.depth().records
    time.sleep(4)
    buffered = live.running.gateway.spool.depth().records
    stack.restart("kafka")
    time.sleep(1)
    stats = records_on(cluster, "telemetry.feature-stats", lambda found: len({s.seq for s in found}) >= 40)
    live.close()

    assert buffered > before + 20
    assert {each.seq for each in stats} >= set(range(40))


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_in_minutes_of_killing(tmp_path, foundry, stack, cluster, seed):
    check(*account_after(180, tmp_path, foundry, stack, cluster, rng=random.Random(seed), broker_kills=4))


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A stack of its own, where nobody else asks for the port while its broker is dead."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Stack.start(data=tmp_path_factory.mktemp("stack"), port=port) as made:
        yield made


@pytest.fixture
def cluster(stack, prefix):
    made = Cluster(bootstrap=stack.endpoints.bootstrap, registry_url=stack.endpoints.registry_url, prefix=prefix)
    create_missing(made)
    return made


@contextlib.contextmanager
def killed_at_the_end(folder, cluster, duration_s):
    script = Path(__file__).with_name("victim.py")
    command = [sys.executable, script, folder, str(duration_s), json.dumps(asdict(cluster))]
    with (folder / "victim.log").open("a") as log:
        victim = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        yield victim
    finally:
        victim.kill()
        victim.wait()


def publish(cluster, command):
    key, value = Contract.connect(cluster).encode("rollouts.commands", command)
    producer = Producer(cluster.producer_settings())
    producer.produce(cluster.named("rollouts.commands"), key=key, value=value)
    assert producer.flush(PATIENCE_S) == 0


def numbered(database):
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return dict(connection.execute("SELECT name, value FROM counters"))


def arrived(cluster, topic):
    """Return what each (boot_id, seq) said, in all its repeats."""
    found = {}
    with feeds.follow(cluster, topic, from_ms=0, until_current=True) as feed:
        for event in feed:
            if isinstance(event, feeds.Changed):
                found.setdefault((event.value.boot_id, event.value.seq), set()).add(repr(event.value))
    return found
