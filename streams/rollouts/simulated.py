"""Simulated gateways: one process that plays a fleet, for tests, benchmarks and demonstrations.

They verify what they are told, obey only what is newer, and answer in the order in which real gateways do. How well a
model does on them is the caller's to say.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import Producer

from schemas import feeds
from schemas.cluster import Cluster
from schemas.fleet import Heartbeat, Slot, SlotState
from schemas.model_health import ModelHealth
from schemas.rollouts import Ack, AckPhase, Command
from schemas.wire import Contract
from trust import Keyring, TrustError, open_record

__all__ = ["SimulatedFleet", "SimulatedGateway"]

# What a gateway answers to a command, in order.
Answers = Callable[[str, Command], Sequence[AckPhase]]
WELL = (AckPhase.RECEIVED, AckPhase.DOWNLOADING, AckPhase.INSTALLED, AckPhase.TRIAL, AckPhase.SUCCEEDED)


@dataclass(slots=True)
class SimulatedGateway:
    """What one device has and remembers."""

    device_id: str
    model_id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    pipelines: tuple[str, ...] = ()
    revision: int = 0
    boot_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    seq: int = 0
    said: list[AckPhase] = field(default_factory=list)
    # What it was told to run, command by command.
    obeyed: list[str] = field(default_factory=list)
    online: bool = True


class SimulatedFleet:
    """Gateways that share one Kafka client; everything else is their own."""

    def __init__(
        self,
        cluster: Cluster,
        gateways: Iterable[SimulatedGateway],
        keyring: Keyring,
        *,
        answers: Answers = lambda _device, _command: WELL,
        health: Callable[[SimulatedGateway], ModelHealth | None] = lambda _gateway: None,
        health_every_s: float = 1.0,
    ) -> None:
        self.gateways = {gateway.device_id: gateway for gateway in gateways}
        self.refused: list[str] = []
        self._cluster, self._keyring, self._answers = cluster, keyring, answers
        self._health, self._health_every_s = health, health_every_s
        self._contract = Contract.connect(cluster)
        self._producer = Producer({**cluster.producer_settings(), "linger.ms": 2, "compression.type": "lz4"})
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulated-fleet", daemon=True)

    def __enter__(self) -> "SimulatedFleet":
        for topic in ("rollouts.acks", "fleet.heartbeats", "telemetry.model-health"):
            self._contract.register(topic)
        self.beat()
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopping.set()
        self._thread.join(30)
        self._producer.flush(10)

    def beat(self) -> None:
        """Send everybody's heartbeat now."""
        for gateway in self.gateways.values():
            if gateway.online:
                self._send("fleet.heartbeats", _heartbeat(gateway))
        self._producer.flush(10)

    def report(self) -> None:
        """Send everybody's health now."""
        for gateway in self.gateways.values():
            window = self._health(gateway) if gateway.online else None
            if window is not None:
                self._send("telemetry.model-health", window)
        self._producer.poll(0)

    def models(self) -> dict[str, int]:
        """Return how many devices run each model."""
        counts: dict[str, int] = {}
        for gateway in self.gateways.values():
            counts[gateway.model_id] = counts.get(gateway.model_id, 0) + 1
        return counts

    def _run(self) -> None:
        next_report = time.monotonic()
        with feeds.read(self._cluster, "rollouts.commands") as feed:
            while not self._stopping.is_set():
                for event in feed.poll(0.05):
                    if isinstance(event, feeds.Changed):
                        self._obey(event.value)
                if time.monotonic() >= next_report:
                    self.report()
                    next_report += self._health_every_s
                self._producer.poll(0)

    def _obey(self, command: Command) -> None:
        gateway = self.gateways.get(command.device_id)
        if gateway is None or not gateway.online:
            return
        try:
            order = open_record(command, self._keyring)
        except TrustError as refused:
            self.refused.append(str(refused))
            return
        if order.revision < gateway.revision:
            return
        if order.revision == gateway.revision:
            # A repeat is answered again, and not done twice.
            self._ack(gateway, order, gateway.said[-1])
            return
        gateway.revision = order.revision
        gateway.obeyed.append(order.model_id)
        gateway.said = []
        for phase in self._answers(gateway.device_id, order):
            if phase is AckPhase.SUCCEEDED:
                gateway.model_id = order.model_id
            gateway.said.append(phase)
            self._ack(gateway, order, phase)

    def _ack(self, gateway: SimulatedGateway, order: Command, phase: AckPhase) -> None:
        gateway.seq += 1
        ack = Ack(
            device_id=gateway.device_id,
            revision=order.revision,
            rollout_id=order.rollout_id,
            phase=phase,
            model_id=gateway.model_id,
            reason="",
            at_ms=_wall_ms(),
            boot_id=gateway.boot_id,
            seq=gateway.seq,
        )
        self._send("rollouts.acks", ack)

    def _send(self, topic: str, record: Ack | Heartbeat | ModelHealth) -> None:
        key, value = self._contract.encode(topic, record)
        while True:
            try:
                self._producer.produce(self._cluster.named(topic), key=key, value=value)
            except BufferError:
                self._producer.poll(0.05)
            else:
                return


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _heartbeat(gateway: SimulatedGateway) -> Heartbeat:
    return Heartbeat(
        device_id=gateway.device_id,
        boot_id=gateway.boot_id,
        at_ms=_wall_ms(),
        agent_version="simulated",
        uptime_s=1.0,
        model_id=gateway.model_id,
        slots=(
            Slot(name="A", state=SlotState.STABLE, model_id=gateway.model_id, active=True),
            Slot(name="B", state=SlotState.EMPTY),
        ),
        pipelines=gateway.pipelines,
        labels=dict(gateway.labels),
        revision=gateway.revision,
        spool_records=0,
        spool_bytes=0,
        spool_dropped=0,
        cpu_share=0.1,
        memory_bytes=50_000_000,
        disk_free_bytes=1_000_000_000,
    )
