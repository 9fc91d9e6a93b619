"""The same in asyncio: wait until a rollout has ended, for two minutes at most; exit 1 unless it succeeded."""

import asyncio
import sys

from driftline import feeds

ENDS = {"succeeded", "rolled_back", "aborted", "superseded", "cancelled"}


async def ending_of(rollout: str) -> str:
    async with feeds.read_async("rollouts.status", keys={rollout}) as feed:
        async for event in feed:
            if isinstance(event, feeds.Changed):
                print(f"{event.key} {event.value.phase.value}: {event.value.reason}", flush=True)
                if event.value.phase.value in ENDS:
                    return event.value.phase.value
    return "unknown"


async def main() -> None:
    async with asyncio.timeout(120):
        sys.exit(await ending_of(sys.argv[1]) != "succeeded")


asyncio.run(main())
