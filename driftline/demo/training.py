"""Trainings by hand: the first model of each kind, and the bad one; the good second one is the trainer's own work."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from driftline.demo.fleet import Kind
from schemas.cluster import Cluster
from schemas.grid import Grid
from schemas.manifest import Limits
from schemas.release import ModelRelease, ReleaseStage
from schemas.wire import Contract
from sensing import run_batch
from sensing.simulator import Simulated
from sensing.tally import Floats
from trainer.data.dataset import Dataset, Part
from trainer.publishing import Publisher
from trainer.registry.store import bundle_name, open_store
from trainer.release import Order, Trained, metrics_of, release_of, train_release
from trust import Signer

__all__ = ["publish", "train"]

# The demo shares its processor with Kafka and all workers; a gateway's own default is far stricter.
_DEVICE_LIMITS = Limits(latency_ms=500.0, memory_bytes=1024**3)


def train(
    kind: Kind,
    version: str,
    *,
    now_ms: int,
    signer: Signer,
    grid: Grid | None = None,
    seen: Callable[[Floats], Floats] = lambda readings: readings,
) -> Trained:
    """Train a model on what the devices of a kind saw while all was well; `seen` may tell it otherwise."""
    parts = []
    for member in kind.members():
        sensor = Simulated(kind.name, device=member.number, stream=member.number, start_ms=kind.begin_ms(now_ms))
        readings = sensor.take(kind.behind)
        vectors = run_batch(sensor.pipeline, readings.at_ms, seen(readings.values))
        parts.append(Part(member.device_id, vectors.at_ms, vectors.matrix))
    order = Order(model=kind.model, version=version, licence="Apache-2.0", device_limits=_DEVICE_LIMITS)
    return train_release(Dataset.of(f"{kind.name}/1", parts), order, [signer], grid=grid)


def publish(trained: Trained, cluster: Cluster, store: Path, *, created_by: str) -> ModelRelease:
    """Put the bundle into the store, and tell the fleet's topics of it as a release that may be rolled out."""
    bundle = trained.bundle
    name = bundle_name(bundle.sha256)
    open_store(str(store)).put(name, trained.content)
    candidate = release_of(
        bundle,
        metrics_of(trained),
        bundle_url=f"{store.as_uri()}/{name}",
        created_ms=time.time_ns() // 1_000_000,
        created_by=created_by,
    )
    release = replace(candidate, stage=ReleaseStage.PRODUCTION)
    publisher = Publisher(cluster, Contract.connect(cluster), name="demo-trainer").start()
    publisher.publish(
        [("models.grids", bundle.grid), ("models.baselines", bundle.baseline), ("models.releases", release)]
    )
    return release
