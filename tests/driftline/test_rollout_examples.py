"""The examples of the guide to rollout events, each run as its reader would run it; and the guide shows them as is."""

import base64
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from random import Random

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from patience import PATIENCE_S, eventually

from schemas import feeds
from schemas.catalogue import topic_named
from schemas.rollouts import RolloutPhase, RolloutStatus
from schemas.wire import Contract
from streams.webhooks import Secret, Subscription, Webhooks

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
GUIDE = ROOT / "docs" / "rollout-events.md"
TOPIC = "rollouts.status"


class Fleet:
    def __init__(self, cluster):
        self.cluster = cluster
        self.contract, self.producer = Contract.connect(cluster), Producer(cluster.client_settings())

    def tell(self, rollout_id, phase, reason):
        status = RolloutStatus(
            rollout_id=rollout_id, model_id="m/2", phase=RolloutPhase(phase), stage=0, stages=1, reason=reason,
            changed_ms=0, devices={"succeeded": 3}, gates=(), digested={},
        )  # fmt: skip
        key, value = self.contract.encode(TOPIC, status)
        self.producer.produce(self.cluster.named(TOPIC), key=key, value=value)
        assert self.producer.flush(PATIENCE_S) == 0

    def environment(self, folder, **more):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DRIFTLINE_")}
        return kept | {
            "DRIFTLINE_BOOTSTRAP": self.cluster.bootstrap,
            "DRIFTLINE_REGISTRY": self.cluster.registry_url,
            "DRIFTLINE_PREFIX": self.cluster.prefix,
            "DRIFTLINE_CACHE": str(folder / "cache"),
        } | more  # fmt: skip

    @contextlib.contextmanager
    def running(self, folder, *command, **more):
        """Run a program, and yield what reads its next line."""
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=folder, env=self.environment(folder, **more)
        )
        watchdog = threading.Timer(PATIENCE_S, process.kill)
        watchdog.start()
        try:
            yield process.stdout.readline
        finally:
            watchdog.cancel()
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.fixture
def fleet(cluster):
    return Fleet(cluster)


def test_the_sync_example_tells_the_state_then_changes_and_goes_on_where_it_left_off(fleet, tmp_path):
    fleet.tell("r1", "running", "stage '1%'")
    example = (sys.executable, EXAMPLES / "rollout_events.py")
    with fleet.running(tmp_path, *example) as line:
        state, marker = line(), line()
        fleet.tell("r1", "baking", "3 of 3 devices succeeded")
        live = line()
        # Its place is kept a moment after it has told.
        eventually(lambda: records_before(tmp_path / "rollouts.position") == 2)
    fleet.tell("r1", "succeeded", "the stage passed")
    with fleet.running(tmp_path, *example) as line:
        later = line()

    assert (state, marker) == ("r1 m/2 running 3: stage '1%'\n", "-- live\n")
    assert live == "r1 m/2 baking 3: 3 of 3 devices succeeded\n"
    assert later == "r1 m/2 succeeded 3: the stage passed\n"


def records_before(place):
    with contextlib.suppress(feeds.PositionError):
        return sum(at.next_offset for at in feeds.Position.from_json(place.read_text()).partitions.values())


@pytest.mark.parametrize(("end", "code"), [("succeeded", 0), ("rolled_back", 1)])
def test_the_async_example_waits_for_the_end(fleet, tmp_path, end, code):
    fleet.tell("r1", "running", "stage '1%'")
    fleet.tell("r2", "succeeded", "another one")
    fleet.tell("r1", end, "it is over")

    ran = subprocess.run(
        [sys.executable, EXAMPLES / "rollout_events_async.py", "r1"],
        capture_output=True, text=True, timeout=PATIENCE_S, cwd=tmp_path, env=fleet.environment(tmp_path),
    )  # fmt: skip

    assert ran.returncode == code, ran.stderr
    assert ran.stdout.splitlines()[-1] == f"r1 {end}: it is over"
    assert "r2" not in ran.stdout


@pytest.mark.timeout(600)
# Where Go has compiled nothing yet, it compiles its library for a minute.
@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("go") is None, reason="there is no Go compiler (`go`) on this machine")
def test_the_go_example_tells_the_state_then_changes(fleet, tmp_path):
    fleet.tell("r1", "running", "stage '1%'")
    program = tmp_path / "rollout_events"
    built = subprocess.run(["go", "build", "-o", program, "."], cwd=EXAMPLES / "go", capture_output=True, text=True)
    assert built.returncode == 0, built.stderr

    cluster = fleet.cluster
    with fleet.running(tmp_path, program, cluster.bootstrap, cluster.registry_url, cluster.prefix) as line:
        state = line()
        fleet.tell("r1", "succeeded", "the stage passed")
        live = line()

    assert state == "r1 m/2 running 3: stage '1%'\n"
    assert live == "r1 m/2 succeeded 3: the stage passed\n"


def test_the_webhook_example_believes_only_what_is_signed(fleet, tmp_path):
    secret = Secret(b"s" * 32)
    said = "whsec_" + base64.b64encode(secret.key).decode()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    genuine = Subscription(name="genuine", url=url, topics=(TOPIC,), secrets=(secret,), backoff_s=0.1)
    forger = Subscription(name="forger", url=url, topics=(TOPIC,), secrets=(Secret(b"x" * 32),), keep_s=0)
    example = (sys.executable, EXAMPLES / "webhook_receiver.py")

    with fleet.running(tmp_path, *example, PORT=str(port), WEBHOOK_SECRET=said) as line:
        workers = [Webhooks(fleet.cluster, [one], rng=Random(1)) for one in (forger, genuine)]
        threads = [threading.Thread(target=worker.run, daemon=True) for worker in workers]
        for thread in threads:
            thread.start()
        wait_until_begun(fleet.cluster, "genuine")
        wait_until_begun(fleet.cluster, "forger")
        fleet.tell("r1", "baking", "first")
        fleet.tell("r1", "succeeded", "second")
        told = [line(), line()]
        for worker, thread in zip(workers, threads, strict=True):
            worker.stop()
            thread.join(PATIENCE_S)

    assert told == ["r1 baking first\n", "r1 succeeded second\n"]


def wait_until_begun(cluster, name):
    reader = Consumer({**cluster.client_settings(), "group.id": cluster.named(f"webhooks-{name}")})
    places = [TopicPartition(cluster.named(TOPIC), number) for number in range(topic_named(TOPIC).partitions)]
    eventually(lambda: all(at.offset >= 0 for at in reader.committed(places, timeout=PATIENCE_S)))
    reader.close()


def test_the_guide_shows_the_examples_as_they_are():
    shown = re.findall(r"<!-- (examples/\S+) -->\n```\w+\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)

    assert [name for name, _ in shown] == [
        "examples/rollout_events.py",
        "examples/rollout_events_async.py",
        "examples/go/main.go",
        "examples/webhook_receiver.py",
    ]
    for name, text in shown:
        assert text == (ROOT / name).read_text(), name
