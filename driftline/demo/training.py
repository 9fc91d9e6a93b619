"""The demo's training: what the machines saw in a reference period becomes a signed, published release."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from securesystemslib.signer import Signer

from driftline.demo.machines import FLEET, Machine
from schemas.cluster import Cluster
from schemas.grid import Grid
from schemas.manifest import Limits
from schemas.release import ModelRelease, ReleaseStage
from schemas.wire import Contract
from sensing import run_batch
from sensing.simulator import Simulated
from trainer.data.dataset import Dataset, Part
from trainer.publishing import Publisher
from trainer.registry.store import bundle_name, open_store
from trainer.release import Order, Trained, metrics_of, release_of, train_release

__all__ = ["MODEL", "REFERENCE_READINGS", "publish", "train"]

MODEL = "press-health"
# Two hours, a reading a second.
REFERENCE_READINGS = 7_200
# The demo shares its processor with Kafka and all workers; a gateway's own default is far stricter.
_LIMITS = Limits(latency_ms=500.0, memory_bytes=1024**3)


def train(
    version: str,
    machines: Sequence[Machine],
    *,
    begin_ms: int,
    warmer_by: float = 0.0,
    grid: Grid | None = None,
    signer: Signer,
) -> Trained:
    """Train the model on what the machines saw while all was well."""
    parts = [_seen(machine, begin_ms, warmer_by) for machine in machines]
    order = Order(model=MODEL, version=version, licence="Apache-2.0", device_limits=_LIMITS)
    return train_release(Dataset.of(f"{FLEET}/1", parts), order, [signer], grid=grid)


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


def _seen(machine: Machine, begin_ms: int, warmer_by: float) -> Part:
    sensor = Simulated(FLEET, device=machine.number, stream=machine.number % 10, start_ms=begin_ms)
    readings = sensor.take(REFERENCE_READINGS)
    readings.values[:, 0] += warmer_by
    vectors = run_batch(sensor.pipeline, readings.at_ms, readings.values)
    return Part(machine.device_id, vectors.at_ms, vectors.matrix)
