"""Apache Kafka as it is run here: KRaft, every broker a controller as well, on loopback only."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from driftline.stack.java import java
from driftline.stack.ports import LOOPBACK
from driftline.stack.server import Server, clean_environment

__all__ = ["Broker", "broker_properties", "kafka_server"]

_HEAP_MB = {1: 768, 3: 512}
_LOGGING = (
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss,SSS",
    "-Dorg.slf4j.simpleLogger.showShortLogName=true",
    # At INFO every start prints all three hundred settings, several times.
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.utils.Log4jControllerRegistration$=warn",
)


@dataclass(frozen=True, slots=True)
class Broker:
    node: int
    port: int
    controller_port: int


def broker_properties(broker: Broker, cluster: Sequence[Broker], folder: Path) -> str:
    """The `server.properties` of `broker`, one of `cluster`, with its data below `folder`."""
    replicas = len(cluster)
    in_sync = 2 if replicas > 1 else 1
    voters = ",".join(f"{b.node}@{LOOPBACK}:{b.controller_port}" for b in cluster)
    settings = {
        "process.roles": "broker,controller",
        "node.id": broker.node,
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{broker.port},CONTROLLER://{LOOPBACK}:{broker.controller_port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": folder / "log",
        # The catalogue makes topics; a mistyped name must not.
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": 5,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": 5,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": 5,
        # Workers of a laptop start one after another; waiting for more of them only costs time.
        "group.initial.rebalance.delay.ms": 0,
        # A killed broker may register again only when its former self is given up; the defaults, 9 s and 2 s,
        # are for networks.
        "broker.session.timeout.ms": 4000,
        "broker.heartbeat.interval.ms": 1000,
        "log.cleaner.dedupe.buffer.size": 32 * 1024**2,
        # What was deleted gives its open files back at once; a test run makes thousands.
        "log.segment.delete.delay.ms": 1000,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def kafka_server(
    broker: Broker, cluster: Sequence[Broker], *, cluster_id: str, jars: Sequence[Path], folder: Path
) -> Server:
    """`broker` as a server with its data and `server.properties` in `folder`."""
    properties = folder / "server.properties"
    classpath = ("-cp", os.pathsep.join(map(str, jars)))
    heap_mb = _HEAP_MB[len(cluster)]
    scratch = folder / "tmp"
    return Server(
        name="kafka" if len(cluster) == 1 else f"kafka-{broker.node}",
        command=java([*_LOGGING, *classpath, "kafka.Kafka", str(properties)], heap_mb=heap_mb, scratch=scratch),
        folder=folder,
        ports=(broker.port, broker.controller_port),
        ready=lambda: _serves(broker),
        environment=clean_environment(os.environ),
        prepare=java(
            [*_LOGGING, *classpath, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)],
            heap_mb=128,
            scratch=scratch,
        ),
        prepared=folder / "log" / "meta.properties",
    )


def _serves(broker: Broker) -> bool:
    """Whether `broker` answers, and the cluster counts it among its living."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    quiet = logging.getLogger(f"{__name__}.starting")
    quiet.setLevel(logging.CRITICAL)
    admin = AdminClient({"bootstrap.servers": f"{LOOPBACK}:{broker.port}"}, logger=quiet)
    try:
        return broker.node in admin.list_topics(timeout=2).brokers
    except KafkaException:
        return False
