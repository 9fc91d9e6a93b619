"""One worker's time as the active one: what it knows, and what it is training.

A successor shuts its predecessor out before it reads what that one did (`Publisher.start`); a release, its grid and
baseline, and the note that its request is finished are one transaction. So a request becomes one release, however
often it is delivered and whoever is killed in between, and no half release is ever visible.
"""

import hashlib
import logging
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas import feeds
from schemas.cluster import Cluster
from schemas.grid import Grid
from schemas.operators import AuditEntry
from schemas.release import ModelRelease
from schemas.tracing import Context, context_in, span
from schemas.training import TrainingRequest
from schemas.wire import Contract
from sensing import SensingError, pipeline_named, pipeline_of
from trainer.dead_letters import dead_letter
from trainer.errors import RegistryError
from trainer.publishing import Publisher
from trainer.registry.stages import in_production, next_version
from trainer.registry.store import Store, bundle_name
from trainer.worker.config import TrainerConfig
from trainer.worker.facts import SERVICE, concerns_training, entry_of, fact_in
from trainer.worker.finishing import finish
from trainer.worker.job import BUNDLE, JobOrder, Outcome
from trainer.worker.ledger import Idle, Ledger, Settle, Train, fold, next_step
from trainer.worker.process import Ahead, Job
from trainer.worker.watching import DeskWatch
from trust import Keyring, TrustError, write_whole

__all__ = ["Term", "Workplace"]

log = logging.getLogger(__name__)

_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Workplace:
    """What every term of a worker works with."""

    cluster: Cluster
    contract: Contract
    config: TrainerConfig
    store: Store
    # Trusts the worker's own key: what it packed is opened as a gateway would.
    keyring: Keyring
    environ: Mapping[str, str]
    # Where trainings keep their files while they are under way.
    folder: Path
    clock_ms: Callable[[], int]


