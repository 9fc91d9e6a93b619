"""How fast rollouts are: decisions, plans for large fleets, signatures, and commands until they are acked.

`python -m benchmarks.rollouts [--devices 100000 1000000] [--gateways 1000] [--no-kafka]`

With Kafka it starts a stack of its own, unless `--stack FOLDER` names one that is up. `--only PART` runs one part.
"""

import argparse
import json
import resource
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from rich.console import Console
from rich.table import Table

from schemas import feeds
from schemas.catalogue import CATALOGUE
from schemas.cluster import Cluster
from schemas.fleet import Device, DeviceState
from schemas.operators import OperatorRequest
from schemas.release import ModelRelease, ReleaseStage
from schemas.rollouts import Ack, AckPhase, Command
from schemas.topics import create_missing
from schemas.wire import Contract
from streams.collecting import collect_seldom
from streams.rollouts.controller import Controller, ControllerOptions
from streams.rollouts.events import Acked, DeviceJoined, TimePassed
from streams.rollouts.inputs import Inputs
from streams.rollouts.ledger import OUTPUTS, Ledger
from streams.rollouts.machine import decide
from streams.rollouts.plan import parse_plan
from streams.rollouts.rollout import Rollout
from streams.rollouts.service import RolloutService, ServiceOptions
from streams.rollouts.simulated import SimulatedFleet, SimulatedGateway
from trust import Keyring, Kind, load_signer, make_key, open_record, pin, sign_record, sign_records

BOOT = "00000000-0000-4000-8000-000000000000"
NEW = "bearings/2"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--devices", type=int, nargs="+", default=[100_000, 1_000_000])
    options.add_argument("--gateways", type=int, default=1_000)
    options.add_argument("--no-kafka", action="store_true")
    options.add_argument("--stack", type=Path)
    options.add_argument("--only", choices=["decisions", "plans", "signatures", "topic", "acks"])
    chosen = options.parse_args()
    # As the worker does.
    collect_seldom()
    table = Table("WHAT", "FOUND", "TO REACH", box=None, pad_edge=False)
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder) / "controller.pem"
        make_key(key)
        signer = load_signer(f"file:{key}", environ={})
        keyring = Keyring(keys=(pin("controller", signer.public_key, Kind.COMMAND),))
        parts = {
            "decisions": lambda: decisions(table),
            "plans": lambda: [plan_and_first_commands(table, devices) for devices in chosen.devices],
            "signatures": lambda: signatures(table, signer, keyring),
        }
        with ExitStack() as ending:
            if not chosen.no_kafka and chosen.only in (None, "topic", "acks"):
                endpoints = ending.enter_context(a_stack(chosen.stack))
                parts["topic"] = lambda: [on_the_topic(table, endpoints, signer, count) for count in chosen.devices]
                parts["acks"] = lambda: until_acked(table, endpoints, signer, keyring, chosen.gateways)
            for name, part in parts.items():
                if chosen.only in (None, name):
                    part()
    Console(width=140).print(table)


@contextmanager
def a_stack(folder: Path | None) -> Iterator[Any]:
    from driftline.stack import Stack, running

    if folder is None:
        with Stack.start() as stack:
            yield stack.endpoints
    else:
        yield running(folder)


def decisions(table: Table, devices: int = 200_000) -> None:
    """Acks through the machine alone: one "trial" and one "succeeded" a device."""
    plan = parse_plan({"rollout": "r", "model": NEW, "strategy": "all-at-once"})
    rollout = Rollout(plan=plan)
    for number in range(devices):
        rollout, _ = decide(rollout, DeviceJoined(f"device-{number:07d}", 0, stage=0, previous="bearings/1"))
    commanded = 1
    while commanded:
        rollout, effects = decide(rollout, TimePassed(0))
        commanded = len(effects)
    acks = [
        Acked(f"device-{number:07d}", phase, 1)
        for phase in (AckPhase.TRIAL, AckPhase.SUCCEEDED)
        for number in range(devices)
    ]
    began, cpu = time.perf_counter(), time.process_time()
    for ack in acks:
        rollout, _ = decide(rollout, ack)
    table.add_row("decisions, machine alone", rate_since(len(acks), began, cpu), "100,000/s")


