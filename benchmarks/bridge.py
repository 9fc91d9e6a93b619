"""What one bridge carries: devices that wait for a command, commands told, and records taken, all over mutual TLS.

    python -m benchmarks.bridge [--devices 2000] [--seconds 20]

The bridge is a process of its own (`driftline worker bridge`) on an embedded stack; every device is a connection with a
certificate of its own. The devices share one asking process, whose work is on the same machine: rates are a floor.
"""

import asyncio
import json
import ssl
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import click
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from confluent_kafka import Producer
from rich.console import Console
from rich.table import Table

from benchmarks._certificates import Authority, Paper
from driftline.stack import Stack
from schemas.catalogue import topic_named
from schemas.cluster import Cluster
from schemas.codec import codec_of
from schemas.operators import AuditEntry
from schemas.parcel import Letter, Parcel, Receipt, pack, unpack
from schemas.rollouts import Command
from schemas.topics import create_missing
from schemas.wire import Contract

BOOT = str(uuid.UUID(int=1))


@click.command()
@click.option("--devices", default=2000, show_default=True, help="Connections that are held open.")
@click.option("--commands", default=100_000, show_default=True, help="Devices that the bridge has a command for.")
@click.option("--seconds", default=20.0, show_default=True, help="How long records are sent.")
def main(devices: int, commands: int, seconds: float) -> None:
    """Measure one bridge."""
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as name, Stack.start() as stack:
        cluster = Cluster(bootstrap=stack.endpoints.bootstrap, registry_url=stack.endpoints.registry_url)
        create_missing(cluster)
        teller = Teller(cluster)
        for number in range(commands):
            teller.tell(number, revision=1)
        teller.producer.flush()
        folder = Path(name)
        servers, authority = Authority(folder, "servers"), Authority(folder, "devices")
        papers = [authority.issue(f"device-{number}") for number in range(devices)]
        bridge, port, ready_s = start(folder, cluster, servers.issue("bridge", "localhost"), authority)
        try:
            rows = asyncio.run(measure(bridge.pid, port, servers, papers, teller, seconds))
        finally:
            bridge.terminate()
            bridge.wait(30)
    rows.insert(0, (f"start with {commands:,} commands on the topic", f"{ready_s:.1f} s"))
    table = Table(title="One bridge, one process", title_justify="left", box=None, show_header=False)
    for row in rows:
        table.add_row(*row)
    Console(width=140).print(table, "")


class Teller:
    """Publishes commands."""

    def __init__(self, cluster: Cluster) -> None:
        self.producer = Producer({**cluster.producer_settings(), "linger.ms": 5})
        self._topic = cluster.named("rollouts.commands")
        self._contract = Contract.connect(cluster)

    def tell(self, number: int, *, revision: int) -> None:
        command = Command(
            device_id=f"device-{number}", revision=revision, rollout_id="bench", model_id="bearing/2",
            bundle_sha256="0" * 64, bundle_bytes=65_536, bundle_url="https://registry/bundles/x.bundle", issued_ms=1,
            # As large as a real one.
            envelope="e" * 900,
        )  # fmt: skip
        key, value = self._contract.encode("rollouts.commands", command)
        while True:
            try:
                self.producer.produce(self._topic, key=key, value=value)
            except BufferError:
                self.producer.poll(0.1)
            else:
                self.producer.poll(0)
                return


