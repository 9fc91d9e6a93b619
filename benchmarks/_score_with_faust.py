"""Scores the benchmark's windows one at a time in an ordinary Faust agent."""

import sys
from pathlib import Path
from typing import Any

import faust

from benchmarks._columnar import Clock, decoder
from benchmarks._per_record import PerRecord
from benchmarks._read_with_faust import AsItIs
from streams.kafka import run_worker


def main(bootstrap: str, topic: str, out: str, schema: str, reference: str, records: int) -> None:
    decode, clock, scorer = decoder(Path(schema)), Clock(records), PerRecord(Path(reference))
    app = faust.App(
        f"{topic}-faust",
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
    told = app.topic(out, value_serializer=AsItIs(), key_serializer=AsItIs())

    async def score(events: Any) -> None:
        async for key, value in events.items():
            found = scorer.score(decode(value))
            if found is not None:
                await told.send(key=key, value=found)
            clock.count(1)

    app.agent(app.topic(topic, value_serializer=AsItIs(), key_serializer=AsItIs()))(score)
    run_worker(app, loglevel="error")


if __name__ == "__main__":
    main(*sys.argv[1:6], int(sys.argv[6]))
