"""The controller over real Kafka, with simulated gateways."""

import contextlib
import json
import threading
import time
import uuid

import pytest
from confluent_kafka import Producer

from schemas import feeds
from schemas.cluster import Cluster
from schemas.operators import OperatorRequest
from schemas.release import ModelRelease, ReleaseStage
from schemas.topics import create_missing
from schemas.wire import Contract
from streams.rollouts.service import RolloutService, ServiceOptions
from streams.rollouts.simulated import SimulatedFleet, SimulatedGateway
from trust import Keyring, Kind, load_signer, make_key, pin

OLD, NEW = "bearings/1", "bearings/2"


class Field:
    """A cluster with its keys, on which controllers and gateways are started."""

    def __init__(self, cluster, tmp_path):
        self.cluster = cluster
        make_key(tmp_path / "controller.pem")
        self.signer = load_signer(f"file:{tmp_path / 'controller.pem'}", environ={})
        self.keyring = Keyring(keys=(pin("controller", self.signer.public_key, Kind.COMMAND),))
        self.contract = Contract.connect(cluster)
        self.producer = Producer({**cluster.client_settings(), "partitioner": "murmur2_random"})
        for topic in ("models.releases", "operators.requests"):
            self.contract.register(topic)

    def send(self, topic, record):
        key, value = self.contract.encode(topic, record)
        self.producer.produce(self.cluster.named(topic), key=key, value=value)
        assert self.producer.flush(10) == 0

    def release(self, version, stage=ReleaseStage.PRODUCTION, created_ms=1_000):
        self.send(
            "models.releases",
            ModelRelease(
                model="bearings",
                version=version,
                stage=stage,
                pipeline="vibration/1",
                grid_id="g",
                baseline_id="b",
                bundle_sha256="0" * 64,
                bundle_bytes=10,
                bundle_url=f"https://models.example/{version}",
                manifest="{}",
                created_ms=created_ms,
                created_by="test",
            ),
        )

    def ask(self, subject, action, **arguments):
        self.send(
            "operators.requests",
            OperatorRequest(
                request_id=str(uuid.uuid4()),
                subject=subject,
                action=action,
                who="eve",
                why="because",
                at_ms=1_000,
                arguments=arguments,
            ),
        )

    def start(self, document):
        self.ask(f"rollout/{document['rollout']}", "start", document=json.dumps(document))

    @contextlib.contextmanager
    def controller(self):
        service = RolloutService(self.cluster, [self.signer], ServiceOptions(turn_s=0.05))
        thread = threading.Thread(target=service.run, daemon=True)
        thread.start()
        try:
            yield service
        finally:
            service.stop()
            thread.join(20)

    def fleet(self, count, **options):
        gateways = [
            SimulatedGateway(f"gw-{number:03d}", OLD, {"region": "eu"}, pipelines=("vibration/1",))
            for number in range(count)
        ]
        return SimulatedFleet(self.cluster, gateways, self.keyring, **options)

    def status(self, rollout_id):
        return feeds.snapshot(self.cluster, "rollouts.status").get(rollout_id)

    def wait_for_phase(self, rollout_id, phase, timeout_s=60.0):
        return self.wait_for(
            lambda: (status := self.status(rollout_id)) and status.phase.value == phase and status, timeout_s
        )

    def wait_for(self, condition, timeout_s=60.0):
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if found := condition():
                return found
            time.sleep(0.1)
        raise AssertionError(f"not within {timeout_s} s; status: {feeds.snapshot(self.cluster, 'rollouts.status')}")


@pytest.fixture
def field(bootstrap, registry_url, prefix, tmp_path):
    cluster = Cluster(bootstrap=bootstrap, registry_url=registry_url, prefix=prefix)
    create_missing(cluster)
    return Field(cluster, tmp_path)


AT_ONCE = {"strategy": "all-at-once", "limits": {"bake_s": 0, "concurrency": 1000}}


def test_a_release_in_production_reaches_the_fleet(field):
    field.release("1", created_ms=1)
    field.ask(
        "rollout/standing",
        "start",
        document=json.dumps({**AT_ONCE, "rollout": "standing", "model": "bearings", "standing": True}),
    )

    with field.fleet(20) as fleet, field.controller():
        field.wait_for(lambda: len(feeds.snapshot(field.cluster, "fleet.devices")) == 20)
        field.release("2", created_ms=2)
        status = field.wait_for_phase("standing-2", "succeeded")

    assert fleet.models() == {NEW: 20}
    assert fleet.refused == []
    assert status.devices == {"succeeded": 20}
    assert status.digested
    commands = feeds.snapshot(field.cluster, "rollouts.commands")
    assert {command.model_id for command in commands.values()} == {NEW}
