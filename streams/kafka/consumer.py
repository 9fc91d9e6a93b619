"""The consumer under a bulk topic: Faust's, with the delivery of runs and the book-keeping of commits replaced.

Faust notes each offset by itself and takes what it never saw for a gap in the log, so that a run which was dropped in
a rebalance is committed as if it had been worked on; and an ack from before a rebalance counts like one from after it.
Here each assigned partition has a `Chain` instead:

* a run is handed out only where the chain's last one ended. Whatever was dropped on the way, for whichever reason,
  shows as a break, and the break is mended by reading again from where the chain stands;
* what is committed is the chain's front, which moves over finished runs only;
* a rebalance ends the chain, so whoever still holds one of its runs cannot move anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import aiokafka
from aiokafka.errors import ConsumerStoppedError, IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.utils.futures import notify

from streams.kafka.chain import Chain, Link
from streams.kafka.errors import BulkAppError
from streams.kafka.fetch import OutOfRange, Stretch, take_stretches
from streams.kafka.topic import BulkTopic

__all__ = ["BulkConsumer", "BulkTransport", "RunMessage"]

READ_AHEAD_RUNS = 16
"""Runs that are kept waiting for the agents, over all partitions; but two of each partition in any case."""


class RunMessage(ConsumerMessage):
    """The message that carries a run through Faust's conductor and queue to the agents."""

    __slots__ = ("link", "records")

    link: Link
    records: list[Any]

    def ack(self, consumer: Any, n: int = 1) -> bool:
        """Do nothing: Faust acks what it skips and what failed, so only `finish` counts."""
        return False

    def finish(self, consumer: BulkConsumer) -> None:
        """Count the run as done once every agent that was given it says so."""
        super().ack(consumer)


