"""Reads the benchmark's topic with Faust: one event at a time, with `take()`, or as runs of a bulk topic."""

import sys
from pathlib import Path
from typing import Any

import faust
from faust.serializers import codecs

from benchmarks._columnar import Clock, decoder
from streams.kafka import accepted_runs, bulk_topic, make_app, run_worker


class AsItIs(codecs.Codec):
    def _loads(self, value: bytes) -> bytes:
        return value

    def _dumps(self, value: Any) -> Any:
        return value


def main(mode: str, bootstrap: str, topic: str, group: str, schema: str, records: int) -> None:
    decode, clock = decoder(Path(schema)), Clock(records)

    async def one_by_one(events: Any) -> None:
        async for value in events:
            decode(value)
            clock.count(1)

    async def with_take(events: Any) -> None:
        async for values in events.take(1_000, within=0.1):
            for value in values:
                decode(value)
            clock.count(len(values))

    async def in_runs(deliveries: Any) -> None:
        async for run in accepted_runs(deliveries):
            for value in run.values:
                decode(value)
            clock.count(len(run))

    if mode == "bulk":
        app = make_app(group, bootstrap)
        app.agent(bulk_topic(app, topic))(in_runs)
    else:
        app = faust.App(
            group,
            broker=f"kafka://{bootstrap}",
            store="memory://",
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            datadir=Path(schema).parent,
            # What made ordinary Faust quickest here.
            broker_max_poll_records=2_000,
            consumer_max_fetch_size=2 * 1024**2,
        )
        events = app.topic(topic, value_serializer=AsItIs(), key_serializer=AsItIs())
        app.agent(events)(one_by_one if mode == "event" else with_take)
    run_worker(app, loglevel="error")


if __name__ == "__main__":
    main(*sys.argv[1:6], int(sys.argv[6]))
