"""Scores the benchmark's windows with the drift worker itself; a window counts once all that came of it is in Kafka."""

import asyncio
import sys

from benchmarks._columnar import Clock
from schemas.cluster import Cluster
from streams.drift.desk import SOURCE
from streams.drift.policy import own_policy
from streams.drift.service import DriftSettings, make_drift_app
from streams.drift.warming import warm_up
from streams.kafka import fronts, run_worker

# Looking takes the worker's own time.
_LOOK_EVERY_S = 0.05


def main(bootstrap: str, registry_url: str, prefix: str, document: str, records: int, warm: float) -> None:
    warm_up()
    cluster = Cluster(bootstrap=bootstrap, registry_url=registry_url, prefix=prefix)
    clock = Clock(records, warm=warm)
    app = make_drift_app(cluster, DriftSettings(policy=own_policy(document)))

    @app.task  # type: ignore[untyped-decorator]
    async def watch() -> None:
        done = 0
        while True:
            now = sum(fronts(app, cluster.named(SOURCE)).values())
            clock.count(now - done)
            done = now
            await asyncio.sleep(_LOOK_EVERY_S)

    run_worker(app, loglevel="error")


if __name__ == "__main__":
    main(*sys.argv[1:5], int(sys.argv[5]), float(sys.argv[6]))
