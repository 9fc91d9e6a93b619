"""The health worker: model health, samples and late labels in, alerts out."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import faust

from schemas.cluster import Cluster
from streams.drift.settings import JudgeSettings
from streams.drift.time_passing import LOOK_EVERY_S
from streams.health.metrics import Metrics
from streams.health.partition import HEALTH
from streams.health.worker import READ, HealthWorker
from streams.kafka import accepted_runs, bulk_topic, figures, fronts

__all__ = ["GROUP", "HealthSettings", "make_health_app"]

GROUP = "driftline-health"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSettings(JudgeSettings):
    """How one health worker runs; the [health] and [alerts] tables of its policy matter here."""

    checkpoint_every_s: float = 60.0


def make_health_app(cluster: Cluster, settings: HealthSettings | None = None, **app_settings: Any) -> faust.App:
    """Make the Faust app of a health worker; `run_worker(app)` runs it."""
    settings = settings or HealthSettings()
    app = settings.app(cluster, GROUP, **app_settings)

    def mine() -> Mapping[int, int]:
        return fronts(app, cluster.named(HEALTH))

    worker = HealthWorker(
        cluster,
        settings.policy_feed(cluster),
        mine,
        Metrics(figures(app).registry),
        checkpoint_every_s=settings.checkpoint_every_s,
        cache_dir=settings.cache_dir,
    )

    @app.agent(bulk_topic(app, *map(cluster.named, READ)))
    async def watch_health(deliveries: Any) -> None:
        """Turn what gateways say of their models into alerts; the judging is the partition's."""
        await worker.open()
        async for run in accepted_runs(deliveries):
            await worker.work(run)

    @app.task  # type: ignore[untyped-decorator]
    async def heed_operators() -> None:
        """Acknowledge and silence alerts as operators ask."""
        await worker.heed_operators()

    @app.task  # type: ignore[untyped-decorator]
    async def follow_policy() -> None:
        """Judge by what is signed and published, from the next run on."""
        await worker.follow_policy()

    @app.task  # type: ignore[untyped-decorator]
    async def mind_time() -> None:
        """Let alerts grow old where nothing comes to remind of it."""
        while not app.should_stop:
            await worker.mind_time(settings.clock_ms())
            await asyncio.sleep(LOOK_EVERY_S)

    return app
