"""Membership in the group: the thread in which aiokafka sends heartbeats and commits, and fetches nothing."""

import asyncio
from contextlib import suppress
from typing import Any

import aiokafka
from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as driver

__all__ = ["MembershipThread"]


class MembershipThread(driver.AIOKafkaConsumerThread):
    """Faust's, but for the fetching."""

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no setting for it. Where "latest" begins is then where no transaction is open.
        consumer._isolation_level = "read_committed"
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        # aiokafka would fetch whatever it is assigned.
        self._ensure_consumer()._fetcher._fetch_task.cancel()

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

    def _stopped_set(self) -> None:
        # In a crash the thread has ended, and closed its loop, before it is told to stop.
        with suppress(RuntimeError):
            super()._stopped_set()

    def show_life(self) -> None:
        """Tell aiokafka that the worker lives; it would leave the group after `broker_max_poll_interval`, for good."""
        self.thread_loop.call_soon_threadsafe(self._show_life)

    def _show_life(self) -> None:
        with self._ensure_consumer()._subscription.fetch_context():
            pass
