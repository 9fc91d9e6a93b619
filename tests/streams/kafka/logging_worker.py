"""A worker process for tests: reads a bulk topic slowly and writes down each run, durably, once it is done with it."""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

from streams.kafka import Handed, Run, accepted_runs, bulk_topic, make_app, run_worker, waiting_runs


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
    tell_s = float(settings.get("WORKER_TELL_S", "0.05"))
    log = os.open(settings["WORKER_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def is_worked_on(runs: Sequence[Run]) -> bool:
        """Work on runs; says whether to go on."""
        offsets = [offset for run in runs for offset in run.offsets]
        await asyncio.sleep(len(offsets) / records_per_s)
        if fail_at in offsets:
            raise RuntimeError(f"told to fail at offset {fail_at}")
        return leave_at not in offsets

    def write_down(runs: Sequence[Run]) -> None:
        os.write(log, b"".join(f"{run.partition} {' '.join(map(str, run.offsets))}\n".encode() for run in runs))

    async def one_by_one(deliveries: Any) -> None:
        async for run in accepted_runs(deliveries):
            if not await is_worked_on([run]):
                break
            write_down([run])

    async def together(deliveries: Any) -> None:
        """Write runs down while the next are worked on, as an agent does whose results are on their way."""
        last: asyncio.Task[None] | None = None
        async with aclosing(waiting_runs(deliveries)) as turns, asyncio.TaskGroup() as telling:
            async for handed in turns:
                if not await is_worked_on(handed.runs):
                    break
                if last is not None:
                    await last
                last = telling.create_task(tell(handed))

    async def tell(handed: Handed) -> None:
        await asyncio.sleep(tell_s)
        write_down(handed.runs)
        handed.done()

    app.agent(bulk_topic(app, settings["WORKER_TOPIC"]))(together if "WORKER_TOGETHER" in settings else one_by_one)

    run_worker(app, loglevel="info")


if __name__ == "__main__":
    main(os.environ)
