"""How fast the sink turns topics into Parquet, and what a training reads back.

    python -m benchmarks.offline_sink [--records 200000] [--stack FOLDER]

Vectors of sixteen features from 200 devices, on the topic before the clock starts; the sink reads them from Kafka, and
writes them as it does in service, in files of 50,000 records. It starts a stack of its own, unless one is named.
"""

import argparse
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka.admin import AdminClient
from rich.console import Console
from rich.table import Table

from schemas.catalogue import CATALOGUE
from schemas.cluster import Cluster
from schemas.sample import Sample, SampledBecause
from schemas.topics import create_missing
from schemas.wire import Contract
from trainer.offline import Flushing, OfflineStore, TopicSink
from trainer.offline.kinds import SAMPLES
from trainer.publishing import Publisher

DEVICES, FEATURES = 200, 16
FAR_MS = 4_000_000_000_000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--records", type=int, default=200_000)
    options.add_argument("--stack", type=Path)
    chosen = options.parse_args()
    table = Table("WHAT", "FOUND", box=None, pad_edge=False)
    with a_cluster(chosen.stack) as cluster, tempfile.TemporaryDirectory() as folder:
        send(cluster, chosen.records)
        began, cpu = time.perf_counter(), time.process_time()
        sink = TopicSink(cluster, SAMPLES, Path(folder), flushing=Flushing(), report=refuse)
        while sink.counts["stored"] + sink.waiting < chosen.records:
            sink.step(now_s=time.monotonic())
        sink.flush()
        table.add_row("Kafka to Parquet", rate_since(chosen.records, began, cpu))
        sink.close()
        files = list(Path(folder).rglob("*.parquet"))
        size = sum(path.stat().st_size for path in files)
        table.add_row("on disk", f"{size / chosen.records:.0f} bytes a record, {len(files)} files")
        began, cpu = time.perf_counter(), time.process_time()
        found = OfflineStore(Path(folder)).assemble("machine/1", from_ms=0, to_ms=FAR_MS, as_of_ms=FAR_MS)
        table.add_row("Parquet to a data set", rate_since(len(found.dataset), began, cpu))
    Console(width=140).print(table)


@contextmanager
def a_cluster(folder: Path | None) -> Iterator[Cluster]:
    """Topics of the benchmark's own."""
    from driftline.stack import Stack, running

    if folder is None:
        with Stack.start() as stack:
            yield made_cluster(stack.endpoints)
        return
    cluster = made_cluster(running(folder))
    try:
        yield cluster
    finally:
        admin = AdminClient({**cluster.client_settings()})
        for deleted in admin.delete_topics([cluster.named(SAMPLES.topic)]).values():
            deleted.result(30)


def made_cluster(endpoints: Any) -> Cluster:
    prefix = f"b{uuid.uuid4().hex[:6]}-"
    cluster = Cluster(bootstrap=endpoints.bootstrap, registry_url=endpoints.registry_url, prefix=prefix)
    create_missing(cluster, catalogue=[CATALOGUE[SAMPLES.topic]])
    return cluster


def send(cluster: Cluster, count: int) -> None:
    rng = np.random.default_rng(0)
    publisher = Publisher(cluster, Contract.connect(cluster), name="gateways").start()
    for first in range(0, count, 10_000):
        vectors = rng.normal(size=(min(10_000, count - first), FEATURES)).astype("<f4")
        numbered = enumerate(vectors, first)
        records: list[tuple[str, Any]] = [(SAMPLES.topic, sample(number, vector)) for number, vector in numbered]
        publisher.publish(records)
    publisher.close()


def sample(number: int, vector: Any) -> Sample:
    return Sample(
        device_id=f"device-{number % DEVICES:03d}", prediction_id=str(uuid.UUID(int=number)), model_id="bearing/1",
        pipeline="machine/1", at_ms=number // DEVICES * 1_000, features=vector.tobytes(), score=0.5, anomaly=False,
        confidence=0.5, because=SampledBecause.UNIFORM,
    )  # fmt: skip


def refuse(bad: object) -> None:
    raise SystemExit(f"the benchmark's own records cannot be read: {bad}")


def rate_since(count: int, began: float, cpu: float) -> str:
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    return f"{count / wall_s:,.0f} records/s ({count / cpu_s:,.0f} per CPU second)"


if __name__ == "__main__":
    main()