class Term:
    """One worker's time as the active one: what it knows, and what it is training."""

    def __init__(self, workplace: Workplace) -> None:
        self._place, self._config = workplace, workplace.config
        self._ledger = Ledger()
        self._job: Job | None = None
        self._ahead = Ahead(workplace.environ)
        self._desk: DeskWatch | None = None
        # By request_id: a release goes on in the trace of what asked for it.
        self._traces: dict[str, Context] = {}
        self._resources = ExitStack()
        self._publisher = Publisher(workplace.cluster, workplace.contract, name=SERVICE)

    def __enter__(self) -> "Term":
        # Shut out whoever wrote before, then read: what is read is then all that will ever have been written.
        self._publisher.start()
        cluster = self._place.cluster
        with ExitStack() as opening:
            opened = opening.enter_context
            self._feeds = {
                "training.requests": opened(feeds.follow(cluster, "training.requests", from_ms=0)),
                **{
                    topic: opened(feeds.follow(cluster, topic, from_ms=0, where=concerns_training))
                    for topic in ("operators.requests", "audit.log")
                },
            }
            self._grids = opened(feeds.table(cluster, "models.grids")).wait_until_current()
            self._releases = opened(feeds.table(cluster, "models.releases")).wait_until_current()
            if self._config.desk:
                self._desk = DeskWatch(cluster, self._config.desk_policy, now_ms=self._place.clock_ms())
                opening.callback(self._desk.close)
            self._resources = opening.pop_all()
        self._ahead.prepare()
        return self

    def __exit__(self, *_: object) -> None:
        self._abandon_job()
        self._ahead.end()
        self._resources.close()
        self._publisher.close()

    def waiting(self) -> list[str]:
        """Which topics are not read up to their end, in words."""
        return [f"{name} is not read up to its end yet" for name, feed in self._feeds.items() if not feed.current]

    def step(self, *, now_ms: int) -> None:
        """Take in what is new, and do the next thing."""
        for feed in self._feeds.values():
            for event in feed.poll(_POLL_S):
                self._take_in(event, live=feed.current, now_ms=now_ms)
        if self.waiting():
            return
        if self._desk is not None:
            for request in self._desk.due(dict(self._releases), now_ms=now_ms):
                behind = self._desk.traces_of(request)
                about = {"model": request.model, "request": request.request_id}
                with span("file a training request", about, after=next(iter(behind), ()), links=behind[1:]) as trace:
                    self._publish([("training.requests", request)], trace)
        if self._job is not None:
            self._watch(self._job, now_ms)
            return
        match next_step(self._ledger, self._config.policy, now_ms=now_ms):
            case Train(request, attempt):
                self._begin(request, attempt, now_ms)
            case Settle(request, how, why):
                self._note(entry_of(request, how, why=why, at_ms=now_ms))
            case Idle():
                # Not beside a training, which needs the processor itself.
                self._ahead.prepare()

    def _take_in(self, event: feeds.Event[Any], *, live: bool, now_ms: int) -> None:
        match event:
            case feeds.Changed(value=value):
                if isinstance(value, TrainingRequest) and (trace := context_in(event.headers)):
                    self._traces[value.request_id] = trace
                fact = fact_in(value)
                if fact is not None:
                    self._ledger = fold(self._ledger, fact)
            case feeds.Bad(topic="training.requests") if live:
                self._publisher.publish([("dead-letters", dead_letter(event, found_by=SERVICE, now_ms=now_ms))])

    def _begin(self, request: TrainingRequest, attempt: int, now_ms: int) -> None:
        grid = self._grid_of(request.pipeline)
        try:
            pipeline = (pipeline_named(request.pipeline) if grid is None else pipeline_of(grid)).id
        except SensingError as error:
            self._note(entry_of(request, "failed", why=str(error), at_ms=now_ms, attempt=attempt))
            return
        # Noted first: an attempt that takes the worker down with it counts.
        version = next_version(dict(self._releases), request.model)
        self._note(entry_of(request, "started", why=request.reason, at_ms=now_ms, attempt=attempt, version=version))
        try:
            order = self._order(request, attempt, pipeline, version)
            self._job = Job(order, self._ahead.take(), started_ms=now_ms, attempt=attempt)
        except OSError as error:
            # A full disk: there may be room for the next attempt.
            shutil.rmtree(self._folder_of(request, attempt), ignore_errors=True)
            self._note(entry_of(request, "attempt_failed", why=str(error), at_ms=now_ms, attempt=attempt))

    def _order(self, request: TrainingRequest, attempt: int, pipeline: str, version: str) -> JobOrder:
        # Whoever was killed in an earlier attempt has left its files.
        for earlier in range(1, attempt + 1):
            shutil.rmtree(self._folder_of(request, earlier), ignore_errors=True)
        folder = self._folder_of(request, attempt)
        folder.mkdir(parents=True)
        releases = dict(self._releases)
        champion = in_production(releases, request.model)
        return JobOrder(
            request=request,
            version=version,
            algorithm=self._config.algorithm_of(request.model),
            key=self._config.key,
            cluster=self._place.cluster,
            folder=folder,
            keyring=self._config.keyring,
            offline=self._config.offline,
            grid=self._grid_of(pipeline),
            champion=None if champion is None else self._fetch(champion, folder),
            min_rows=self._config.min_rows,
            licence=self._config.licence,
            mlflow=self._config.mlflow,
        )

    def _folder_of(self, request: TrainingRequest, attempt: int) -> Path:
        # Whoever asks may name a request as they like; a folder may not be called anything.
        name = hashlib.sha256(request.request_id.encode()).hexdigest()[:16]
        return self._place.folder / f"{name}-{attempt}"

    def _watch(self, job: Job, now_ms: int) -> None:
        request = job.order.request
        for said in job.progress():
            why = f"{said.doing}, {said.share:.0%}"
            self._note(entry_of(request, "progressed", why=why, at_ms=now_ms, attempt=job.attempt))
        entry = self._ledger.entries[request.request_id]
        if entry.cancelled_by:
            self._abandon_job()
        elif now_ms - job.started_ms > self._config.policy.timeout_ms:
            self._abandon_job()
            why = f"not done after {self._config.timeout_s:g} s"
            self._note(entry_of(request, "attempt_failed", why=why, at_ms=now_ms, attempt=job.attempt))
        elif (outcome := job.outcome()) is not None:
            self._job = None
            self._end(job, outcome, now_ms)

    def _end(self, job: Job, outcome: Outcome, now_ms: int) -> None:
        request = job.order.request
        try:
            if outcome.refused:
                self._note(entry_of(request, "failed", why=outcome.refused, at_ms=now_ms, attempt=job.attempt))
            elif outcome.failed:
                self._note(entry_of(request, "attempt_failed", why=outcome.failed, at_ms=now_ms, attempt=job.attempt))
            else:
                self._release(job, outcome, now_ms)
        except (RegistryError, TrustError, OSError) as error:
            # A full disk, or what it left of a file: the next attempt may find it otherwise.
            self._note(entry_of(request, "attempt_failed", why=str(error), at_ms=now_ms, attempt=job.attempt))
        finally:
            shutil.rmtree(job.order.folder, ignore_errors=True)

    def _release(self, job: Job, outcome: Outcome, now_ms: int) -> None:
        content = (job.order.folder / BUNDLE).read_bytes()
        finished = finish(
            job.order,
            content,
            outcome,
            dict(self._releases),
            self._config,
            keyring=self._place.keyring,
            attempt=job.attempt,
            now_ms=now_ms,
        )
        # The bundle first: a release that can be seen can be fetched.
        self._place.store.put(bundle_name(finished.release.bundle_sha256), content)
        request = job.order.request
        about = {"model": request.model, "request": request.request_id}
        with span("publish a release", about, after=self._traces.get(request.request_id, ())) as trace:
            self._publish(finished.records, trace)
        log.info("release published: model=%s request=%s", finished.release.model, job.order.request.request_id)

    def _grid_of(self, pipeline: str) -> Grid | None:
        """Return the pipeline's grid: of several, which only a mistake could make, the first by name."""
        grids = [grid for _, grid in sorted(self._grids.items()) if grid.pipeline == pipeline]
        return grids[0] if grids else None

    def _fetch(self, champion: ModelRelease, folder: Path) -> Path | None:
        try:
            content = self._place.store.get(bundle_name(champion.bundle_sha256))
        except RegistryError as error:
            log.warning("nothing to compare with: %s", error)
            return None
        path = folder / "champion.bundle"
        write_whole(path, content)
        return path

    def _note(self, entry: AuditEntry) -> None:
        self._publish([("audit.log", entry)])

    def _publish(self, records: list[tuple[str, Any]], trace: Context = ()) -> None:
        self._publisher.publish(records, trace=trace)
        # What was written is known at once; the feed tells it again, which changes nothing.
        for topic, record in records:
            if topic == "audit.log" and (fact := fact_in(record)) is not None:
                self._ledger = fold(self._ledger, fact)

    def _abandon_job(self) -> None:
        if self._job is not None:
            self._job.kill()
            shutil.rmtree(self._job.order.folder, ignore_errors=True)
            self._job = None