class _Thread(driver.AIOKafkaConsumerThread):
    """The thread in which aiokafka fetches, sends heartbeats and commits."""

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no settings for these two; both are read when the consumer starts.
        consumer._isolation_level = "read_committed"
        # No silent jumps: where to go on is decided, said and counted by `BulkConsumer._find_ground`.
        consumer._auto_offset_reset = "none"
        return consumer

    async def call_thread(self, fun: Any, *args: Any, **kwargs: Any) -> Any:
        """Have `fun` called in the thread; raise `ConsumerStoppedError` if the thread ends first.

        In a crash the thread ends before the services that wait for its answers, and Faust would wait for ever.
        """
        answer = asyncio.ensure_future(super().call_thread(fun, *args, **kwargs))
        ended = asyncio.ensure_future(self._shutdown.wait())
        try:
            await asyncio.wait({answer, ended}, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            raise ConsumerStoppedError
        finally:
            ended.cancel()
            answer.cancel()

    async def take(self, partitions: Collection[TP], timeout_s: float) -> Mapping[TP, Stretch | OutOfRange]:
        return await self.call_thread(self._take, partitions, timeout_s)  # type: ignore[no-any-return]

    async def _take(self, partitions: Collection[TP], timeout_s: float) -> Mapping[TP, Stretch | OutOfRange]:
        consumer = self._ensure_consumer()
        if consumer._closed or consumer._fetcher._closed:
            raise ConsumerStoppedError
        # Being here also tells aiokafka that the worker lives: one that has no partition, or only full ones,
        # would otherwise be made to leave its group after `broker_max_poll_interval`, for good.
        with consumer._subscription.fetch_context():
            return await take_stretches(
                consumer._fetcher, partitions, timeout_s=timeout_s, max_records=consumer._max_poll_records
            )

    def wake(self) -> None:
        """Let a waiting `take` return, so that it is called again with other partitions."""
        self.thread_loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        fetcher = self._ensure_consumer()._fetcher
        for waiter in fetcher._fetch_waiters:
            fetcher._notify(waiter)


class BulkConsumer(driver.Consumer):
    """Deliver runs, commit what is finished."""

    expired: int = 0
    """Offsets that retention had removed before they were read."""

    _thread: _Thread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._chains: dict[TP, Chain] = {}
        self._held_back: set[TP] = set()

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def subscribe(self, topics: Iterable[str]) -> None:
        _refuse_what_is_not_bulk(self.app)
        await super().subscribe(topics)

    # ---- where reading begins

    async def perform_seek(self) -> None:
        """Begin a new chain for each assigned partition, where the group has committed."""
        committed = await self._thread.seek_to_committed()
        starts = {TP(*tp): offset for tp, offset in committed.items() if offset is not None and offset >= 0}
        unknown = [TP(*tp) for tp in committed if TP(*tp) not in starts]
        if unknown:
            # Committed like any other position, so that "latest" stays the moment of the very first start.
            starts |= await self._first_positions(unknown)
        # `seek_to_committed` leaves a partition alone whose committed offset is 0 or missing.
        await self._thread.call_thread(self._seek_in_thread, starts)
        self._committed_offset.update({TP(*tp): offset for tp, offset in committed.items()})
        for tp, start in starts.items():
            self._begin(tp, start)

    async def _first_positions(self, tps: Collection[TP]) -> dict[TP, int]:
        from_start = self.app.conf.consumer_auto_offset_reset == "earliest"
        found = await (self.earliest_offsets(*tps) if from_start else self.highwaters(*tps))
        return {TP(*tp): offset for tp, offset in found.items()}

    def _begin(self, tp: TP, start: int) -> None:
        before = self._chains.get(tp)
        quiet_since = None
        if before is not None:
            before.over = True
            if before.quiet_since <= start <= before.tip:
                quiet_since = before.quiet_since
        self._chains[tp] = Chain(start, quiet_since=quiet_since)
        self._read_offset[tp] = start

    async def _seek_in_thread(self, positions: Mapping[TP, int]) -> None:
        consumer = self._thread._ensure_consumer()
        for tp, offset in positions.items():
            consumer.seek(driver.ensure_aiokafka_TP(tp), offset)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let the agents finish and commit what they are working on, then end every chain."""
        await super().on_partitions_revoked(revoked)
        for chain in self._chains.values():
            chain.over = True

    # ---- delivery

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                if self.flow_active:
                    await self._deliver_once()
                else:
                    await self.wait(self.can_resume_flow.wait())
        except (ConsumerStoppedError, asyncio.CancelledError):
            if not self.app.should_stop:
                raise

    async def _deliver_once(self) -> None:
        wanted = self._wanted()
        taken = await self._thread.take(wanted, timeout_s=1.0)
        for tp, stretch in taken.items():
            chain = self._chains.get(tp)
            if not self.flow_active or chain is None or chain.over:
                continue
            if isinstance(stretch, OutOfRange):
                await self._find_ground(tp, chain)
            elif stretch.start != chain.tip:
                await self._read_from(tp, chain.tip)
            elif stretch.records:
                await self._deliver(tp, chain, stretch)
            else:
                chain.pass_over(stretch.start, stretch.end)
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))

    def _wanted(self) -> set[TP]:
        """Partitions that may be read further; of the others enough runs wait for their agents."""
        active = {tp for tp in self._get_active_partitions() if tp in self._chains}
        limit = max(2, READ_AHEAD_RUNS // max(1, len(active)))
        self._held_back = {tp for tp in active if self._chains[tp].unfinished >= limit}
        return active - self._held_back

    async def _deliver(self, tp: TP, chain: Chain, stretch: Stretch) -> None:
        link = chain.add(stretch.start, stretch.end)
        last = stretch.records[-1]
        message = RunMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            last.timestamp_type,
            headers=None,
            key=None,
            value=None,
            checksum=None,
            serialized_key_size=0,
            serialized_value_size=0,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )
        message.link, message.records = link, stretch.records
        await self.callback(message)

    async def _read_from(self, tp: TP, position: int) -> None:
        try:
            await self._thread.call_thread(self._seek_in_thread, {tp: position})
        except IllegalStateError:
            self.log.info("%s was taken away before it could be read from %s", tp, position)

    async def _find_ground(self, tp: TP, chain: Chain) -> None:
        """Go on where the log begins, after retention has overtaken us or the log has begun anew."""
        earliest = (await self.earliest_offsets(tp))[tp]
        if chain.over:
            return
        if chain.tip < earliest:
            missed = earliest - chain.tip
            self.expired += missed
            self.log.error("%s: %s offsets from %s on expired before they were read", tp, missed, chain.tip)
            chain.pass_over(chain.tip, earliest, lost=True)
        else:
            self.log.error("%s: the log ends before %s; reading it from %s anew", tp, chain.tip, earliest)
            chain.over = True
            self._chains[tp] = Chain(earliest)
        await self._read_from(tp, earliest)

    # ---- what is done, and committed

    def unfinished_runs(self) -> int:
        """How many runs are with the agents or wait for them."""
        return sum(chain.unfinished for chain in self._chains.values() if not chain.over)

    def ack(self, message: RunMessage) -> bool:  # type: ignore[override]
        """Take note that all agents are done with a run (from `RunMessage.finish`)."""
        message.acked = True
        message.link.chain.finish(message.link)
        self.let_go(message)
        if message.tp in self._held_back:
            self._held_back.discard(message.tp)
            self._thread.wake()
        return True

    def let_go(self, message: RunMessage) -> None:
        """No longer wait for `message` before a rebalance or the end."""
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        try:
            return await super()._commit(offsets)
        except ConsumerStoppedError:
            self.log.warning("too late to commit %s; what follows is read again", dict(offsets))
            return False

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterable[TP]:  # type: ignore[override]
        return [tp for tp in self._chains if topics is None or tp in topics or tp.topic in topics]

    def on_buffer_full(self, tp: TP) -> None:
        """Nothing to hold back here: `_wanted` bounds what waits for the agents."""

    def on_buffer_drop(self, tp: TP) -> None:
        """See `on_buffer_full`."""

    def _new_offset(self, tp: TP) -> int | None:
        chain = self._chains.get(tp)
        return None if chain is None or chain.over else chain.front

    def _should_commit(self, tp: TP, offset: int) -> bool:
        # Also backwards: a log that began anew has smaller offsets.
        return self._committed_offset[tp] != offset


class BulkTransport(driver.Transport):
    """Faust's Kafka transport with the consumer above."""

    Consumer = BulkConsumer


def _refuse_what_is_not_bulk(app: Any) -> None:
    """Stop an app that reads other topics than bulk ones, keeps Tables, or wants Faust's transactions.

    Faust's book-keeping of single events is compiled into its stream iterator and cannot be replaced from here. It acks
    what failed and takes dropped events for gaps, so next to bulk topics it would be a promise broken in the same app.
    """
    ordinary = sorted({name for topic in app.topics for name in topic.topics if not isinstance(topic, BulkTopic)})
    if ordinary:
        raise BulkAppError(
            f"app {app.conf.id!r} reads {', '.join(ordinary)} event by event, but reads bulk topics only",
            hint="declare it with bulk_topic(app, name) and loop over run.values, or give it an app of its own",
        )
    if app.tables:
        raise BulkAppError(
            f"app {app.conf.id!r} has Tables ({', '.join(app.tables)}), which lose events when they recover",
            hint="keep such state on a topic of its own",
        )
    if app.in_transaction:
        raise BulkAppError(f"app {app.conf.id!r} asks for exactly_once, but bulk topics are read at least once")
