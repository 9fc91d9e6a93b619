"""A cluster with its keys, on which controllers and gateways are started and watched."""

import contextlib
import signal
import subprocess
import sys
import threading

from confluent_kafka import Producer
from patience import PATIENCE_S, eventually
from rollout_records import asked, release

from schemas import feeds
from schemas.release import ReleaseStage
from schemas.wire import Contract
from streams.rollouts.controller import ControllerOptions
from streams.rollouts.service import RolloutService, ServiceOptions
from streams.rollouts.simulated import SimulatedFleet, SimulatedGateway
from trust import Keyring, Kind, load_signer, make_key, pin

__all__ = ["NEW", "OLD", "Field"]

OLD, NEW = "bearings/1", "bearings/2"
QUICK = ControllerOptions(judge_every_ms=300)


class Field:
    """A cluster with its keys, on which controllers and gateways are started."""

    def __init__(self, cluster, tmp_path):
        self.cluster = cluster
        self.key = tmp_path / "controller.pem"
        make_key(tmp_path / "controller.pem")
        self.signer = load_signer(f"file:{tmp_path / 'controller.pem'}", environ={})
        self.keyring = Keyring(keys=(pin("controller", self.signer.public_key, Kind.COMMAND),))
        self.contract = Contract.connect(cluster)
        self.producer = Producer(cluster.producer_settings())
        for topic in ("models.releases", "operators.requests", "drift.alerts", "drift.scores"):
            self.contract.register(topic)

    def send(self, topic, record):
        key, value = self.contract.encode(topic, record)
        self.producer.produce(self.cluster.named(topic), key=key, value=value)
        assert self.producer.flush(PATIENCE_S) == 0

    def release(self, version, stage=ReleaseStage.PRODUCTION, created_ms=1_000):
        self.send("models.releases", release(f"bearings/{version}", stage, created_ms=created_ms))

    def ask(self, subject, action, **arguments):
        self.send("operators.requests", asked(subject, action, arguments))

    def start(self, document):
        self.ask(f"rollout/{document['rollout']}", "start", document=document)

    @contextlib.contextmanager
    def controller(self):
        service = RolloutService(self.cluster, [self.signer], ServiceOptions(turn_s=0.05, controller=QUICK))
        thread = threading.Thread(target=service.run, daemon=True)
        thread.start()
        try:
            yield service
        finally:
            service.stop()
            thread.join(PATIENCE_S)

    @contextlib.contextmanager
    def process(self):
        """Run a controller as a process of its own, which can be killed and frozen."""
        command = [sys.executable, "-c", "from driftline.command import main; main()", "worker", "rollouts"]
        command += ["--key", f"file:{self.key}", "--bootstrap", self.cluster.bootstrap]
        command += ["--registry", self.cluster.registry_url, "--prefix", self.cluster.prefix]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(PATIENCE_S)

    def leader(self):
        leader = feeds.snapshot(self.cluster, "rollouts.leader").get("rollouts")
        return leader.who if leader is not None else ""

    def fleet(self, count, **options):
        gateways = [
            SimulatedGateway(f"gw-{number:03d}", OLD, {"region": "eu"}, pipelines=("vibration/1",))
            for number in range(count)
        ]
        return SimulatedFleet(self.cluster, gateways, self.keyring, **options)

    def status(self, rollout_id):
        return feeds.snapshot(self.cluster, "rollouts.status").get(rollout_id)

    def wait_for_phase(self, rollout_id, phase, within_s=PATIENCE_S):
        return self.wait_for(
            lambda: (status := self.status(rollout_id)) and status.phase.value == phase and status, within_s
        )

    def wait_for(self, condition, within_s=PATIENCE_S):
        return eventually(condition, within_s, lambda: f"status: {feeds.snapshot(self.cluster, 'rollouts.status')}")
