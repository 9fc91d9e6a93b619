"""Reads the benchmark's topic with Quix Streams; runs in the environment of the rivals."""

import sys
from pathlib import Path
from typing import Any

from quixstreams import Application

from benchmarks._columnar import Clock, decoder


def main(bootstrap: str, topic: str, group: str, schema: str, records: int) -> None:
    decode, clock = decoder(Path(schema)), Clock(records)
    app = Application(
        broker_address=bootstrap,
        consumer_group=group,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        state_dir=Path(schema).parent / "quix",
        loglevel="ERROR",
        # As in `_read_with_librdkafka`, which it is built on.
        consumer_extra_config={"fetch.queue.backoff.ms": 1},
    )
    frame = app.dataframe(app.topic(topic, key_deserializer="bytes", value_deserializer="bytes"))

    def read(value: Any) -> None:
        decode(value)
        clock.count(1)

    frame.update(read)
    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:5], int(sys.argv[5]))
