"""The cohort worker: cohorts are judged as one, and alerts of many devices with one cause become one.

Which cohorts are whose follows from the partitions of the cohorts' topic that the group assigns.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import faust

from schemas.cluster import Cluster
from streams.drift.cohort_log import TOPIC as PANES
from streams.drift.cohort_log import ShareMetrics
from streams.drift.cohort_worker import CohortWorker
from streams.drift.settings import JudgeSettings
from streams.drift.time_passing import LOOK_EVERY_S
from streams.kafka import accepted_runs, bulk_topic, figures, fronts

__all__ = ["GROUP", "CohortSettings", "make_cohort_app"]

GROUP = "driftline-cohorts"


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortSettings(JudgeSettings):
    """How one cohort worker runs.

    Its policy's `cohorts` say by which labels devices are grouped, its `alerts.group_from` from how many on.
    """

    # How long a pane waits, after its first share, for those of other partitions.
    settle_s: float = 60.0
    wait_for_baseline_s: float = 30.0


def make_cohort_app(cluster: Cluster, settings: CohortSettings | None = None, **app_settings: Any) -> faust.App:
    """Make the Faust app of a cohort worker; `run_worker(app)` runs it."""
    settings = settings or CohortSettings()
    app = settings.app(cluster, GROUP, **app_settings)

    def mine() -> Mapping[int, int]:
        return fronts(app, cluster.named(PANES))

    worker = CohortWorker(
        cluster,
        settings.policy_feed(cluster),
        mine,
        ShareMetrics(figures(app).registry),
        settle_s=settings.settle_s,
        wait_for_baseline_s=settings.wait_for_baseline_s,
        cache_dir=settings.cache_dir,
    )

    @app.agent(bulk_topic(app, cluster.named(PANES)))
    async def watch_panes(deliveries: Any) -> None:
        """Own cohorts: the topic's partitions say which, and its records what they saw."""
        try:
            await worker.open()
            async for run in accepted_runs(deliveries):
                await worker.work(run)
        finally:
            worker.close()

    @app.task  # type: ignore[untyped-decorator]
    async def follow_alerts() -> None:
        """Know every alert."""
        await worker.follow_alerts()

    @app.task  # type: ignore[untyped-decorator]
    async def heed_operators() -> None:
        """Acknowledge and silence as operators ask."""
        await worker.heed_operators()

    @app.task  # type: ignore[untyped-decorator]
    async def follow_policy() -> None:
        """Judge and group as is signed and published."""
        await worker.follow_policy()

    @app.task  # type: ignore[untyped-decorator]
    async def look() -> None:
        """Judge what is due, and tell what has changed of the cohorts that are this worker's."""
        while not app.should_stop:
            await worker.tell(settings.clock_ms())
            await asyncio.sleep(LOOK_EVERY_S)

    return app
