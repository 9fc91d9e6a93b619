"""The story of the demo: a fleet gets its model, a machine's world changes, drift is noticed, a new model answers.

Every step waits for what really happened on the topics, and the story ends with an error where it did not.
"""

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from confluent_kafka import Producer

from driftline.demo.crew import Crew
from driftline.demo.errors import DidNotHappenError
from driftline.demo.machines import Machine, Machines
from driftline.demo.training import MODEL, REFERENCE_READINGS, publish, train
from driftline.stack import Stack
from schemas import feeds
from schemas.catalogue import CATALOGUE
from schemas.cluster import Cluster
from schemas.drift_alert import AlertState, DriftAlert
from schemas.feeds import Changed
from schemas.operators import OperatorRequest
from schemas.rollouts import Ack, AckPhase, Command
from schemas.topics import create_missing
from schemas.wire import Contract
from trust import Keyring, Kind, Signer, load_signer, make_key, pin, write_keyring

__all__ = ["Story", "tell"]

Say = Callable[[str], None]

MACHINES = tuple(Machine(f"press-{n}", n, {"region": "north", "line": str(n)}) for n in (1, 2, 3))
WARMER_BY = 12.0
POLICY_ID = "presses"
# Half of the features are means and deviations over a minute; they wander, and two hours of reference do not tell how
# far. So small effects are not this fleet's concern.
POLICY = """
[floors]
mean_shift = 2.0
variance_ratio = 25.0
psi = 10.0
"""
_WITHIN_S = 120.0
_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000

# Every release that reaches production goes to one machine first, then to all.
PLAN = {
    "rollout": "presses",
    "model": MODEL,
    "standing": True,
    "strategy": {"kind": "canary", "percent": [34, 100]},
    "limits": {"bake_s": 1, "device_bake_s": 0.5, "min_devices": 1},
}


@dataclass(frozen=True, slots=True)
class Story:
    """What happened."""

    installed: tuple[Ack, ...]
    alerts_before: int
    alert: DriftAlert
    command: Command
    answered: tuple[Ack, ...]
    view: Mapping[str, Any]
    sent: int
    lost: int


