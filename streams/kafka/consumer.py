"""The consumer under a bulk topic: Faust's, with the fetching and the book-keeping of commits replaced.

Faust, through aiokafka, keeps the membership in the group: heartbeats, rebalances, commits. The records themselves are
fetched by librdkafka (`TopicReader`, one for each topic, so that an agent that is slow holds up its own topic only).

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
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode import Service
from mode.utils.futures import notify

from streams.kafka.chain import Chain, Link
from streams.kafka.errors import BulkAppError
from streams.kafka.fetch import OutOfRange, Stretch, Taken, TopicReader
from streams.kafka.figures import Figures, Standing
from streams.kafka.membership import MembershipThread
from streams.kafka.topic import BulkTopic

__all__ = ["BulkConsumer", "BulkTransport", "RunMessage"]


class RunMessage(ConsumerMessage):
    """The message that carries a run through Faust's conductor and queue to the agents."""

    __slots__ = ("finished", "link", "stretch", "worked")

    link: Link
    stretch: Stretch
    finished: int
    worked: int

    def ack(self, consumer: Any, n: int = 1) -> bool:
        """Do nothing: Faust acks what it skips and what failed, so only `finish` counts."""
        return False

    def finish(self, consumer: BulkConsumer) -> None:
        """Count the run as done once every agent that was given it says so."""
        self.finished += 1
        super().ack(consumer)

    def make_room(self, consumer: BulkConsumer) -> None:
        """Let further runs be fetched once every agent that was given this one has worked on it."""
        self.worked += 1
        # Whoever has finished is in `refcount` no longer.
        if self.worked >= self.refcount + self.finished:
            self.link.worked = True
            consumer.look_for_room()


