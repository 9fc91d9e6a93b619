"""Reading for one subscription: partitions side by side, each in order, and commits that never run ahead."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.cluster import Cluster
from schemas.feeds import TopicMissingError
from streams.webhooks import figures
from streams.webhooks.subscription import Subscription

__all__ = ["Reading"]

log = logging.getLogger(__name__)

_POLL_S = 0.2
_PATIENCE_S = 10.0
_AT_MOST = 200
# Waiting in memory for their turn, for each partition; more stay with the broker.
_MOST_WAITING = 500

Place = tuple[str, int]
Work = Callable[[Message], Awaitable[None]]


@dataclass(slots=True)
class _Lane:
    """One partition: what waits, and who works on it."""

    waiting: deque[Message] = field(default_factory=deque)
    worker: "asyncio.Task[None] | None" = None
    paused: bool = False


class Reading:
    """Hands each record to `work`, which returns when the record needs nothing more."""

    def __init__(self, cluster: Cluster, subscription: Subscription, work: Work) -> None:
        self._work, self._bootstrap = work, cluster.bootstrap
        self._topics = [cluster.named(topic) for topic in subscription.topics]
        figures.begin(subscription.name)
        self._backlog = figures.waiting.labels(subscription.name)
        self._lanes: dict[Place, _Lane] = {}
        # The next offset of each partition whose records before it need nothing more, not yet committed.
        self._done: dict[Place, int] = {}
        self._lost: list[Place] = []
        # Its group has said which partitions it reads, be it none.
        self.settled = False
        self._consumer = Consumer(
            {
                **cluster.client_settings(),
                "group.id": cluster.named(f"webhooks-{subscription.name}"),
                "enable.auto.commit": False,
                # Of a place that the topic has forgotten meanwhile, what is left is told.
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "partition.assignment.strategy": "cooperative-sticky",
                # Whoever is killed is followed after so long.
                "session.timeout.ms": 10_000,
            }
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Read until told to stop; what is then under way is delivered again by whoever comes next."""
        self._consumer.subscribe(
            self._topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost_all
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                while not stopping.is_set():
                    # In a thread: rebalances are told from within, and may take their time.
                    messages = await asyncio.to_thread(self._consumer.consume, _AT_MOST, _POLL_S)
                    self._forget_lost()
                    for message in messages:
                        self._queue(message, tasks)
                    self._hold_back()
                    self._backlog.set(sum(len(lane.waiting) for lane in self._lanes.values()))
                    await asyncio.to_thread(self._commit)
                for lane in self._lanes.values():
                    if lane.worker is not None:
                        lane.worker.cancel()
        finally:
            self._commit()
            self._consumer.close()

    def _queue(self, message: Message, tasks: asyncio.TaskGroup) -> None:
        error = message.error()
        if error is not None:
            if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise TopicMissingError(str(message.topic()), self._bootstrap)
            if error.fatal():
                raise KafkaException(error)
            return
        lane = self._lanes.setdefault(_place(message), _Lane())
        lane.waiting.append(message)
        if lane.worker is None:
            lane.worker = tasks.create_task(self._work_off(lane))

    async def _work_off(self, lane: _Lane) -> None:
        while lane.waiting:
            message = lane.waiting[0]
            await self._work(message)
            lane.waiting.popleft()
            self._done[_place(message)] = _offset(message) + 1
        lane.worker = None

    def _hold_back(self) -> None:
        """Read on only where there is room; the consumer goes on being polled, and stays in its group."""
        for place, lane in self._lanes.items():
            if not lane.paused and len(lane.waiting) > _MOST_WAITING:
                self._consumer.pause([TopicPartition(*place)])
                lane.paused = True
            elif lane.paused and len(lane.waiting) <= _MOST_WAITING // 2:
                self._consumer.resume([TopicPartition(*place)])
                lane.paused = False

    def _commit(self) -> None:
        done = dict(self._done)
        if not done:
            return
        offsets = [TopicPartition(topic, number, offset) for (topic, number), offset in done.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as failed:
            # The next turn says it again; should that not come, the records are delivered again.
            log.info("not committed: because=%s", failed)
            return
        for place, offset in done.items():
            if self._done.get(place) == offset:
                del self._done[place]

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Go on behind what was delivered; where nothing was yet, begin now, and say so for whoever comes next."""
        begun = consumer.committed(partitions, timeout=_PATIENCE_S) if partitions else []
        for at in begun:
            if at.offset < 0:
                at.offset = _end_of(consumer, at)
                # A worker that dies before its first delivery should not make its successor begin later than it did.
                self._done[at.topic, at.partition] = at.offset
        consumer.incremental_assign(begun)
        self.settled = True

    def _revoked(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._commit()
        self._lost += [(at.topic, at.partition) for at in partitions]

    def _lost_all(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Others have them already: what we would commit is theirs to say.
        self._lost += [(at.topic, at.partition) for at in partitions]

    def _forget_lost(self) -> None:
        for place in self._lost:
            lane = self._lanes.pop(place, None)
            self._done.pop(place, None)
            if lane is not None and lane.worker is not None:
                lane.worker.cancel()
        self._lost.clear()


def _end_of(consumer: Consumer, at: TopicPartition) -> int:
    """Ask where a partition ends; one that was made a moment ago is not known everywhere yet."""
    give_up_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return int(consumer.get_watermark_offsets(at, timeout=_PATIENCE_S)[1])
        except KafkaException:
            if time.monotonic() > give_up_s:
                raise
            time.sleep(0.1)


def _place(message: Message) -> Place:
    number = message.partition()
    return str(message.topic()), -1 if number is None else number


def _offset(message: Message) -> int:
    offset = message.offset()
    return -1 if offset is None else offset
