"""The topics of a fleet of the drift engine's benchmark: made, filled, and deleted again."""

import contextlib
import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

from benchmarks._drift_fleet import Fleet, bodies
from driftline.stack import Stack
from schemas.cluster import Cluster
from schemas.feature_stats import FeatureStats
from schemas.parsing import parsed
from schemas.record import avro_schema
from schemas.topics import create_missing
from schemas.wire import Contract, body_header
from streams.drift.desk import SOURCE

__all__ = ["SOURCE", "Record", "fleet_topics", "produce", "records_of", "servers", "write_reference"]

_PATIENCE_S = 120


@dataclass(frozen=True, slots=True)
class Record:
    """One window, ready to be sent, and when it is to have arrived."""

    key: bytes
    value: bytes
    arrival_ms: int


@contextlib.contextmanager
def servers(folder: str) -> Iterator[Stack]:
    """Join the stack in a folder, or start one."""
    if folder:
        yield Stack.join(Path(folder))
    else:
        with Stack.start() as stack:
            yield stack


@contextlib.contextmanager
def fleet_topics(stack: Stack, fleet: Fleet, *, arrivals_as_sent: bool, more: Sequence[str] = ()) -> Iterator[Cluster]:
    """Make a fleet's topics, with its grid and baseline; `arrivals_as_sent` has windows arrive when they say."""
    cluster = Cluster(
        bootstrap=stack.endpoints.bootstrap,
        registry_url=stack.endpoints.registry_url,
        prefix=f"bench-{uuid.uuid4().hex[:6]}-",
    )
    create_missing(cluster)
    admin = AdminClient(cluster.client_settings())
    try:
        for name in more:
            admin.create_topics([NewTopic(cluster.named(name), 4, 1)])[cluster.named(name)].result(30)
        if arrivals_as_sent:
            _keep_times(admin, cluster.named(SOURCE))
        contract, producer = Contract.connect(cluster), Producer(cluster.producer_settings())
        contract.register_all([SOURCE, "models.grids", "models.baselines"])
        for topic, record in (("models.grids", fleet.grid), ("models.baselines", fleet.baseline)):
            key, value = contract.encode(topic, record)
            producer.produce(cluster.named(topic), key=key, value=value)
        producer.flush(_PATIENCE_S)
        yield cluster
    finally:
        topics = [topic for topic in admin.list_topics(timeout=30).topics if topic.startswith(cluster.prefix)]
        for deleted in admin.delete_topics(topics).values():
            deleted.exception(30)


def records_of(cluster: Cluster, fleet: Fleet, minute: int) -> list[Record]:
    """Return one window of each device."""
    header = body_header(Contract.connect(cluster).register(SOURCE))
    return [
        Record(device.encode(), header + body, arrived_ms)
        for windows in fleet.batches(minute)
        for device, arrived_ms, body in zip(
            windows.device_id, windows.arrival_ms.tolist(), bodies(windows, fleet.grid.grid_id), strict=True
        )
    ]


def produce(cluster: Cluster, fleet: Fleet, minutes: int) -> int:
    """Fill the topic of windows; returns how many."""
    producer = Producer({**cluster.producer_settings(), "linger.ms": 20, "queue.buffering.max.messages": 200_000})
    sent = 0
    for minute in range(minutes):
        for record in records_of(cluster, fleet, minute):
            while True:
                try:
                    producer.produce(
                        cluster.named(SOURCE), key=record.key, value=record.value, timestamp=record.arrival_ms
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
            sent += 1
    if left := producer.flush(_PATIENCE_S):
        raise RuntimeError(f"{left} of {sent} windows were not delivered to {cluster.bootstrap}")
    return sent


def write_reference(folder: Path, fleet: Fleet) -> tuple[Path, Path]:
    """Write what rivals need: the schema of windows, and what the fleet is compared with."""
    schema, reference = folder / "schema.json", folder / "reference.json"
    schema.write_text(json.dumps(parsed(avro_schema(FeatureStats))))
    features: list[Mapping[str, Any]] = [
        {
            "name": one.name, "counts": list(one.counts), "mean": one.mean, "variance": one.variance,
            "dispersion": one.dispersion_counts, "edges": list(grid.edges),
        }
        for one, grid in zip(fleet.baseline.features, fleet.grid.features, strict=True)
    ]  # fmt: skip
    reference.write_text(json.dumps(features))
    return schema, reference


def _keep_times(admin: AdminClient, topic: str) -> None:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    resource.add_incremental_config(
        ConfigEntry("message.timestamp.type", "CreateTime", incremental_operation=AlterConfigOpType.SET)
    )
    admin.incremental_alter_configs([resource])[resource].result(30)
    # The broker takes a moment to heed it.
    time.sleep(1)