class BulkConsumer(driver.Consumer):
    """Deliver runs, commit what is finished."""

    _thread: MembershipThread
    transport: BulkTransport

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._chains: dict[TP, Chain] = {}
        self._readers: dict[str, TopicReader] = {}
        self._taking: dict[str, asyncio.Future[Taken]] = {}
        self._resting: set[TP] = set()
        self._room = asyncio.Event()
        self._taken_up: set[TP] = set()
        self._figures = self.transport.figures
        self._figures.consumer = self

    def _new_consumer_thread(self) -> MembershipThread:
        return MembershipThread(self, loop=self.loop, beacon=self.beacon)

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
        self._committed_offset.update({TP(*tp): offset for tp, offset in committed.items()})
        positions: dict[str, dict[int, int]] = {topic: {} for topic in self._readers}
        for tp, start in starts.items():
            positions.setdefault(tp.topic, {})[tp.partition] = start
        self._resting.clear()
        # Chains before readers: whatever arrives from before this moment is then seen not to follow.
        for tp, start in starts.items():
            self._begin(tp, start)
        for topic, places in positions.items():
            await self._reader(topic).read(places)
        self._figures.assigned = True
        self._figures.rebalances.inc()

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

    def _reader(self, topic: str) -> TopicReader:
        if topic not in self._readers:
            settings = {**self.transport.client_settings, "group.id": self.app.conf.id}
            self._readers[topic] = TopicReader(topic, settings, max_run_records=self.app.conf.broker_max_poll_records)
        return self._readers[topic]

    async def _seek(self, partition: TP, offset: int) -> None:
        await self._reader(partition.topic).read_from(partition.partition, offset)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let the agents finish and commit what they are working on, then end every chain."""
        self._figures.assigned = False
        await super().on_partitions_revoked(revoked)
        for chain in self._chains.values():
            chain.over = True
        self._taken_up.clear()

    # ---- delivery

    @Service.task
    async def _beat(self) -> None:
        while not self.should_stop:
            self._figures.alive()
            await self.sleep(1.0)

    async def _drain_messages(self, fetcher: Any) -> None:
        while not (self.should_stop or fetcher.should_stop):
            self._thread.show_life()
            if self.flow_active:
                await self._deliver_once()
            else:
                await self.wait(self.can_resume_flow.wait(), timeout=1.0)

    async def _deliver_once(self) -> None:
        """Deliver what one reader or several have, or wait a while for something."""
        await self._wake_the_resting()
        waiting = self._waiting_runs()
        for topic, reader in self._readers.items():
            # What arrives while agents are busy becomes few long runs: many short ones would cost more than they bring.
            if topic not in self._taking and waiting[topic] <= 1:
                self._taking[topic] = asyncio.ensure_future(reader.take())
        self._room.clear()
        room = asyncio.ensure_future(self._room.wait())
        waited_for: list[asyncio.Future[Any]] = [*self._taking.values(), room]
        await asyncio.wait(waited_for, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
        room.cancel()
        for topic in [topic for topic, taking in self._taking.items() if taking.done()]:
            for number, piece in self._taking.pop(topic).result():
                await self._accept(TP(topic, number), piece)

    def _waiting_runs(self) -> Mapping[str, int]:
        """How many runs of each topic are worked on by its agents, or wait for them."""
        waiting: dict[str, int] = defaultdict(int)
        for tp, chain in self._chains.items():
            if not chain.over:
                waiting[tp.topic] += chain.unworked
        return waiting

    async def _accept(self, tp: TP, piece: Stretch | OutOfRange) -> None:
        chain = self._chains.get(tp)
        if chain is None or chain.over:
            return
        if not self.flow_active or tp not in self._get_active_partitions():
            self._resting.add(tp)
            await self._readers[tp.topic].leave(tp.partition)
        elif (piece.position if isinstance(piece, OutOfRange) else piece.start) != chain.tip:
            await self._seek(tp, chain.tip)
        elif isinstance(piece, OutOfRange):
            await self._find_ground(tp, chain)
        elif piece.offsets:
            await self._deliver(tp, chain, piece)
        else:
            chain.pass_over(piece.start, piece.end)

    async def _wake_the_resting(self) -> None:
        """Read on in partitions that were paused."""
        for tp in self._resting & self._get_active_partitions():
            self._resting.discard(tp)
            if not self._chains[tp].over:
                await self._seek(tp, self._chains[tp].tip)

    async def _deliver(self, tp: TP, chain: Chain, stretch: Stretch) -> None:
        link = chain.add(stretch.start, stretch.end)
        message = RunMessage(
            tp.topic,
            tp.partition,
            stretch.offsets[-1],
            stretch.timestamps_ms[-1] / 1000.0,
            timestamp_type=0,
            headers=None,
            key=None,
            value=None,
            checksum=None,
            serialized_key_size=0,
            serialized_value_size=0,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )
        message.link, message.stretch, message.finished, message.worked = link, stretch, 0, 0
        self._figures.records.labels(tp.topic, tp.partition).inc(len(stretch.offsets))
        self._figures.run_records.labels(tp.topic).observe(len(stretch.offsets))
        await self.callback(message)

    async def _find_ground(self, tp: TP, chain: Chain) -> None:
        """Go on where the log begins, after retention has overtaken us or the log has begun anew."""
        earliest = (await self.earliest_offsets(tp))[tp]
        if chain.over:
            return
        if chain.tip < earliest:
            missed = earliest - chain.tip
            self._figures.expired.labels(tp.topic, tp.partition).inc(missed)
            self.log.error("%s: %s offsets from %s on expired before they were read", tp, missed, chain.tip)
            chain.pass_over(chain.tip, earliest, lost=True)
        else:
            self.log.error("%s: the log ends before %s; reading it from %s anew", tp, chain.tip, earliest)
            chain.over = True
            self._chains[tp] = Chain(earliest)
        await self._seek(tp, earliest)

    # ---- what is done, and committed

    def unfinished_runs(self) -> int:
        """How many runs are with the agents or wait for them."""
        return sum(chain.unfinished for chain in self._chains.values() if not chain.over)

    def ack(self, message: RunMessage) -> bool:  # type: ignore[override]
        """Take note that all agents are done with a run (from `RunMessage.finish`)."""
        message.acked = True
        message.link.chain.finish(message.link)
        self.let_go(message)
        self.look_for_room()
        if not message.link.chain.over:
            self._taken_up.add(message.tp)
        return True

    def look_for_room(self) -> None:
        """See whether further runs are to be fetched by now."""
        self._room.set()

    def standings(self) -> list[Standing]:
        """How far the work is in each assigned partition; may be asked from any thread."""
        if self.should_stop:
            return []
        return [
            Standing(*tp, chain.front, self.highwater(tp), chain.unfinished, tp in self._taken_up)
            for tp, chain in sorted(self._chains.copy().items())
            if not chain.over and tp.topic in self._readers
        ]

    def let_go(self, message: RunMessage) -> None:
        """No longer wait for `message` before a rebalance or the end."""
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)

    async def commit_and_end_transactions(self) -> None:
        """Commit all that is done by now; Faust lets it be where an earlier commit, of less, is still under way."""
        while await self.maybe_wait_for_commit_to_finish():
            pass
        await super().commit_and_end_transactions()

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        try:
            done = await super()._commit(offsets)
        except ConsumerStoppedError:
            self.log.warning("too late to commit %s; what follows is read again", dict(offsets))
            done = False
        self._figures.commits.labels("done" if done else "failed").inc()
        return done

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterable[TP]:  # type: ignore[override]
        return [tp for tp in self._chains if topics is None or tp in topics or tp.topic in topics]

    def on_buffer_full(self, tp: TP) -> None:
        """Nothing to hold back here: `_deliver_once` bounds what waits for the agents."""

    def on_buffer_drop(self, tp: TP) -> None:
        """See `on_buffer_full`."""

    def highwater(self, tp: TP) -> int:
        """Where the log of a partition ends that is being read, as far as is known."""
        return self._readers[tp.topic].end(tp.partition)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Say nothing: Faust would miss aiokafka's fetching."""

    async def on_stop(self) -> None:
        await super().on_stop()
        await asyncio.gather(*(reader.close() for reader in self._readers.values()))

    def _new_offset(self, tp: TP) -> int | None:
        chain = self._chains.get(tp)
        return None if chain is None or chain.over else chain.front

    def _should_commit(self, tp: TP, offset: int) -> bool:
        # Also backwards: a log that began anew has smaller offsets.
        return self._committed_offset[tp] != offset


class BulkTransport(driver.Transport):
    """Faust's Kafka transport with the consumer above; `client_settings` are librdkafka's."""

    Consumer = BulkConsumer

    def __init__(self, *args: Any, client_settings: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.client_settings = client_settings
        self.figures = Figures(self.app)


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
