"""A worker while the broker is away, and told to stop while it is."""

import signal
import time

import pytest
from patience import PATIENCE_S, eventually
from secure_kafka import secure_kafka

from driftline.stack import Stack
from streams.kafka.worker import STOP_GRACE_S

RECORDS = 60_000


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_an_outage_loses_nothing_repeats_nothing_and_does_not_fill_the_disk(tmp_path, make_broker, workers):
    with Stack.start(data=tmp_path / "stack") as stack:
        broker = make_broker(stack.endpoints.bootstrap)
        topic = broker.topic(partitions=4)
        # More than is ever held ready, so that reading has to go on afterwards.
        broker.produce(topic, [bytes(1_500)] * RECORDS)
        group = workers(topic, on=broker, records_per_s="4000", max_run="2000")
        worker = group.start(instance="steady")
        group.wait_for(8_000)

        stack.kill("kafka")
        time.sleep(15)
        in_outage = worker.poll()
        stack.restart("kafka")
        group.wait_for(RECORDS)
        eventually(
            lambda: broker.committed(group.group, topic, 4) == broker.ends(topic, 4),
            or_say=lambda: group.words()[-4000:],
        )

        assert in_outage is None
        assert worker.poll() is None
        assert group.log.repeated() == 0
        assert len(group.words().splitlines()) < 1_000
        group.end()


def test_a_worker_that_cannot_commit_for_want_of_a_broker_ends_all_the_same(tmp_path, make_broker, workers):
    with secure_kafka(tmp_path / "kafka", users=["worker"]) as kafka:
        broker = make_broker(kafka.inside)
        topic = broker.topic(partitions=1)
        broker.produce(topic, [b"1", b"2"])
        group = workers(topic, on=broker, commit_every_s="60")
        worker = group.start()
        group.wait_for(2)

    worker.send_signal(signal.SIGTERM)
    code = worker.wait(STOP_GRACE_S + PATIENCE_S)

    assert code == 1, group.words()
    assert "ended unfinished: why=told to stop" in group.words()
