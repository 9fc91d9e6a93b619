"""The drift worker: feature statistics in, scores and alerts out."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import faust

from schemas.cluster import Cluster
from streams.drift.desk import SOURCE
from streams.drift.metrics import Metrics
from streams.drift.settings import JudgeSettings
from streams.drift.time_passing import LOOK_EVERY_S
from streams.drift.worker import DriftWorker
from streams.kafka import bulk_topic, figures, fronts, waiting_runs

__all__ = ["GROUP", "DriftSettings", "make_drift_app"]

GROUP = "driftline-drift"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSettings(JudgeSettings):
    """How one drift worker runs."""

    # How long a run waits for a grid or a baseline that is not known yet.
    wait_for_baseline_s: float = 30.0
    checkpoint_every_s: float = 60.0


def make_drift_app(cluster: Cluster, settings: DriftSettings | None = None, **app_settings: Any) -> faust.App:
    """Make the Faust app of a drift worker; `run_worker(app)` runs it.

    >>> run_worker(make_drift_app(Cluster()))  # doctest: +SKIP
    """
    settings = settings or DriftSettings()
    app = settings.app(cluster, GROUP, **app_settings)

    def mine() -> Mapping[int, int]:
        return fronts(app, cluster.named(SOURCE))

    worker = DriftWorker(
        cluster,
        settings.policy_feed(cluster),
        mine,
        Metrics(figures(app).registry),
        wait_for_baseline_s=settings.wait_for_baseline_s,
        checkpoint_every_s=settings.checkpoint_every_s,
        cache_dir=settings.cache_dir,
    )

    @app.agent(bulk_topic(app, cluster.named(SOURCE)))
    async def watch_drift(deliveries: Any) -> None:
        """Turn feature statistics into scores and alerts; the judging is the partition's."""
        try:
            await worker.open()
            # The runs are given up last, so that what went wrong is said before that something is not done.
            async with aclosing(waiting_runs(deliveries)) as turns, asyncio.TaskGroup() as telling:
                async for handed in turns:
                    await worker.work(handed, telling)
        except BaseExceptionGroup as several:
            # What went wrong first: the others only fell with it.
            raise several.exceptions[0] from several
        finally:
            worker.close()

    @app.task  # type: ignore[untyped-decorator]
    async def heed_operators() -> None:
        """Acknowledge and silence alerts as operators ask."""
        await worker.heed_operators()

    @app.task  # type: ignore[untyped-decorator]
    async def follow_policy() -> None:
        """Judge by what is signed and published, from the next run on."""
        await worker.follow_policy()

    @app.task  # type: ignore[untyped-decorator]
    async def follow_labels() -> None:
        """Know the labels of devices."""
        await worker.labels.follow(cluster)

    @app.task  # type: ignore[untyped-decorator]
    async def mind_time() -> None:
        """Do what time asks for where no window comes to remind of it."""
        while not app.should_stop:
            await worker.mind_time(settings.clock_ms())
            await asyncio.sleep(LOOK_EVERY_S)

    return app