def start(
    folder: Path, cluster: Cluster, paper: Paper, devices: Authority
) -> tuple[subprocess.Popen[bytes], int, float]:
    command = [
        sys.executable, "-m", "driftline", "worker", "bridge", "--bootstrap", cluster.bootstrap,
        "--registry", cluster.registry_url, "--listen", "127.0.0.1:18443", "--certificate", str(paper.certificate),
        "--key", str(paper.key), "--device-ca", str(devices.file), "--metrics-port", "18444",
    ]  # fmt: skip
    begun = time.perf_counter()
    with (folder / "bridge.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    return process, 18443, asyncio.run(_ready(begun))


async def _ready(begun: float) -> float:
    """Wait until the bridge has read its topics."""
    async with ClientSession() as session:
        while time.perf_counter() - begun < 120:
            try:
                async with session.get("http://127.0.0.1:18444/metrics") as response:
                    if "bridge_ready 1.0" in await response.text():
                        return time.perf_counter() - begun
            except ClientError:
                pass
            await asyncio.sleep(0.1)
    raise TimeoutError("the bridge is not ready after two minutes")


async def measure(
    pid: int, port: int, servers: Authority, papers: list[Paper], teller: Teller, seconds: float
) -> list[tuple[str, str]]:
    before = resident(pid)
    sessions = [_session(port, servers, paper) for paper in papers]
    try:
        begun = time.perf_counter()
        etags = await asyncio.gather(*[_command(session, "") for session in sessions])
        first_s = time.perf_counter() - begun
        waiting = [asyncio.create_task(_command(session, etag)) for session, etag in zip(sessions, etags, strict=True)]
        await asyncio.sleep(3.0)
        held = resident(pid)
        begun = time.perf_counter()
        for number in range(len(papers)):
            teller.tell(number, revision=2)
        await asyncio.to_thread(teller.producer.flush)
        await asyncio.gather(*waiting)
        told_s = time.perf_counter() - begun
        taken, took_s, worst = await _records(sessions, seconds)
    finally:
        await asyncio.gather(*[session.close() for session in sessions])
    return [
        (f"{len(papers):,} devices connect and are given their command", f"{first_s:.2f} s"),
        ("memory with the commands", f"{before / 2**20:,.0f} MiB"),
        ("memory for a device that waits", f"{(held - before) / len(papers) / 1024:,.0f} KiB"),
        (f"{len(papers):,} commands from the topic to who waits", f"{told_s:.2f} s"),
        ("parcels of 2 records a second, each acknowledged by Kafka", f"{taken / took_s:,.0f}"),
        ("p99 of a parcel", f"{worst * 1000:,.0f} ms"),
    ]


def _session(port: int, servers: Authority, paper: Paper) -> ClientSession:
    context = ssl.create_default_context(cafile=str(servers.file))
    context.load_cert_chain(paper.certificate, paper.key)
    connector = TCPConnector(ssl=context, limit=1)
    return ClientSession(f"https://localhost:{port}", connector=connector, timeout=ClientTimeout(120))


async def _command(session: ClientSession, etag: str) -> str:
    while True:
        async with session.get("/v1/command?wait_s=50", headers={"If-None-Match": etag} if etag else {}) as response:
            if response.status == 200:
                await response.read()
                return response.headers["ETag"]


async def _records(sessions: list[ClientSession], seconds: float) -> tuple[int, float, float]:
    topic = topic_named("audit.log")
    codec = codec_of(topic.record)
    times: list[float] = []
    begun = time.perf_counter()

    async def device(number: int, session: ClientSession) -> None:
        # A device has one parcel under way; a hundred of them at once.
        name = f"device-{number}"
        body = codec.encode(AuditEntry(subject=f"device/{name}", action="x", who=f"gateway {name}", why="", at_ms=1))
        letters = tuple(Letter(number=each, topic=topic.name, schema=codec.fingerprint, body=body) for each in range(2))
        while time.perf_counter() - begun < seconds:
            sent = time.perf_counter()
            parcel = Parcel(parcel_id=str(uuid.uuid4()), boot_id=BOOT, letters=letters)
            async with session.post("/v1/records", data=pack(parcel)) as response:
                receipt = unpack(Receipt, await response.read())
            assert len(receipt.taken) == 2, json.dumps(dict(receipt.refused)) + receipt.why
            times.append(time.perf_counter() - sent)

    await asyncio.gather(*[device(number, session) for number, session in enumerate(sessions[:100])])
    return len(times), time.perf_counter() - begun, sorted(times)[int(len(times) * 0.99)]


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    main()