def plan_and_first_commands(table: Table, devices: int) -> None:
    """From a plan to the commands of its first stage (1 %), and acks through the whole controller; without Kafka."""
    before = memory_mb()
    controller = Controller(ControllerOptions(default_plan=None))
    for number in range(devices):
        controller.fleet.restore(device(number), now_ms=0)
    controller.digest(release(), 0)
    fleet_mb = memory_mb() - before
    began, cpu = time.perf_counter(), time.process_time()
    document = {
        "rollout": "r1",
        "model": NEW,
        "strategy": {"kind": "canary", "percent": [1, 100]},
        "limits": {"bake_s": 0, "deadline_s": 1_000_000},
    }
    controller.submit(document, who="benchmark", why="", now_ms=0)
    commands = drain(controller)
    first_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    found = f"{first_s:.1f} s ({cpu_s:.1f} CPU s), {len(commands):,} commands, unsigned"
    table.add_row(f"plan and first stage of {devices:,} devices", found, "5 s")
    ack_all(controller, commands)
    began, cpu = time.perf_counter(), time.process_time()
    rest = drain(controller)
    table.add_row(f"commands to the other {len(rest):,}, unsigned", rate_since(len(rest), began, cpu), "")
    sample = rest[:100_000]
    began, cpu = time.perf_counter(), time.process_time()
    ack_all(controller, sample)
    drain(controller)
    table.add_row("acks digested by the controller", rate_since(len(sample), began, cpu), "10,000/s")
    both = f"{fleet_mb:,.0f} MB the fleet, {memory_mb() - before - fleet_mb:,.0f} MB the rollout and its writes"
    table.add_row(f"memory for {devices:,} devices", both, "stated")


