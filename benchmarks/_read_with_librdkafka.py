"""Reads the benchmark's topic with librdkafka itself, in batches."""

import sys
from pathlib import Path

from confluent_kafka import Consumer

from benchmarks._columnar import Clock, decoder


def main(bootstrap: str, topic: str, group: str, schema: str, records: int) -> None:
    decode, clock = decoder(Path(schema)), Clock(records)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            # Records of 3 KB fill its queue, and by default it then does not fetch for a second.
            "fetch.queue.backoff.ms": 1,
        }
    )
    consumer.subscribe([topic])
    while True:
        messages = consumer.consume(2_000, timeout=0.1)
        for message in messages:
            if message.error() is not None:
                raise RuntimeError(message.error().str())
            decode(message.value())
        clock.count(len(messages))


if __name__ == "__main__":
    main(*sys.argv[1:5], int(sys.argv[5]))
