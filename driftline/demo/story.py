"""The story of the demo: thirty devices get their models, a world changes, a new model answers, a bad one is refused.

Every step waits for what really happened on the topics, and the story ends with an error where it did not.
"""

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from driftline.demo.crew import Crew
from driftline.demo.fleet import KINDS, Fleet, Kind
from driftline.demo.plans import CANARY_PERCENT, file_plans
from driftline.demo.stage import Keys, make_keys, start_workers
from driftline.demo.training import publish, train
from driftline.demo.witness import Witness
from driftline.stack import Stack
from schemas.catalogue import CATALOGUE
from schemas.cluster import Cluster
from schemas.drift_alert import AlertState, DriftAlert
from schemas.drift_kind import Concern, concern_of
from schemas.errors import RegistryAwayError
from schemas.release import ModelRelease, ReleaseStage
from schemas.rollouts import AckPhase, RolloutPhase, RolloutStatus
from schemas.topics import create_missing
from schemas.training import TrainingRequest
from schemas.wire import Contract
from sensing.simulator import Fault, FaultKind
from sensing.tally import Floats
from trainer.release import Trained

__all__ = ["Story", "tell"]

Say = Callable[[str], None]

MACHINE = KINDS[0]
# The hall of these machines gets warmer, in standard deviations of their temperature.
WARMER = Fault(kind=FaultKind.SUDDEN_DRIFT, channel=0, size=4.0)
WARM_HALL = tuple(member.device_id for member in MACHINE.members()[:6])


@dataclass(frozen=True, slots=True)
class Story:
    """What happened."""

    # Devices that ran each model in the end of its rollout, by model_id.
    ran: Mapping[str, frozenset[str]]
    alert: DriftAlert
    request: TrainingRequest
    retrained: ModelRelease
    refused_by: frozenset[str]
    rolled_back: RolloutStatus
    # What the warm hall's first machine runs after all of it, as Redis shows it.
    view: Mapping[str, Any]
    sent: int
    lost: int


