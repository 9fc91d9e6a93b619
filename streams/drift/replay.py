"""Read a stretch of one partition again, outside any group."""

import time
from collections.abc import Collection, Iterator
from typing import cast

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from schemas.cluster import Cluster
from schemas.errors import DriftlineError
from streams.kafka import Run
from streams.kafka.run import Headers

__all__ = ["ReplayError", "newest_offset", "newest_offsets", "oldest_offset", "replayed"]

_RUN_RECORDS = 2000
_PATIENCE_S = 60.0


class ReplayError(DriftlineError):
    """A stretch of a partition that could not be read."""


def replayed(cluster: Cluster, topic: str, partition: int, start: int, end: int) -> Iterator[Run]:
    """Yield the records from `start` up to but not including `end`, as far as the topic still has them."""
    name = cluster.named(topic)
    consumer = _consumer(cluster)
    try:
        oldest, _ = consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=_PATIENCE_S)
        position = max(start, oldest)
        consumer.assign([TopicPartition(name, partition, position)])
        deadline_s = time.monotonic() + _PATIENCE_S
        while position < end:
            # Asked for more than there is, it would wait in vain at the end.
            wanted = min(_RUN_RECORDS, end - position)
            records, reached = _checked(consumer.consume(wanted, timeout=1.0), end)
            if reached is not None:
                if records:
                    yield _run(topic, partition, position, reached, records)
                position, deadline_s = reached, time.monotonic() + _PATIENCE_S
            elif time.monotonic() > deadline_s:
                raise ReplayError(
                    f"{name}[{partition}]: read up to {position}, wanted {end}; nothing came for {_PATIENCE_S:g} s",
                    hint="is the broker up? `driftline status`",
                )
    finally:
        consumer.close()


def oldest_offset(cluster: Cluster, topic: str, partition: int) -> int:
    """Return the first offset that the topic still has."""
    return _watermarks(cluster, topic, [partition])[partition][0]


def newest_offset(cluster: Cluster, topic: str, partition: int) -> int:
    """Return the offset that the topic's next record will have."""
    return _watermarks(cluster, topic, [partition])[partition][1]


def newest_offsets(cluster: Cluster, topic: str, partitions: Collection[int]) -> dict[int, int]:
    """Return, by partition, the offset that the topic's next record will have."""
    return {number: marks[1] for number, marks in _watermarks(cluster, topic, partitions).items()}


def _watermarks(cluster: Cluster, topic: str, partitions: Collection[int]) -> dict[int, tuple[int, int]]:
    if not partitions:
        return {}
    consumer = _consumer(cluster)
    try:
        return {
            number: consumer.get_watermark_offsets(TopicPartition(cluster.named(topic), number), timeout=_PATIENCE_S)
            for number in partitions
        }
    finally:
        consumer.close()


def _consumer(cluster: Cluster) -> Consumer:
    return Consumer(
        {
            **cluster.client_settings(),
            # Required by librdkafka; nothing is ever committed to it.
            "group.id": cluster.named("driftline-drift-replay"),
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )


def _checked(messages: list[Message], end: int) -> tuple[list[Message], int | None]:
    """Split off what is behind the end, and say how far the messages reach; None where there are none."""
    records, reached = [], None
    for message in messages:
        error = message.error()
        if error is None:
            offset = _offset(message)
            if offset < end:
                records.append(message)
            reached = min(offset + 1, end)
        elif error.code() == KafkaError._PARTITION_EOF:
            # Trailing transaction markers are no records.
            reached = end
        elif not error.retriable():
            raise ReplayError(str(error.str()))
    return records, reached


def _run(topic: str, partition: int, start: int, end: int, records: list[Message]) -> Run:
    return Run(
        topic=topic,
        partition=partition,
        start=start,
        end=end,
        follows=True,
        offsets=[_offset(record) for record in records],
        timestamps_ms=[record.timestamp()[1] for record in records],
        keys=[record.key() for record in records],
        values=[record.value() for record in records],
        headers=[_headers(record) for record in records],
    )


def _offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None  # noqa: S101  (what was consumed has one)
    return offset


def _headers(message: Message) -> Headers:
    # What was consumed has them as a list of pairs.
    return cast(Headers, tuple(message.headers() or ()))
