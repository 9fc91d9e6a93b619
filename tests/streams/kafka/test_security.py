"""Workers on a Kafka that wants to know who they are, and allows only so much."""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from faust.auth import SASLCredentials, SSLCredentials
from patience import PATIENCE_S, until
from secure_kafka import secure_kafka

from streams.kafka import BatchProducer, BulkAppError, Outgoing, accepted_runs, bulk_topic, make_app
from streams.kafka.errors import FetchError
from streams.kafka.fetch import TopicReader
from streams.kafka.security import credentials

ROOT = Path(__file__).parents[3]
WORKER = Path(__file__).with_name("logging_worker.py")


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    with secure_kafka(tmp_path_factory.mktemp("secure-kafka"), users=["worker", "stranger"]) as kafka:
        kafka.topic("allowed")
        kafka.topic("forbidden")
        for user in ("worker", "pump-worker"):
            kafka.allow(user, read="allowed", write="allowed", group="drift")
        yield kafka


def gather(app, topic):
    runs = []

    @app.agent(bulk_topic(app, topic))
    async def keep(deliveries):
        async for run in accepted_runs(deliveries):
            runs.append(run)  # noqa: PERF401

    return runs


def committed(kafka, topic, partitions):
    places = [TopicPartition(topic, number) for number in range(partitions)]
    with contextlib.closing(KafkaConsumer({"bootstrap.servers": kafka.inside, "group.id": "drift"})) as consumer:
        until_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                return sum(max(position.offset, 0) for position in consumer.committed(places, timeout=PATIENCE_S))
            except KafkaException as error:
                # A broker that has just started knows its groups a moment later than itself.
                if error.args[0].code() != KafkaError.NOT_COORDINATOR or time.monotonic() > until_s:
                    raise
                time.sleep(0.2)


@pytest.mark.parametrize("way", ["sasl", "mtls"])
async def test_a_worker_reads_commits_and_writes_with_its_credentials(kafka, running, way):
    door, security = {
        "sasl": (kafka.sasl, kafka.by_password("worker")),
        "mtls": (kafka.mtls, kafka.by_certificate("pump-worker")),
    }[way]
    before = committed(kafka, "allowed", 2)
    producer = BatchProducer(door, settings=security)
    app = make_app("drift", door, security=security)
    runs = gather(app, "allowed")

    await producer.deliver([Outgoing("allowed", b"%d" % number, way.encode()) for number in range(100)])
    async with running(app):
        await until(lambda: sum(map(len, runs)) == 100)

    assert {value for run in runs for value in run.values} == {way.encode()}
    assert committed(kafka, "allowed", 2) == before + 100


@pytest.fixture
def worker(kafka, tmp_path):
    """Starts a worker on a topic, waits for its end, and gives its exit code and what it said."""

    def run(topic, security):
        settings = {
            "BOOTSTRAP": kafka.sasl,
            "TOPIC": topic,
            "GROUP": "drift",
            "INSTANCE": "",
            "LOG": str(tmp_path / "work"),
            "SECURITY": json.dumps(security),
        }
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            **{f"WORKER_{key}": each for key, each in settings.items()},
        }
        done = subprocess.run(
            [sys.executable, str(WORKER)], env=environment, capture_output=True, text=True, timeout=PATIENCE_S
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_topic_that_may_not_be_read_ends_the_worker_and_is_named(kafka, worker):
    kafka.allow("worker", describe="forbidden")

    code, words = worker("forbidden", kafka.by_password("worker"))

    assert code == 1
    # Whichever of its two clients meets the refusal first.
    assert re.search(r"TopicAuthorizationFailedError: \{'forbidden'\}|forbidden\[\d\] cannot be read", words), words[
        -3000:
    ]


async def read_on(reader):
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await reader.take()


async def test_a_reader_says_what_it_may_not_read(kafka):
    kafka.allow("worker", describe="forbidden")
    settings = {"bootstrap.servers": kafka.sasl, "group.id": "drift", **kafka.by_password("worker")}
    reader = TopicReader("forbidden", settings, max_run_records=10)
    await reader.read({0: 0})

    with pytest.raises(FetchError, match=r"forbidden\[0\] cannot be read: .*Topic authorization failed"):
        await read_on(reader)
    await reader.close()


def test_a_wrong_password_ends_the_worker_and_is_not_repeated(kafka, worker):
    code, words = worker("allowed", kafka.by_password("worker", "hunter2"))

    assert code == 1
    assert "Authentication failed" in words, words[-3000:]
    assert "hunter2" not in words


def test_a_broker_of_another_authority_is_not_talked_to(kafka, worker, tmp_path):
    stranger = type(kafka.authority)(tmp_path, "stranger")

    code, words = worker("allowed", {**kafka.by_password("worker"), "ssl.ca.location": str(stranger.file)})

    assert code == 1
    assert "certificate verify failed" in words, words[-3000:]


def test_credentials_follow_the_settings(kafka):
    by_text = {
        "security.protocol": "ssl",
        "ssl.ca.pem": kafka.authority.file.read_text(),
        "ssl.certificate.pem": (paper := kafka.authority.device("d")).certificate.read_text(),
        "ssl.key.pem": paper.key.read_text(),
        "ssl.endpoint.identification.algorithm": "none",
    }

    assert credentials({}) is None
    assert credentials({"client.id": "x"}) is None
    assert isinstance(credentials(kafka.by_password("worker")), SASLCredentials)
    assert isinstance(made := credentials(by_text), SSLCredentials)
    assert not made.context.check_hostname


@pytest.mark.parametrize(
    ("security", "says"),
    [
        ({"ssl.crl.location": "x"}, "workers cannot honour ssl.crl.location"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}, "sasl.mechanism is 'OAUTHBEARER'"),
        ({"security.protocol": "SSL", "ssl.ca.location": "/nowhere.pem"}, "the certificates or the key of ssl"),
    ],
)
def test_what_cannot_be_honoured_is_refused(security, says):
    with pytest.raises(BulkAppError, match=says):
        credentials(security)