def tell(stack: Callable[[], AbstractContextManager[Stack]], folder: Path, say: Say, *, prefix: str = "demo-") -> Story:
    """Close the loop once; `folder` takes keys, bundles, the gateways' data and the workers' words."""
    for name in ("store", "logs", "gateways"):
        (folder / name).mkdir(parents=True)
    signers, keyring = _make_keys(folder)
    begin_ms = _noon_before(time.time_ns() // 1_000_000) - 2 * _HOUR_MS
    with ThreadPoolExecutor(1) as beside:
        training = beside.submit(train, "1", MACHINES, begin_ms=begin_ms, signer=signers["trainer"])
        with stack() as servers:
            cluster = Cluster(
                bootstrap=servers.endpoints.bootstrap, registry_url=servers.endpoints.registry_url, prefix=prefix
            )
            say(f"Kafka at {cluster.bootstrap}, registry at {cluster.registry_url}")
            made, _ = create_missing(cluster)
            scene = _Scene(cluster, servers.endpoints.redis_url, folder, signers, keyring, begin_ms, say)
            with Crew(folder / "logs", scene.options, scene.environ) as crew:
                (folder / f"{POLICY_ID}.toml").write_text(POLICY)
                crew.start("drift", "--policy", str(folder / f"{POLICY_ID}.toml"))
                crew.start("health")
                crew.start("views")
                crew.start("rollouts", "--key", f"file:{folder / 'controller.pem'}")
                say(f"{len(made)} topics made; workers started: drift, health, views, rollouts")
                Contract.connect(cluster).register_all(CATALOGUE)
                return scene.play(crew, training.result)


class _Scene:
    """Everything that the steps of the story share."""

    def __init__(
        self,
        cluster: Cluster,
        redis_url: str,
        folder: Path,
        signers: Mapping[str, Signer],
        keyring: Path,
        begin_ms: int,
        say: Say,
    ) -> None:
        self.cluster = cluster
        self.options = (
            "--bootstrap",
            cluster.bootstrap,
            "--registry",
            cluster.registry_url,
            "--prefix",
            cluster.prefix,
        )
        self.environ = {**os.environ, "DRIFTLINE_REDIS": redis_url}
        self._redis_url = redis_url
        self._folder = folder
        self._signers = signers
        self._keyring = keyring
        self._begin_ms = begin_ms
        self._say = say
        self._checks: tuple[Callable[[], None], ...] = ()

    def play(self, crew: Crew, trained: Callable[[], Any]) -> Story:
        first = trained()
        say = self._say
        say(
            f"model {MODEL}/1 trained on {first.split.training.reference.matrix.shape[0]} vectors, signed, "
            f"{first.bundle.size / 1e6:.1f} MB as ONNX bundle"
        )
        self._file_plan()
        machines = Machines(
            MACHINES,
            cluster=self.cluster,
            folder=self._folder / "gateways",
            keyring=self._keyring,
            behind_them=REFERENCE_READINGS,
            begin_ms=self._begin_ms,
        )
        with machines:
            self._checks = (crew.check, machines.check)
            say(f"gateways started: {', '.join(machine.device_id for machine in MACHINES)}")
            self._everyone_is_registered()
            publish(first, self.cluster, self._folder / "store", created_by="demo")
            installed = self._everyone_runs("1")
            alerts_before = sum(_of_drift(alert) for alert in feeds.snapshot(self.cluster, "drift.alerts").values())
            machines.warm_up("press-2", WARMER_BY)
            say(f"the world changes: press-2 runs {WARMER_BY:g} degrees warmer from now on")
            alert = self._alerted("press-2")
            second = train(
                "2", MACHINES, begin_ms=self._begin_ms, warmer_by=WARMER_BY, grid=first.bundle.grid,
                signer=self._signers["trainer"],
            )  # fmt: skip
            publish(second, self.cluster, self._folder / "store", created_by=f"demo, because of {alert.alert_id}")
            say(f"model {MODEL}/2 trained on the warmer world, signed and released")
            command = self._commanded("2")
            answered = self._everyone_runs("2")
            view = self._seen_in_views("press-2", "2")
        return Story(
            installed=installed,
            alerts_before=alerts_before,
            alert=alert,
            command=command,
            answered=answered,
            view=view,
            sent=sum(summary.sent for summary in machines.summaries),
            lost=sum(summary.lost for summary in machines.summaries),
        )

    def _file_plan(self) -> None:
        request = OperatorRequest(
            request_id=str(uuid.uuid4()),
            subject=f"rollout/{PLAN['rollout']}",
            action="start",
            who="demo",
            why="every new model of the presses goes to one machine first",
            at_ms=time.time_ns() // 1_000_000,
            arguments={"document": json.dumps(PLAN)},
        )
        key, value = Contract.connect(self.cluster).encode("operators.requests", request)
        producer = Producer({**self.cluster.client_settings(), "partitioner": "murmur2_random"})
        producer.produce(self.cluster.named("operators.requests"), key=key, value=value)
        producer.flush()
        self._say("plan filed: releases go to 34 % of the machines first, then to all")

    def _everyone_is_registered(self) -> None:
        waited_for = {machine.device_id for machine in MACHINES}
        for device in self._happening("fleet.devices", "every machine is registered"):
            waited_for.discard(device.device_id)
            if not waited_for:
                self._say("the controller has registered them by their heartbeats")
                return

    def _everyone_runs(self, version: str) -> tuple[Ack, ...]:
        succeeded: dict[str, Ack] = {}
        for ack in self._happening("rollouts.acks", f"every machine runs {MODEL}/{version}"):
            if ack.phase is AckPhase.SUCCEEDED and ack.model_id == f"{MODEL}/{version}":
                if ack.device_id not in succeeded:
                    self._say(f"{ack.device_id} runs {ack.model_id}: {ack.phase.value} (revision {ack.revision})")
                succeeded[ack.device_id] = ack
            if len(succeeded) == len(MACHINES):
                break
        return tuple(succeeded.values())

    def _alerted(self, device_id: str) -> DriftAlert:
        alert: DriftAlert
        for alert in self._happening("drift.alerts", f"an alert on {device_id}"):
            if _of_drift(alert) and alert.subject == device_id and alert.state is AlertState.FIRING:
                self._say(f"ALERT {alert.summary}")
                return alert
        raise AssertionError("unreachable: waiting ends with an error")

    def _commanded(self, version: str) -> Command:
        command: Command
        for command in self._happening("rollouts.commands", f"a command to run {MODEL}/{version}"):
            if command.model_id == f"{MODEL}/{version}":
                self._say(f"command to {command.device_id}: run {command.model_id} (revision {command.revision})")
                return command
        raise AssertionError("unreachable: waiting ends with an error")

    def _seen_in_views(self, device_id: str, version: str) -> Mapping[str, Any]:
        client = redis.Redis.from_url(self._redis_url, decode_responses=True)
        deadline_s = time.monotonic() + _WITHIN_S
        while time.monotonic() < deadline_s:
            self._check()
            features = json.loads(client.hget(f"{self.cluster.prefix}driftline:device:{device_id}", "features") or "{}")
            if features.get("model_id") == f"{MODEL}/{version}":
                self._say(f"the view of {device_id} in Redis shows {features['model_id']}")
                return features  # type: ignore[no-any-return]
            time.sleep(0.1)
        raise self._missing(f"the view of {device_id} shows {MODEL}/{version}")

    def _happening(self, topic: str, what: str) -> Iterator[Any]:
        """Tell the records of a topic from its beginning, for as long as the demo has patience."""
        deadline_s = time.monotonic() + _WITHIN_S
        with feeds.follow(self.cluster, topic, from_ms=0) as feed:
            while time.monotonic() < deadline_s:
                self._check()
                for event in feed.poll(0.2):
                    if isinstance(event, Changed):
                        yield event.value
        raise self._missing(what)

    def _check(self) -> None:
        for check in self._checks:
            check()

    def _missing(self, what: str) -> DidNotHappenError:
        return DidNotHappenError(what, _WITHIN_S, str(self._folder / "logs"))


def _make_keys(folder: Path) -> tuple[Mapping[str, Signer], Path]:
    pinned = []
    signers = {}
    for name, kind in (("trainer", Kind.MANIFEST), ("controller", Kind.COMMAND)):
        path = folder / f"{name}.pem"
        make_key(path)
        signers[name] = load_signer(f"file:{path}", environ={})
        pinned.append(pin(name, signers[name].public_key, kind))
    write_keyring(folder / "keyring.json", Keyring(keys=tuple(pinned)))
    return signers, folder / "keyring.json"


def _of_drift(alert: DriftAlert) -> bool:
    return alert.policy_id == POLICY_ID


def _noon_before(now_ms: int) -> int:
    """Return the last noon (UTC) that is at least six hours past: the demo's readings are from then on."""
    return (now_ms - 18 * _HOUR_MS) // _DAY_MS * _DAY_MS + 12 * _HOUR_MS
