"""Fetching a topic with librdkafka, whose own threads read, decompress and take apart what the brokers send.

librdkafka is told which partitions to read from where, and nothing of the group: who owns a partition and what is
committed is Faust's affair. What comes back are stretches: the records between two positions, each stretch beginning
where the one before it ended. So compacted stretches, aborted transactions and control records lie inside a stretch,
or are one without records.
"""

import asyncio
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, TopicPartition

from streams.kafka.errors import FetchError
from streams.kafka.quiet import Throttle

__all__ = ["OutOfRange", "Stretch", "TopicReader"]

T = TypeVar("T")

Headers = Sequence[tuple[str, bytes | None]]

QUEUED_KB = 16 * 1024
"""What librdkafka holds ready of one topic; what was taken is on top of that."""

_WAIT_S = 0.1
_FURTHER_PARTITIONS = 4

_NOWHERE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION}
# librdkafka asks again by itself: a topic may be made anew, a leader elected.
_PASSING = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
}


@dataclass(frozen=True, slots=True)
class Stretch:
    """What was read of a partition between two positions, as columns; without records if only the position moved."""

    start: int
    end: int
    offsets: list[int]
    timestamps_ms: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    headers: list[Headers]


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """The broker no longer has, or does not yet have, what was asked for."""

    position: int


Taken = list[tuple[int, Stretch | OutOfRange]]
"""Pairs of a partition and what there was of it, in order."""


class TopicReader:
    """Reads partitions of one topic.

    librdkafka is read by one thread only, so nothing that was fetched for an earlier position is taken after a later
    one was asked for.
    """

    def __init__(self, topic: str, settings: Mapping[str, Any], *, max_run_records: int) -> None:
        self._topic = topic
        self._log = logging.getLogger(f"{__name__}.{topic}")
        self._log.addFilter(Throttle())
        self._consumer = Consumer(
            {
                # By default it does not fetch for a second once its queue is full, or for half of one at a log's end.
                "fetch.queue.backoff.ms": 1,
                "fetch.wait.max.ms": 100,
                "queued.max.messages.kbytes": QUEUED_KB,
                "max.partition.fetch.bytes": 2 * 1024**2,
                # A topic that is made anew is found within this time, instead of in five minutes.
                "topic.metadata.refresh.interval.ms": 15_000,
                **settings,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                # No silent jumps: where to go on is decided, said and counted by the consumer.
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
            },
            logger=self._log,
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"fetch {topic}")
        self._positions: dict[int, int] = {}
        # Metrics are scraped by a thread of their own.
        self._asking = threading.Lock()
        self._closed = False
        self._max_run_records = max_run_records

    @property
    def most(self) -> int:
        """How many records are taken at once, at most."""
        return self._max_run_records * min(_FURTHER_PARTITIONS, max(1, len(self._positions)))

    async def read(self, positions: Mapping[int, int]) -> None:
        """Read these partitions from these positions on, and no others."""
        await self._in_thread(partial(self._read, dict(positions)))

    async def read_from(self, partition: int, position: int) -> None:
        """Go on elsewhere in one partition."""
        await self._in_thread(lambda: self._read({**self._positions, partition: position}))

    async def leave(self, partition: int) -> None:
        """Read this partition no longer."""
        await self._in_thread(lambda: self._read({n: at for n, at in self._positions.items() if n != partition}))

    async def take(self) -> Taken:
        """Take what was fetched, at once if there is something, otherwise after a short wait."""
        return await self._in_thread(self._take)

    def end(self, partition: int) -> int:
        """Return where the log ended when it was last fetched from; below 0 before that, and once this is closed."""
        with self._asking:
            if self._closed:
                return -1
            _, end = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
            return end

    async def close(self) -> None:
        # The consumer is gone before its own `close` returns: whoever asked it then would bring down the process.
        with self._asking:
            self._closed = True
        await self._in_thread(self._consumer.close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, act: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, act)

    def _read(self, positions: dict[int, int]) -> None:
        self._positions = positions
        self._consumer.assign([TopicPartition(self._topic, number, at) for number, at in positions.items()])

    def _take(self) -> Taken:
        # `consume` alone would wait until it has all that it may take.
        first: Any = self._consumer.poll(_WAIT_S)
        if first is None:
            return []
        found: dict[int, list[Any]] = defaultdict(list)
        rest: list[Any] = self._consumer.consume(self.most - 1, 0)
        for message in (first, *rest):
            found[message.partition()].append(message)
        return [(number, piece) for number, messages in found.items() for piece in self._pieces(number, messages)]

    def _pieces(self, partition: int, messages: list[Any]) -> Iterator[Stretch | OutOfRange]:
        records = [message for message in messages if message.error() is None]
        reached = records[-1].offset() + 1 if records else 0
        lost = False
        for message in messages if len(records) < len(messages) else ():
            error = message.error()
            if error is None:
                continue
            if error.code() == KafkaError._PARTITION_EOF:
                reached = max(reached, message.offset())
            elif error.code() in _NOWHERE:
                lost = True
            elif error.code() in _PASSING:
                self._log.warning("%s[%s] cannot be read now: %s", self._topic, partition, error.str())
            else:
                raise FetchError(topic=self._topic, partition=partition, problem=error.str())
        for first in range(0, len(records), self._max_run_records):
            run = records[first : first + self._max_run_records]
            last = first + self._max_run_records >= len(records)
            yield self._stretch(partition, run, reached if last else run[-1].offset() + 1)
        if not records and reached > self._positions.get(partition, reached):
            yield self._stretch(partition, [], reached)
        if lost:
            yield OutOfRange(self._positions.get(partition, -1))

    def _stretch(self, partition: int, records: list[Any], end: int) -> Stretch:
        start, self._positions[partition] = self._positions[partition], end
        return Stretch(
            start,
            end,
            offsets=[record.offset() for record in records],
            timestamps_ms=[record.timestamp()[1] for record in records],
            keys=[record.key() for record in records],
            values=[record.value() for record in records],
            headers=[record.headers() or () for record in records],
        )