def tell(
    stack: Callable[[], AbstractContextManager[Stack]],
    folder: Path,
    say: Say,
    *,
    prefix: str = "demo-",
    pause: Callable[[str], None] = lambda _console: None,
) -> Story:
    """Go round the loop; `folder` takes keys, bundles, the gateways' data and the workers' words.

    `pause` is called at the end, while everything still runs, with the console's address.
    """
    for name in ("store", "logs", "gateways", "data"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    keys = make_keys(folder)
    now_ms = _now_ms()
    with ThreadPoolExecutor(1) as beside:
        first = {kind: beside.submit(_first_model, kind, keys, now_ms) for kind in KINDS}
        with stack() as servers:
            cluster = Cluster(
                bootstrap=servers.endpoints.bootstrap, registry_url=servers.endpoints.registry_url, prefix=prefix
            )
            say(f"Kafka at {cluster.bootstrap}, registry at {cluster.registry_url}")
            made, _ = create_missing(cluster)
            _register(cluster)
            with start_workers(folder, cluster, servers, keys) as crew:
                say(f"{len(made)} topics made; started: {', '.join(crew.names)}")
                fleet = Fleet(KINDS, cluster=cluster, folder=folder / "gateways", keyring=keys.keyring, now_ms=now_ms)
                with fleet:
                    scene = _Scene(cluster, servers.endpoints.redis_url, folder, keys, fleet, crew, now_ms, say)
                    told = scene.play(first, beside)
                    pause(scene.console())
                    # While the gateways send what they still have.
                    crew.dismiss()
            summaries = fleet.summaries
    return Story(
        **told,
        sent=sum(summary.sent for summary in summaries),
        lost=sum(summary.lost for summary in summaries),
    )


class _Scene:
    """Everything that the steps of the story share."""

    def __init__(
        self,
        cluster: Cluster,
        redis_url: str,
        folder: Path,
        keys: Keys,
        fleet: Fleet,
        crew: Crew,
        now_ms: int,
        say: Say,
    ) -> None:
        self._cluster = cluster
        self._redis_url = redis_url
        self._folder = folder
        self._keys = keys
        self._fleet = fleet
        self._crew = crew
        self._now_ms = now_ms
        self._say = say
        self._witness = Witness(cluster, self._check, logs=str(folder / "logs"))

    def play(self, first: Mapping[Kind, Future[Trained]], beside: ThreadPoolExecutor) -> dict[str, Any]:
        file_plans(self._cluster, KINDS, now_ms=_now_ms())
        self._say(f"plans filed: a new model goes to {CANARY_PERCENT} % of its devices first, then to all")
        self._everyone_is_registered()
        for training in first.values():
            self._release(training.result(), "trained by hand")
        # The machines' world need not wait for the slower kinds.
        with ThreadPoolExecutor(len(KINDS)) as watching:
            running = {kind: watching.submit(self._all_run, kind, "1") for kind in KINDS}
            running[MACHINE].result()
            bad = beside.submit(self._bad_model, first[MACHINE].result())
            self._fleet.suffer(MACHINE.name, WARM_HALL, WARMER)
            self._say(f"the world changes: it gets warm around {len(WARM_HALL)} machines")
            alert = self._alerted()
            request = self._asked_for_training()
            retrained = self._retrained(request)
            ran = {f"{kind.model}/1": run.result() for kind, run in running.items()}
        ran[_id_of(retrained)] = self._all_run(MACHINE, retrained.version)

        self._release(bad.result(), "made to fail: it learned from readings in the wrong unit")
        refused_by, rolled_back = self._rolled_back(f"{MACHINE.model}/bad")
        view = self._seen_in_views(WARM_HALL[0], _id_of(retrained))
        return {
            "ran": ran,
            "alert": alert,
            "request": request,
            "retrained": retrained,
            "refused_by": refused_by,
            "rolled_back": rolled_back,
            "view": view,
        }

    def console(self) -> str:
        """Where a person may look, once the console has said so."""
        return str(self._witness.until("the console is up", self._console_said))

    def _everyone_is_registered(self) -> None:
        waited_for = {member.device_id for kind in KINDS for member in kind.members()}
        count = len(waited_for)
        for device in self._witness.happening("fleet.devices", "every device is registered"):
            waited_for.discard(device.device_id)
            if not waited_for:
                break
        self._say(f"{count} gateways of {len(KINDS)} kinds are running, and registered by their heartbeats")

    def _release(self, trained: Trained, how: str) -> None:
        publish(trained, self._cluster, self._folder / "store", created_by=f"demo, {how}")
        size = trained.bundle.size / 1e6
        self._say(f"model {trained.order.model_id} released, {how}; signed, {size:.1f} MB")

    def _all_run(self, kind: Kind, version: str) -> frozenset[str]:
        model_id = f"{kind.model}/{version}"
        succeeded: set[str] = set()
        for ack in self._witness.happening("rollouts.acks", f"every {kind.name} device runs {model_id}"):
            if ack.phase is AckPhase.SUCCEEDED and ack.model_id == model_id:
                if not succeeded:
                    self._say(f"{ack.device_id} is the first to run {model_id}")
                succeeded.add(ack.device_id)
            if len(succeeded) == kind.devices:
                break
        self._say(f"all {kind.devices} {kind.name} devices run {model_id}")
        return frozenset(succeeded)

    def _alerted(self) -> DriftAlert:
        alert: DriftAlert = self._witness.first(
            "drift.alerts",
            "an alert on a machine of the warm hall",
            where=lambda alert: (
                alert.subject in WARM_HALL
                and alert.state is AlertState.FIRING
                and concern_of(alert.kind) is Concern.WORLD
            ),
        )
        self._say(f"ALERT {alert.summary}")
        return alert

    def _asked_for_training(self) -> TrainingRequest:
        request: TrainingRequest = self._witness.first(
            "training.requests", "the desk asks for a training", where=lambda request: request.model == MACHINE.model
        )
        self._say(f"the trainer's desk asks for a training: {request.reason}")
        return request

    def _retrained(self, request: TrainingRequest) -> ModelRelease:
        release: ModelRelease = self._witness.first(
            "models.releases",
            f"request {request.request_id} becomes a release in production",
            where=lambda release: (
                release.model == MACHINE.model
                and release.version not in ("1", "bad")
                and release.stage is ReleaseStage.PRODUCTION
            ),
        )
        self._say(f"model {_id_of(release)} trained by the worker on what the devices sent, signed and released")
        return release

    def _bad_model(self, first: Trained) -> Trained:
        """A model that takes everything for an anomaly: it learned temperatures in Fahrenheit."""

        def misread(readings: Floats) -> Floats:
            changed = readings.copy()
            changed[:, 0] = changed[:, 0] * 1.8 + 32
            return changed

        return train(
            MACHINE,
            "bad",
            now_ms=self._now_ms,
            signer=self._keys.signers["trainer"],
            grid=first.bundle.grid,
            seen=misread,
        )

    def _rolled_back(self, model_id: str) -> tuple[frozenset[str], RolloutStatus]:
        refused_by = set()
        for ack in self._witness.happening("rollouts.acks", f"a device refuses {model_id}"):
            if ack.rollout_id == _rollout_of(model_id) and ack.phase in (AckPhase.FAILED, AckPhase.FELL_BACK):
                refused_by.add(ack.device_id)
                self._say(f"{ack.device_id} went back to {ack.model_id} by itself: {ack.reason}")
                break
        status: RolloutStatus = self._witness.first(
            "rollouts.status",
            f"the rollout of {model_id} is taken back",
            where=lambda status: (
                status.model_id == model_id and status.phase in (RolloutPhase.ROLLED_BACK, RolloutPhase.ABORTED)
            ),
        )
        self._say(f"the rollout of {model_id} is over, {status.phase.value}: {status.reason}")
        return frozenset(refused_by), status

    def _seen_in_views(self, device_id: str, model_id: str) -> Mapping[str, Any]:
        client = redis.Redis.from_url(self._redis_url, decode_responses=True)

        def look() -> Mapping[str, Any] | None:
            text = client.hget(f"{self._cluster.prefix}driftline:device:{device_id}", "features")
            features = json.loads(text or "{}")
            return features if features.get("model_id") == model_id else None

        features: Mapping[str, Any] = self._witness.until(f"the view of {device_id} shows {model_id}", look)
        self._say(f"the view of {device_id} in Redis shows {model_id}")
        return features

    def _console_said(self) -> str:
        return next((line.split()[-1] for line in self._crew.words_of("console") if "http://" in line), "")

    def _check(self) -> None:
        self._crew.check()
        self._fleet.check()


def _register(cluster: Cluster) -> None:
    """A registry that has just been started on a busy machine may need a second asking."""
    patience_until_s = time.monotonic() + 60.0
    while True:
        try:
            Contract.connect(cluster).register_all(CATALOGUE)
        except RegistryAwayError:
            if time.monotonic() > patience_until_s:
                raise
        else:
            return


def _rollout_of(model_id: str) -> str:
    """A standing plan's rollout is named after the plan and the version."""
    return f"{MACHINE.name}-{model_id.rpartition('/')[2]}"


def _id_of(release: ModelRelease) -> str:
    return f"{release.model}/{release.version}"


def _first_model(kind: Kind, keys: Keys, now_ms: int) -> Trained:
    return train(kind, "1", now_ms=now_ms, signer=keys.signers["trainer"])


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
