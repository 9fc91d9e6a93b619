"""The console under load: reads by wrk, and many who follow live updates at once.

    python -m benchmarks.console --stack /tmp/stack --devices 10000 --followers 500

It needs `wrk` (apt-get install wrk). The console is the real command in a process of its own; the views are filled by
the real worker. For the followers, the time is from handing a change to Kafka until its event has arrived, for every
change and every follower.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import redis
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from benchmarks.views import _fill, _line
from console import AuthStore, Role
from driftline.stack import Stack
from schemas.catalogue import CATALOGUE
from schemas.cluster import Cluster
from schemas.drift_alert import AlertState, DriftAlert, Evidence, Severity
from schemas.operators import AuditEntry
from schemas.rollouts import RolloutPhase, RolloutStatus
from schemas.topics import create_missing
from schemas.wire import Contract
from streams.views.service import ViewsWorker

_PATHS = ("/devices/press-000007", "/devices/press-000007/scores", "/devices?limit=50", "/alerts", "/stats",
          "/fleet/heatmap?by=site", "/health")  # fmt: skip
_CHANGES = 20
_ROLLOUTS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", type=Path, help="The data folder of a stack that is up; its own otherwise.")
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--followers", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=5)
    said = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("error: wrk is not installed\nhint: apt-get install wrk")
    with ExitStack() as ours, tempfile.TemporaryDirectory() as folder:
        # A stack that was up before goes on after.
        stack = Stack.join(said.stack) if said.stack else ours.enter_context(Stack.start())
        where = stack.endpoints
        cluster = Cluster(
            bootstrap=where.bootstrap, registry_url=where.registry_url, prefix=f"bench-{uuid.uuid4().hex[:6]}-"
        )
        create_missing(cluster)
        try:
            _measure(cluster, where.redis_url, Path(folder), said)
        finally:
            admin = AdminClient(cluster.client_settings())
            for deleted in admin.delete_topics([cluster.named(name) for name in CATALOGUE]).values():
                deleted.result(30)
            client = redis.Redis.from_url(where.redis_url)
            for key in client.scan_iter(match=f"{cluster.prefix}*", count=1000):
                client.unlink(key)


def _measure(cluster: Cluster, redis_url: str, folder: Path, said: argparse.Namespace) -> None:
    _fill(cluster, said.devices)
    _fill_beside(cluster, said.devices)
    worker = ViewsWorker(cluster, redis_url)
    thread = threading.Thread(target=worker.run)
    thread.start()
    client = redis.Redis.from_url(redis_url)
    while worker.waiting() or client.hlen(f"{cluster.prefix}driftline:drift") < said.devices:
        time.sleep(0.1)
    # What is measured is the console; nothing new comes in while wrk is at work.
    worker.stop()
    thread.join()
    store = AuthStore(folder / "console" / "console.db")
    key = store.make_key("bench", Role.VIEWER, by="bench", now_ms=0)[1]
    store.close()
    port = _free_port()
    console = subprocess.Popen(
        [sys.executable, "-m", "driftline", "console", "--port", str(port), "--bootstrap", cluster.bootstrap,
         "--registry", cluster.registry_url, "--prefix", cluster.prefix],
        env={**os.environ, "DRIFTLINE_REDIS": redis_url, "DRIFTLINE_DATA": str(folder)},
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_until_ready(port)
        print(f"load average {os.getloadavg()[0]:.1f}; {said.devices} devices; wrk, 1 thread, 16 connections")
        # The first question waits for the slow hash of its key.
        _read(f"http://127.0.0.1:{port}/session", key, 1)
        for path in _PATHS:
            _read(f"http://127.0.0.1:{port}{path}", key, said.seconds)
        asyncio.run(_follow(cluster, port, key, said.followers))
        print(f"memory of the console {_resident_mb(console.pid):.0f} MiB")
    finally:
        console.terminate()
        console.wait(20)


def _fill_beside(cluster: Cluster, devices: int) -> None:
    """An open alert for every twentieth device, and as many rollouts as a fleet sees in months."""
    contract = Contract.connect(cluster)
    producer = Producer(cluster.producer_settings())
    now_ms = time.time_ns() // 1_000_000
    records = [("drift.alerts", _alert(f"press-{number:06}", now_ms)) for number in range(0, devices, 20)]
    records += [("rollouts.status", _rollout(number, now_ms)) for number in range(_ROLLOUTS)]
    for topic, record in records:
        key, value = contract.encode(topic, record)
        producer.produce(cluster.named(topic), key=key, value=value)
    assert producer.flush(60) == 0


def _alert(device_id: str, now_ms: int) -> DriftAlert:
    evidence = Evidence(scores={"psi": 0.41, "ks": 0.3}, samples=400, reference="b", horizon_ms=3_600_000)
    return DriftAlert(
        alert_id=f"{device_id}/feature_01/mean_shift/{now_ms}", kind="mean_shift", subject=device_id,
        subject_is_cohort=False, feature="feature_01", model_id="bearings/1", state=AlertState.FIRING,
        severity=Severity.HIGH, opened_ms=now_ms, changed_ms=now_ms, summary=f"mean shift of {device_id}",
        evidence=evidence, policy_id="default", policy_revision=1,
    )  # fmt: skip


def _rollout(number: int, now_ms: int) -> RolloutStatus:
    return RolloutStatus(
        rollout_id=f"bearings-{number}", model_id=f"bearings/{number}", phase=RolloutPhase.SUCCEEDED, stage=2, stages=3,
        reason="all done", changed_ms=now_ms, devices={"succeeded": 1_000}, gates=(), digested={},
    )  # fmt: skip


def _read(url: str, key: str, seconds: int) -> None:
    said = subprocess.run(
        ["wrk", "-t1", "-c16", f"-d{seconds}s", "--latency", "-H", f"Authorization: Bearer {key}", url],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    per_s = re.search(r"Requests/sec:\s+([\d.]+)", said)
    p50, p99 = (re.search(rf"{share}%\s+([\d.]+\w+)", said) for share in ("50", "99"))
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    assert per_s, said
    assert p50, said
    assert p99, said
    print(
        f"{url.partition('/')[2].partition('/')[2].partition('/')[2]:<32} {float(per_s[1]):8,.0f} requests/s   "
        f"p50 {p50[1]:>9}   p99 {p99[1]:>9}   failed {failed[1] if failed else 0}"
    )


async def _follow(cluster: Cluster, port: int, key: str, followers: int) -> None:
    contract = Contract.connect(cluster)
    producer = Producer({**cluster.producer_settings(), "linger.ms": 0})
    arrived: dict[str, list[float]] = {}
    listening = await asyncio.gather(*(_listen(port, key, arrived) for _ in range(followers)))
    sent: dict[str, float] = {}
    for number in range(_CHANGES):
        entry = AuditEntry(subject=f"bench/{number}", action="told", who="bench", why="", at_ms=1, evidence={})
        name, value = contract.encode("audit.log", entry)
        sent[entry.subject] = time.perf_counter()
        producer.produce(cluster.named("audit.log"), key=name, value=value)
        producer.flush(10)
        await asyncio.sleep(0.5)
    await asyncio.sleep(3)
    for task in listening:
        task.cancel()
    times = [at_s - sent[subject] for subject, all_s in arrived.items() for at_s in all_s]
    print(_line(f"{followers} followers, {_CHANGES} changes", times), f"of {followers * _CHANGES}")


async def _listen(port: int, key: str, arrived: dict[str, list[float]]) -> "asyncio.Task[None]":
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET /events?kinds=audit HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head, head

    async def hear() -> None:
        try:
            while line := await reader.readline():
                if line.startswith(b"data: "):
                    arrived.setdefault(json.loads(line[6:])["key"], []).append(time.perf_counter())
        finally:
            writer.close()

    return asyncio.create_task(hear())


def _wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
                if json.load(answer)["parts"]["live"] == "ok":
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit("error: the console is not ready after 60 s")


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
