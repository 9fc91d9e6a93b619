"""A worker process for tests: reads a bulk topic slowly and writes down each run, durably, once it is done with it."""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from streams.kafka import Run, accepted_runs, bulk_topic, make_app, run_worker, waiting_runs


def main(settings: Mapping[str, str]) -> None:
    app = make_app(
        settings["WORKER_GROUP"],
        settings["WORKER_BOOTSTRAP"],
        instance_id=settings["WORKER_INSTANCE"],
        commit_every_s=float(settings.get("WORKER_COMMIT_EVERY_S", "0.1")),
        session_timeout_s=6.0,
        max_run_records=int(settings.get("WORKER_MAX_RUN", "200")),
        security=json.loads(settings.get("WORKER_SECURITY", "{}")),
    )
    records_per_s = float(settings.get("WORKER_RECORDS_PER_S", "1e9"))
    fail_at = int(settings.get("WORKER_FAIL_AT", "-1"))
    leave_at = int(settings.get("WORKER_LEAVE_AT", "-1"))
    log = os.open(settings["WORKER_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def is_done(runs: Sequence[Run]) -> bool:
        """Work on runs and write them down; says whether to go on."""
        offsets = [offset for run in runs for offset in run.offsets]
        await asyncio.sleep(len(offsets) / records_per_s)
        if fail_at in offsets:
            raise RuntimeError(f"told to fail at offset {fail_at}")
        if leave_at in offsets:
            return False
        os.write(log, b"".join(f"{run.partition} {' '.join(map(str, run.offsets))}\n".encode() for run in runs))
        return True

    async def one_by_one(deliveries: Any) -> None:
        async for run in accepted_runs(deliveries):
            if not await is_done([run]):
                break

    async def together(deliveries: Any) -> None:
        async for runs in waiting_runs(deliveries):
            if not await is_done(runs):
                break

    app.agent(bulk_topic(app, settings["WORKER_TOPIC"]))(together if "WORKER_TOGETHER" in settings else one_by_one)

    run_worker(app, loglevel="info")


if __name__ == "__main__":
    main(os.environ)
