"""The worker over real Kafka, against a receiver that fails, hangs, is away, and comes back."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from random import Random

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from patience import PATIENCE_S, eventually
from webhook_receiver import Receiver

from schemas import feeds
from schemas.catalogue import topic_named
from schemas.rollouts import RolloutPhase, RolloutStatus
from schemas.wire import Contract
from streams.webhooks import Secret, Subscription, Webhooks, verify

TOPIC = "rollouts.status"
SECRET = Secret(b"s" * 32)


class Field:
    def __init__(self, cluster):
        self.cluster = cluster
        self.contract = Contract.connect(cluster)
        self.contract.register(TOPIC)
        self.producer = Producer(cluster.producer_settings())

    def tell(self, rollout_id, phase="running", stage=0, reason=""):
        status = RolloutStatus(
            rollout_id=rollout_id, model_id="m/2", phase=RolloutPhase(phase), stage=stage, stages=2, reason=reason,
            changed_ms=0, devices={}, gates=(), digested={},
        )  # fmt: skip
        key, value = self.contract.encode(TOPIC, status)
        self.producer.produce(self.cluster.named(TOPIC), key=key, value=value)
        assert self.producer.flush(PATIENCE_S) == 0

    def subscription(self, url, **options):
        return Subscription(
            **{
                "name": "tickets", "url": url, "topics": (TOPIC,), "secrets": (SECRET,), "backoff_s": 0.05,
                "backoff_most_s": 0.2, "timeout_s": 30.0, **options,
            }
        )  # fmt: skip

    @contextlib.contextmanager
    def worker(self, *subscriptions):
        worker = Webhooks(self.cluster, subscriptions, rng=Random(1))
        thread = threading.Thread(target=worker.run, daemon=True)
        thread.start()
        for subscription in subscriptions:
            self.wait_for_group(subscription.name)
        try:
            yield worker
        finally:
            worker.stop()
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    def wait_for_group(self, name):
        """A new group begins where the topic ends, and writes down where that was."""
        group = {"group.id": self.cluster.named(f"webhooks-{name}")}
        reader = Consumer({**self.cluster.client_settings(), **group})
        places = [TopicPartition(self.cluster.named(TOPIC), n) for n in range(topic_named(TOPIC).partitions)]
        eventually(lambda: all(at.offset >= 0 for at in reader.committed(places, timeout=PATIENCE_S)))
        reader.close()

    def letters(self):
        with feeds.follow(self.cluster, "dead-letters", from_ms=0, until_current=True) as log:
            return [event.value for event in log if isinstance(event, feeds.Changed)]


@pytest.fixture
def field(cluster):
    return Field(cluster)


def told(receiver):
    return [json.loads(one.body)["data"]["reason"] for one in receiver.received]


def test_an_event_arrives_signed(field):
    with Receiver() as receiver, field.worker(field.subscription(receiver.url)):
        field.tell("r1", reason="first")
        (one,) = eventually(lambda: receiver.received)

    event = json.loads(one.body)
    assert verify(one.headers, one.body, [SECRET], now_s=time.time()) == event["id"]
    assert (event["type"], event["subject"], event["data"]["rollout_id"]) == ("driftline.rollouts.status", "r1", "r1")


def test_a_receiver_that_fails_hears_everything_once_it_is_well_and_in_order(field):
    answers = [(500, {}), (503, {"retry-after": "0"}), (302, {"location": "/"})]
    with Receiver(answers=answers) as receiver, field.worker(field.subscription(receiver.url)):
        for number in range(20):
            field.tell("r1", reason=f"n{number}")
        eventually(lambda: len(receiver.received) >= 23)

    assert told(receiver) == ["n0"] * 4 + [f"n{number}" for number in range(1, 20)]
    assert len({one.headers["webhook-id"] for one in receiver.received[:4]}) == 1, "a repeat has the same id"
    assert field.letters() == []


def test_a_receiver_that_is_away_is_waited_for(field):
    with Receiver() as receiver:
        port = receiver.port
    with field.worker(field.subscription(f"http://127.0.0.1:{port}/hook")):
        field.tell("r1", reason="while away")
        time.sleep(1)
        with Receiver(port=port) as receiver:
            eventually(lambda: receiver.received)

    assert told(receiver) == ["while away"]


def test_a_receiver_that_hangs_holds_up_nobody_else(field):
    with Receiver(hangs_s=60) as hanging, Receiver() as well:
        slow = field.subscription(hanging.url, name="slow", timeout_s=0.5)
        with field.worker(slow, field.subscription(well.url, name="well")):
            for number in range(5):
                field.tell("r1", reason=f"n{number}")
            eventually(lambda: len(well.received) == 5)
            eventually(lambda: len(hanging.received) >= 2)

    assert told(well) == [f"n{number}" for number in range(5)]
    assert set(told(hanging)) == {"n0"}, "it is tried again before the next one is"


def test_what_a_receiver_refuses_becomes_a_dead_letter_and_the_rest_goes_on(field):
    with Receiver(answers=[(422, {})]) as receiver, field.worker(field.subscription(receiver.url)):
        field.tell("r1", reason="unwelcome")
        field.tell("r1", reason="welcome")
        eventually(lambda: len(receiver.received) == 2)
        (letter,) = eventually(field.letters)

    assert (letter.found_by, letter.source_topic) == ("webhooks", TOPIC)
    assert letter.reason == "webhook tickets: the receiver refused it with status 422"
    assert field.contract.decode(TOPIC, letter.record_key, letter.record_value).reason == "unwelcome"


def test_what_grows_too_old_becomes_a_dead_letter(field):
    answers = [(500, {})] * 1_000
    with Receiver(answers=answers) as receiver, field.worker(field.subscription(receiver.url, keep_s=0.5)):
        field.tell("r1", reason="too late")
        (letter,) = eventually(field.letters)

    assert letter.reason.startswith("webhook tickets: not delivered within 0.5 s; at last: status 500, attempt ")


def test_a_record_that_cannot_be_read_becomes_a_dead_letter(field):
    with Receiver() as receiver, field.worker(field.subscription(receiver.url)):
        field.producer.produce(field.cluster.named(TOPIC), key=b"r1", value=b"nonsense")
        field.tell("r1", reason="sound")
        eventually(lambda: receiver.received)
        (letter,) = eventually(field.letters)

    assert told(receiver) == ["sound"]
    assert letter.record_value == b"nonsense"


def test_only_what_is_asked_for_is_told(field):
    with Receiver() as receiver:
        wanted = field.subscription(receiver.url, keys=("r*",), on_change=("phase", "stage"))
        with field.worker(wanted):
            for key, phase, stage in (("r1", "running", 0), ("x1", "running", 0), ("r1", "running", 0),
                                      ("r1", "running", 1), ("r1", "baking", 1), ("r1", "baking", 1)):  # fmt: skip
                field.tell(key, phase, stage)
            field.tell("r1", "succeeded", 1)
            eventually(lambda: len(receiver.received) >= 4)
            time.sleep(0.3)

    data = [json.loads(one.body)["data"] for one in receiver.received]
    assert [(one["phase"], one["stage"]) for one in data] == [
        ("running", 0), ("running", 1), ("baking", 1), ("succeeded", 1),
    ]  # fmt: skip


def test_a_killed_worker_is_followed_by_one_that_misses_nothing(field, tmp_path):
    """kill -9 in the middle, several times: every event arrives, some of them twice, with the same id."""
    (tmp_path / "secret").write_text("whsec_" + "c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M=")
    with Receiver(hangs_s=0.02) as receiver:
        config = tmp_path / "webhooks.toml"
        config.write_text(
            f'[[webhook]]\nname = "tickets"\nurl = "{receiver.url}"\ntopics = ["{TOPIC}"]\n'
            f'secrets = ["file:{tmp_path}/secret"]\n'
        )
        with process(field.cluster, config):
            field.wait_for_group("tickets")
            for number in range(100):
                field.tell(f"r{number % 5}", reason=f"n{number}")
            eventually(lambda: len(receiver.received) >= 10)
        with process(field.cluster, config):
            eventually(lambda: len(set(told(receiver))) == 100, 120)

    ids = {reason: set() for reason in told(receiver)}
    for one in receiver.received:
        ids[json.loads(one.body)["data"]["reason"]].add(one.headers["webhook-id"])
    assert all(len(same) == 1 for same in ids.values())
    repeats = Counter(told(receiver))
    assert max(repeats.values()) <= 2


@contextlib.contextmanager
def process(cluster, config):
    command = [sys.executable, "-c", "from driftline.command import main; main()", "worker", "webhooks"]
    command += ["--config", str(config), "--bootstrap", cluster.bootstrap]
    command += ["--registry", cluster.registry_url, "--prefix", cluster.prefix]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=dict(os.environ))
    try:
        yield running
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait(PATIENCE_S)
