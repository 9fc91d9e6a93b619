"""How long after its window's arrival an alert is on its topic; both times are the broker's."""

import contextlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from benchmarks._drift_fleet import Fleet
from benchmarks._drift_topic import SOURCE, Record, fleet_topics, records_of, servers
from schemas.catalogue import topic_named
from schemas.cluster import Cluster
from schemas.drift_alert import AlertState
from schemas.wire import Contract
from streams.drift.service import GROUP

__all__ = ["delays"]

ROOT = Path(__file__).parents[1]
# A minute of the fleet's goes by in a second; it ends before what a device clock may be ahead.
WARM_MINUTES, MINUTES, MINUTE_MS = 8, 26, 60_000
# One device in so many begins to drift, at a moment of its own.
_ONE_IN = 10
_SLICES = 100
_ALERTS = "drift.alerts"


def delays(rng: np.random.Generator, *, rates: Sequence[int], folder: str, now_ms: int) -> None:
    """Print the delay of alerts at so many windows a second."""
    print(f"\nfrom a window's arrival on its topic to its alert on the topic, {MINUTES} s each, milliseconds")
    print(f"{'windows/s':>10}{'sent':>10}{'alerts':>8}{'p50':>8}{'p99':>8}{'longest':>9}")
    with servers(folder) as stack:
        for rate in rates:
            fleet = Fleet(rng, rate)
            fleet.start_ms = now_ms - now_ms % MINUTE_MS - 40 * MINUTE_MS
            drifting = rng.integers(0, _ONE_IN, rate) == 0
            fleet.since = np.where(drifting, rng.integers(WARM_MINUTES, MINUTES - 4, rate), np.iinfo(np.int64).max)
            with fleet_topics(stack, fleet, arrivals_as_sent=False) as cluster:
                log = [records_of(cluster, fleet, minute) for minute in range(MINUTES)]
                with _worker(cluster):
                    # By then every partition is taken up.
                    _send(cluster, log[:1], set())
                    _wait_until_done(cluster, rate)
                    arrivals, per_s = _send(cluster, log[1:], {fleet.names[at] for at in np.flatnonzero(drifting)})
                    _wait_until_done(cluster, rate * MINUTES)
                found = np.array(_found(cluster, arrivals))
            if not len(found):
                raise RuntimeError(f"no alert at {rate} windows/s")
            middle, most = np.percentile(found, [50, 99])
            print(
                f"{rate:>10,}{per_s:>10,.0f}{len(found):>8,}{middle:>8.0f}{most:>8.0f}{found.max():>9.0f}", flush=True
            )


@contextlib.contextmanager
def _worker(cluster: Cluster) -> Iterator[None]:
    """A drift worker as everybody runs it, once it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ["--bootstrap", cluster.bootstrap, "--registry", cluster.registry_url, "--prefix", cluster.prefix]
    command = [sys.executable, "-m", "driftline", "worker", "drift", *where, "--metrics-port", str(port)]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
        try:
            _wait_until_ready(port, process)
            yield
        finally:
            process.terminate()
            process.wait(30)


def _wait_until_ready(port: int, process: "subprocess.Popen[bytes]") -> None:
    give_up_s = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < give_up_s:
        with contextlib.suppress(urllib.error.URLError):
            if urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5).status == 200:
                return
        time.sleep(0.2)
    raise RuntimeError("the drift worker did not become ready")


def _send(cluster: Cluster, log: list[list[Record]], watched: set[str]) -> tuple[dict[tuple[str, int], int], float]:
    """Send a minute each second, evenly; returns when watched devices' windows arrived, and the rate that was held."""
    producer, topic = Producer({**cluster.producer_settings(), "linger.ms": 5}), cluster.named(SOURCE)
    arrivals: dict[tuple[str, int], int] = {}
    names = {name.encode() for name in watched}
    done = threading.Event()

    def poll() -> None:
        while not done.is_set():
            producer.poll(0.05)

    def send(record: Record) -> None:
        if record.key not in names:
            producer.produce(topic, key=record.key, value=record.value)
            return

        def arrived(_error: object, message: Message) -> None:
            arrivals[record.key.decode(), record.arrival_ms - 500] = message.timestamp()[1]

        producer.produce(topic, key=record.key, value=record.value, on_delivery=arrived)

    poller = threading.Thread(target=poll)
    poller.start()
    began_s = time.monotonic()
    for second, records in enumerate(log):
        for piece in range(_SLICES):
            due_s = began_s + second + piece / _SLICES
            time.sleep(max(due_s - time.monotonic(), 0))
            for record in records[piece * len(records) // _SLICES : (piece + 1) * len(records) // _SLICES]:
                send(record)
    took_s = time.monotonic() - began_s
    producer.flush(60)
    done.set()
    poller.join()
    return arrivals, sum(map(len, log)) / took_s


def _wait_until_done(cluster: Cluster, windows: int) -> None:
    settings = {**cluster.client_settings(), "group.id": cluster.named(GROUP), "enable.auto.commit": False}
    places = [TopicPartition(cluster.named(SOURCE), number) for number in range(topic_named(SOURCE).partitions)]
    consumer, give_up_s = Consumer(settings), time.monotonic() + 120
    while sum(max(place.offset, 0) for place in consumer.committed(places, timeout=10)) < windows:
        if time.monotonic() > give_up_s:
            raise RuntimeError(f"the drift worker is not done with {windows} windows after 120 s")
        time.sleep(0.5)
    consumer.close()


def _found(cluster: Cluster, arrivals: dict[tuple[str, int], int]) -> list[int]:
    """Return, for each alert that fires, how long after its window's arrival it was on the topic."""
    contract, name, found = Contract.connect(cluster), cluster.named(_ALERTS), []
    consumer = Consumer({**cluster.client_settings(), "group.id": f"{name}-delay", "enable.auto.commit": False})
    try:
        for number in range(topic_named(_ALERTS).partitions):
            place = TopicPartition(name, number, 0)
            _, end = consumer.get_watermark_offsets(place, timeout=30)
            consumer.assign([place])
            read = 0
            while read < end:
                message = consumer.poll(10)
                if message is None or message.error():
                    raise RuntimeError(f"{name}[{number}]: read {read} of {end}")
                read = (message.offset() or 0) + 1
                alert = contract.decode(_ALERTS, message.key(), message.value() or b"")
                arrived_ms = arrivals.get((alert.subject, alert.changed_ms))
                if alert.state is AlertState.FIRING and arrived_ms is not None:
                    found.append(message.timestamp()[1] - arrived_ms)
    finally:
        consumer.close()
    return found
