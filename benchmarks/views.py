"""Reading the fleet's state: from the views in Redis, beside reading the topics themselves.

    python -m benchmarks.views --stack /tmp/stack --devices 10000

The views are filled by the real worker from the real topics. A read is what the console does for one question. The
topics are read as whoever has no views must: one device's records are on one partition, which is read to its end.
"""

import argparse
import asyncio
import os
import statistics
import threading
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random

import redis
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from console.fleet import Fleet
from console.views import Views
from driftline.stack import Stack
from schemas import feeds
from schemas.catalogue import CATALOGUE, topic_named
from schemas.cluster import Cluster
from schemas.drift_scores import DriftScores, FeatureScores, Verdict
from schemas.feeds import CaughtUp, Changed
from schemas.fleet import Device, DeviceState
from schemas.topics import create_missing
from schemas.wire import Contract
from streams.views.service import ViewsWorker

_FEATURES = [f"feature_{i:02}" for i in range(32)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", type=Path, help="The data folder of a stack that is up; its own otherwise.")
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--reads", type=int, default=2_000)
    said = parser.parse_args()
    with ExitStack() as ours:
        # A stack that was up before goes on after.
        stack = Stack.join(said.stack) if said.stack else ours.enter_context(Stack.start())
        where = stack.endpoints
        cluster = Cluster(
            bootstrap=where.bootstrap, registry_url=where.registry_url, prefix=f"bench-{uuid.uuid4().hex[:6]}-"
        )
        create_missing(cluster)
        try:
            _measure(cluster, where.redis_url, said.devices, said.reads)
        finally:
            admin = AdminClient(cluster.client_settings())
            for deleted in admin.delete_topics([cluster.named(name) for name in CATALOGUE]).values():
                deleted.result(30)
            client = redis.Redis.from_url(where.redis_url)
            for key in client.scan_iter(match=f"{cluster.prefix}*", count=1000):
                client.unlink(key)


def _measure(cluster: Cluster, redis_url: str, devices: int, reads: int) -> None:
    _fill(cluster, devices)
    worker = ViewsWorker(cluster, redis_url)
    thread = threading.Thread(target=worker.run)
    begun_s = time.perf_counter()
    thread.start()
    client = redis.Redis.from_url(redis_url)
    while client.hlen(f"{cluster.prefix}driftline:drift") < devices:
        time.sleep(0.05)
        assert thread.is_alive()
    built_s = time.perf_counter() - begun_s
    print(f"load average {os.getloadavg()[0]:.1f}; {devices} devices, {2 * devices} records")
    print(f"views built from the topics   {built_s:8.1f} s   {2 * devices / built_s:10,.0f} records/s")
    asyncio.run(_views(cluster, redis_url, devices, reads))
    worker.stop()
    thread.join()
    times = [_from_kafka(cluster, f"press-{number:06}") for number in range(5)]
    print(_line("one device's scores, from Kafka", times))


async def _views(cluster: Cluster, redis_url: str, devices: int, reads: int) -> None:
    views, rng = Views(redis_url, prefix=cluster.prefix), Random(1)
    fleet = Fleet(views)
    some = [f"press-{rng.randrange(devices):06}" for _ in range(reads)]
    print(_line("one device's scores", await _timed(lambda name: views.one_of(f"device:{name}", "scores"), some)))
    print(_line("all of one device", await _timed(lambda name: views.all_of(f"device:{name}"), some)))
    print(_line("one device's line", await _timed(lambda name: views.latest(f"series:{name}", limit=240), some)))
    hundreds = [some[start : start + 100] for start in range(0, reads - 100, 100)]
    read = await _timed(lambda names: views.each((f"device:{name}" for name in names), "scores"), hundreds)
    print(_line("a hundred devices' scores", read))
    begun_s = time.perf_counter()
    await fleet.refresh()
    print(f"{'the whole fleet, once':<32} {1000 * (time.perf_counter() - begun_s):8.2f} ms")
    await views.close()


async def _timed(read: Callable[..., Awaitable[object]], some: list) -> list[float]:
    await read(some[0])
    times = []
    for one in some:
        begun_s = time.perf_counter()
        found = await read(one)
        times.append(time.perf_counter() - begun_s)
        assert found
    return times


def _from_kafka(cluster: Cluster, device_id: str) -> float:
    begun_s = time.perf_counter()
    partition = feeds.partition_of(device_id, topic_named("drift.scores").partitions)
    found = None
    with feeds.follow(cluster, "drift.scores", from_ms=0, partitions=[partition], keys={device_id}) as feed:
        for event in feed:
            if isinstance(event, Changed):
                found = event.value
            elif isinstance(event, CaughtUp):
                break
    assert found is not None
    return time.perf_counter() - begun_s


def _line(what: str, times: list[float]) -> str:
    ordered = sorted(times)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return f"{what:<32} p50 {1000 * statistics.median(times):8.2f} ms   p99 {1000 * p99:8.2f} ms   n {len(times)}"


def _fill(cluster: Cluster, devices: int) -> None:
    contract, now_ms, rng = Contract.connect(cluster), time.time_ns() // 1_000_000, Random(2)
    producer = Producer({**cluster.producer_settings(), "linger.ms": 20})
    for number in range(devices):
        device_id = f"press-{number:06}"
        for topic, record in (
            ("fleet.devices", _device(device_id, number, now_ms)), ("drift.scores", _scores(device_id, now_ms, rng)),
        ):  # fmt: skip
            key, value = contract.encode(topic, record)
            while True:
                try:
                    producer.produce(cluster.named(topic), key=key, value=value)
                    break
                except BufferError:
                    producer.poll(0.1)
    assert producer.flush(60) == 0


def _device(device_id: str, number: int, now_ms: int) -> Device:
    return Device(
        device_id=device_id, state=DeviceState.ONLINE, labels={"site": f"site-{number % 20:02}"},
        model_id=f"bearings/{number % 3}", revision=1, registered_ms=now_ms, last_seen_ms=now_ms,
    )  # fmt: skip


def _scores(device_id: str, now_ms: int, rng: Random) -> DriftScores:
    psi = sorted(((rng.random() ** 4, name) for name in _FEATURES), reverse=True)
    return DriftScores(
        device_id=device_id, model_id="bearings/1", grid_id="g", baseline_id="b", policy_id="default",
        policy_revision=1, boot_id="7b7a2c4e-5d0f-4b52-9d1c-0c8a7a9d1e11", seq=1, window_end_ms=now_ms,
        horizon_ms=3_600_000, samples=400, verdict=Verdict.STABLE, drifted=0, complete=True,
        features=tuple(
            FeatureScores(feature=name, verdict=Verdict.STABLE, scores={"psi": value, "ks": value / 2})
            for value, name in psi
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main()