def signatures(table: Table, signer: Any, keyring: Keyring, count: int = 10_000) -> None:
    made = [command(number) for number in range(count)]
    few = made[: count // 10]
    began, cpu = time.perf_counter(), time.process_time()
    for one in few:
        sign_record(one, [signer])
    table.add_row("commands signed one by one", rate_since(len(few), began, cpu), "")
    began, cpu = time.perf_counter(), time.process_time()
    signed = sign_records(made, [signer])
    table.add_row(f"commands signed in batches of {count:,}", rate_since(count, began, cpu), "a million in 60 s")
    began, cpu = time.perf_counter(), time.process_time()
    for one in signed[: len(few)]:
        open_record(one, keyring)
    table.add_row("commands of a batch verified", rate_since(len(few), began, cpu), "")


def on_the_topic(table: Table, endpoints: Any, signer: Any, devices: int) -> None:
    """From a plan for everybody to the last command, signed, on its topic, with all that is written beside it."""
    cluster = made_cluster(endpoints)
    contract = Contract.connect(cluster)
    contract.register_all(OUTPUTS)
    controller = Controller(ControllerOptions(default_plan=None))
    for number in range(devices):
        controller.fleet.restore(device(number), now_ms=0)
    controller.digest(release(), 0)
    inputs = Inputs(cluster)
    ledger = Ledger(cluster, contract, lambda commands: sign_records(commands, [signer]))
    ledger.open()
    began, cpu, commands, more = time.perf_counter(), time.process_time(), 0, True
    limits = {"deadline_s": 1_000_000, "concurrency": devices}
    document = {"rollout": "r1", "model": NEW, "strategy": "all-at-once", "limits": limits}
    controller.submit(document, who="benchmark", why="", now_ms=0)
    while more:
        more = controller.pass_time(1)
        writes = controller.take_writes({})
        ledger.write(writes, {}, inputs.consumer)
        commands += sum(write.topic == "rollouts.commands" for write in writes)
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    ledger.close()
    inputs.close()
    found = f"{wall_s:.1f} s ({cpu_s:.1f} CPU s), {commands / wall_s:,.0f}/s, {memory_mb():,.0f} MB at most"
    table.add_row(f"{commands:,} commands signed and on the topic", found, "a million in 60 s")
    forget(cluster)


def until_acked(table: Table, endpoints: Any, signer: Any, keyring: Keyring, count: int) -> None:
    """Command on the topic until its last ack is on its topic, by the broker's clock."""
    for name, limits in (
        ("paced at 20/s", {"rate": {"base_per_minute": 1_200.0, "max_per_minute": 1_200.0}}),
        ("all at once", {}),
    ):
        cluster = made_cluster(endpoints)
        took = sorted(trip(cluster, signer, keyring, count, limits))
        p50, p99 = statistics.median(took), took[int(len(took) * 0.99) - 1]
        goal = "p99 under 1 s" if "paced" in name else ""
        table.add_row(f"command to ack, {count:,} gateways, {name}", f"p50 {p50:.2f} s, p99 {p99:.2f} s", goal)
        forget(cluster)


def made_cluster(endpoints: Any) -> Cluster:
    prefix = f"b{uuid.uuid4().hex[:6]}-"
    cluster = Cluster(bootstrap=endpoints.bootstrap, registry_url=endpoints.registry_url, prefix=prefix)
    create_missing(cluster)
    return cluster


def forget(cluster: Cluster) -> None:
    admin = AdminClient(cluster.client_settings())
    for deleted in admin.delete_topics([cluster.named(name) for name in CATALOGUE]).values():
        deleted.result(30)


def trip(cluster: Cluster, signer: object, keyring: Keyring, count: int, limits: dict[str, object]) -> list[float]:
    contract = Contract.connect(cluster)
    producer = Producer(cluster.producer_settings())

    def send(topic: str, record: object) -> None:
        contract.register(topic)
        key, value = contract.encode(topic, record)
        producer.produce(cluster.named(topic), key=key, value=value)
        producer.flush(10)

    gateways = [SimulatedGateway(f"gw-{number:05d}", "bearings/1") for number in range(count)]
    document = {
        "rollout": "r1",
        "model": NEW,
        "strategy": "all-at-once",
        "limits": {"bake_s": 0, "concurrency": count, **limits},
    }
    with running(cluster, signer), SimulatedFleet(cluster, gateways, keyring):
        send("models.releases", release())
        wait_for(lambda: len(feeds.snapshot(cluster, "fleet.devices")) == count)
        send("operators.requests", started(document))
        wait_for(lambda: phase_of(cluster) == "succeeded")
    issued = {event.key: event.at_ms for event in changes(cluster, "rollouts.commands")}
    acked = {
        event.key: event.at_ms for event in changes(cluster, "rollouts.acks") if event.value.phase is AckPhase.SUCCEEDED
    }
    return [(acked[device_id] - at_ms) / 1_000 for device_id, at_ms in issued.items()]


@contextmanager
def running(cluster: Cluster, signer: object) -> Iterator[None]:
    service = RolloutService(cluster, [signer], ServiceOptions(turn_s=0.02))  # type: ignore[list-item]
    thread = threading.Thread(target=service.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        service.stop()
        thread.join(30)


def changes(cluster: Cluster, topic: str) -> list[feeds.Changed[object]]:
    reader = feeds.read if topic == "rollouts.commands" else feeds.follow
    options = {"until_current": True} if reader is feeds.read else {"until_current": True, "from_ms": 0}
    with reader(cluster, topic, **options) as feed:  # type: ignore[operator]
        return [event for event in feed if isinstance(event, feeds.Changed)]


def phase_of(cluster: Cluster) -> str:
    status = feeds.snapshot(cluster, "rollouts.status").get("r1")
    return "" if status is None else str(status.phase.value)


def wait_for(condition: object, timeout_s: float = 300.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end:
            raise SystemExit(f"not within {timeout_s:g} s")
        time.sleep(0.5)


def drain(controller: Controller) -> list[Command]:
    commands = []
    more = True
    while more:
        more = controller.pass_time(1)
        commands += [write.record for write in controller.take_writes({}) if write.topic == "rollouts.commands"]
    return commands


def ack_all(controller: Controller, commands: list[Command]) -> None:
    for one in commands:
        ack = Ack(
            device_id=one.device_id, revision=one.revision, rollout_id="r1", phase=AckPhase.SUCCEEDED, model_id=NEW,
            reason="", at_ms=0, boot_id=BOOT, seq=0,
        )  # fmt: skip
        controller.digest(ack, 1)


def device(number: int) -> Device:
    return Device(
        device_id=f"device-{number:07d}", state=DeviceState.ONLINE, labels=LABELS[number % 6], model_id="bearings/1",
        revision=0, registered_ms=0, last_seen_ms=0, proven_model_id="bearings/1",
    )  # fmt: skip


LABELS = [{"hw": f"rev{hw}", "region": region} for hw in (1, 2, 3) for region in ("eu", "us")]


def release() -> ModelRelease:
    return ModelRelease(
        model="bearings", version="2", stage=ReleaseStage.STAGING, pipeline="vibration/1", grid_id="g",
        baseline_id="b", bundle_sha256="0" * 64, bundle_bytes=1_000_000, bundle_url="https://models.example/2",
        manifest="{}", created_ms=1, created_by="benchmark",
    )  # fmt: skip


def command(number: int) -> Command:
    return Command(
        device_id=f"device-{number:07d}", revision=1, rollout_id="r1", model_id=NEW, bundle_sha256="0" * 64,
        bundle_bytes=1_000_000, bundle_url="https://models.example/2", issued_ms=1, envelope="",
        settings={"bake_s": "60"},
    )  # fmt: skip


def started(document: dict[str, object]) -> OperatorRequest:
    return OperatorRequest(
        request_id=str(uuid.uuid4()), subject="rollout/r1", action="start", who="benchmark", why="", at_ms=1,
        arguments={"document": json.dumps(document)},
    )  # fmt: skip


def rate_since(count: int, began: float, cpu: float) -> str:
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    return f"{count / wall_s:,.0f}/s ({count / cpu_s:,.0f} per CPU second)"


def memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
