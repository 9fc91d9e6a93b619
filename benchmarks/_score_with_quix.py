"""Scores the benchmark's windows one at a time with Quix Streams; runs in the environment of the rivals."""

import sys
from pathlib import Path
from typing import Any

from quixstreams import Application

from benchmarks._columnar import Clock, decoder
from benchmarks._per_record import PerRecord


def main(bootstrap: str, topic: str, out: str, schema: str, reference: str, records: int) -> None:
    decode, clock, scorer = decoder(Path(schema)), Clock(records), PerRecord(Path(reference))
    app = Application(
        broker_address=bootstrap,
        consumer_group=f"{topic}-quix",
        auto_offset_reset="earliest",
        auto_create_topics=False,
        state_dir=Path(schema).parent / "quix",
        loglevel="ERROR",
        consumer_extra_config={"fetch.queue.backoff.ms": 1},
    )
    frame = app.dataframe(app.topic(topic, key_deserializer="bytes", value_deserializer="bytes"))

    def score(value: Any) -> bytes | None:
        clock.count(1)
        return scorer.score(decode(value))

    told = frame.apply(score).filter(lambda value: value is not None)
    told.to_topic(app.topic(out, key_serializer="bytes", value_serializer="bytes"))
    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:6], int(sys.argv[6]))
