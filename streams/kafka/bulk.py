"""Bulk topics: an ordinary Faust agent that is handed whole fetched runs of records.

    app = make_app("drift", "127.0.0.1:9092")
    stats = bulk_topic(app, "telemetry.feature-stats")

    @app.agent(stats)
    async def watch_drift(deliveries):
        async for run in accepted_runs(deliveries):
            if not run.follows:
                await restore(run.partition, up_to=run.start)
            ...

When the loop asks for the next run, the last one is done and its offsets may be committed. When the body raises, or
the loop is left in any other way, the run is not done: nothing of it is committed, the worker stops loudly, and whoever
is assigned the partition next reads it again. So what can be expected to be wrong with a record is dealt with inside.

An agent that asks for `waiting_runs` instead is handed all runs that wait by now, and says itself when they are done:
it may work on the next ones while what came of the last ones is still on its way to Kafka.

The runs of one partition come in order, and one at a time over all partitions; an agent scales by partitions and
workers, not by `concurrency`. After a rebalance an agent never sees what was waiting for it before: that comes again,
to whomever it belongs to now. To let go of state, connect to Faust's signals `app.on_partitions_revoked` and
`app.on_partitions_assigned`; both are awaited before the next run is handed out.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import faust
from faust.types import TP

from streams.kafka.consumer import RunMessage
from streams.kafka.errors import BulkAppError, UnfinishedRunError
from streams.kafka.figures import Figures
from streams.kafka.run import Run

__all__ = ["Handed", "accepted_runs", "figures", "waiting_runs"]

MOST_WAITING = 64
"""Runs that are handed out together, at most."""


@dataclass(eq=False)
class Handed:
    """Runs that are an agent's to work on, until it says that they are done."""

    runs: Sequence[Run]
    _messages: Sequence[RunMessage]
    _app: faust.App
    is_done: bool = False

    def done(self) -> None:
        """Let the runs be committed; to be called once, when all that came of them is safe."""
        self.is_done = True
        consumer: Any = self._app.consumer
        for message in self._messages:
            message.finish(consumer)
            self._app.sensors.on_message_out(message.tp, message.offset, message)

    def given_up(self) -> None:
        """Have nobody wait for them, in a rebalance or at the end; and nobody go on as if nothing had happened."""
        consumer: Any = self._app.consumer
        for message in self._messages:
            consumer.let_go(message)
        _stop(self._app, self.runs[0])


async def accepted_runs(deliveries: Any) -> AsyncIterator[Run]:
    """The runs of a bulk topic's stream; each is done when the next one is asked for."""
    async with aclosing(waiting_runs(deliveries, most=1)) as turns:
        async for handed in turns:
            for run in handed.runs:
                yield run
            handed.done()


async def waiting_runs(deliveries: Any, *, most: int = MOST_WAITING) -> AsyncGenerator[Handed, None]:
    """The runs of a bulk topic's stream, all that wait at once; whoever asks for the next has worked on them.

    For agents whose work costs as much for one run as for a few: they stay close behind where little arrives at a time.
    """
    if deliveries.concurrency_index is not None:
        raise BulkAppError("an agent of a bulk topic has concurrency 1", hint="scale by partitions and workers instead")
    app: faust.App = deliveries.app
    consumer: Any = app.consumer
    stream = deliveries.noack()
    worked_to: dict[TP, int] = {}
    under_way: list[Handed] = []
    figures(app).opened_agents += 1
    try:
        async for first in stream:
            messages = []
            for message in (first, *_further(stream, app, most - 1)):
                if not isinstance(message, RunMessage):
                    raise BulkAppError(
                        f"{stream.channel} is not a bulk topic", hint="declare it with bulk_topic(app, name)"
                    )  # fmt: skip
                if message.link.chain.over:  # From before a rebalance.
                    consumer.let_go(message)
                else:
                    messages.append(message)
            if not messages:
                continue
            runs = []
            for message in messages:
                runs.append(_run(message, follows=worked_to.get(message.tp) == message.link.start))
                worked_to[message.tp] = message.link.end
            handed = Handed(runs, messages, app)
            under_way = [*(one for one in under_way if not one.is_done), handed]
            yield handed
            for message in messages:
                message.make_room(consumer)
            app.sensors.on_stream_event_out(first.tp, first.offset, stream, stream.current_event)
    finally:
        for one in under_way:
            if not one.is_done:
                one.given_up()


def figures(app: faust.App) -> Figures:
    """What the app tells of itself."""
    transport: Any = app.transport
    return transport.figures  # type: ignore[no-any-return]


def _further(stream: Any, app: faust.App, most: int) -> Iterator[Any]:
    """Take what else waits by now, as the stream would, but without waiting: that might hold up a rebalance."""
    consumer: Any = app.consumer
    for _ in range(min(most, stream.channel.queue.qsize())):
        message = stream.channel.queue.get_nowait().message
        if app.flow_control.is_active() and message.generation_id == app.consumer_generation_id:
            message.tracked = True
            consumer.track_message(message)
            yield message


def _run(message: RunMessage, *, follows: bool) -> Run:
    stretch = message.stretch
    return Run(
        topic=message.topic,
        partition=message.partition,
        start=message.link.start,
        end=message.link.end,
        follows=follows,
        offsets=stretch.offsets,
        timestamps_ms=stretch.timestamps_ms,
        keys=stretch.keys,
        values=stretch.values,
        headers=stretch.headers,
    )


def _stop(app: faust.App, run: Run) -> None:
    if not app.should_stop:
        app.add_future(_stop_unless_told_why(app, run))


async def _stop_unless_told_why(app: faust.App, run: Run) -> None:
    """By now the agent has said itself what went wrong, if that is why it left."""
    if not app.should_stop:
        await app.crash(UnfinishedRunError(topic=run.topic, partition=run.partition, start=run.start, end=run.end))
