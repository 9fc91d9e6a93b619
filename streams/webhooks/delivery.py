"""Delivering one record to one receiver: decided, sent, tried again, and in the end given up with its reason."""

import asyncio
import logging
from collections.abc import Callable
from random import Random
from typing import Any

import aiohttp
from confluent_kafka import Message

from schemas.cluster import Cluster
from schemas.errors import BadRecordError, RegistryAwayError
from schemas.wire import Contract
from streams.webhooks import figures
from streams.webhooks.cloud_event import CloudEvent, event_of
from streams.webhooks.letters import Letters
from streams.webhooks.retrying import Delivered, GiveUp, TryAgain, judge
from streams.webhooks.sending import post
from streams.webhooks.subscription import Subscription

__all__ = ["Delivery"]

log = logging.getLogger(__name__)

_REGISTRY_RETRY_S = 1.0


class Delivery:
    """One subscription's receiver."""

    def __init__(
        self,
        cluster: Cluster,
        contract: Contract,
        session: aiohttp.ClientSession,
        letters: Letters,
        subscription: Subscription,
        *,
        rng: Random,
        now_ms: Callable[[], int],
    ) -> None:
        self._contract, self._session, self._letters = contract, session, letters
        self._subscription, self._rng, self._now_ms = subscription, rng, now_ms
        self._names = {cluster.named(topic): topic for topic in subscription.topics}
        self._one_at_a_time = asyncio.Lock()
        # What was last seen in the fields whose change is waited for, by topic and key.
        self._seen: dict[tuple[str, str], tuple[Any, ...]] = {}

    async def deliver(self, message: Message) -> None:
        """Return once the record needs nothing more: delivered, not wanted, or among the dead letters."""
        topic, key = self._names[str(message.topic())], _text(message.key())
        value = message.value()
        if value is None or not self._subscription.wants(key):
            return
        try:
            record = await self._decoded(topic, message)
        except BadRecordError as bad:
            await self._give_up(topic, message, bad.reason)
            return
        if not self._has_changed(topic, key, record):
            return
        event = event_of(
            record,
            topic=topic,
            full_name=str(message.topic()),
            key=key,
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            at_ms=message.timestamp()[1],
        )
        await self._send_until_settled(event, topic, message)

    async def _send_until_settled(self, event: CloudEvent, topic: str, message: Message) -> None:
        name, attempt = self._subscription.name, 0
        while True:
            attempt += 1
            answer = await post(self._session, self._subscription, event, now_s=self._now_ms() / 1_000)
            age_s = (self._now_ms() - message.timestamp()[1]) / 1_000
            match judge(answer, self._subscription, attempt=attempt, age_s=age_s, chance=self._rng.random()):
                case Delivered():
                    figures.seconds.labels(name).observe(max(age_s, 0.0))
                    figures.attempts.labels(name, "delivered").inc()
                    return
                case GiveUp(why):
                    figures.attempts.labels(name, "given_up").inc()
                    await self._give_up(topic, message, why)
                    return
                case TryAgain(after_s):
                    figures.attempts.labels(name, "failed").inc()
                    log.warning(
                        "tries again: webhook=%s event=%s attempt=%d after_s=%.1f because=%s",
                        name, event.id, attempt, after_s, answer,
                    )  # fmt: skip
                    await asyncio.sleep(after_s)

    async def _decoded(self, topic: str, message: Message) -> Any:
        while True:
            try:
                # In a thread, as the first record of each schema asks the registry; one at a time, as it is no
                # contract's business to be asked by several.
                async with self._one_at_a_time:
                    return await asyncio.to_thread(
                        self._contract.decode, topic, _bytes(message.key()), _bytes(message.value()) or b""
                    )
            except RegistryAwayError as away:
                log.warning("waits for the registry: webhook=%s because=%s", self._subscription.name, away)
                await asyncio.sleep(_REGISTRY_RETRY_S)

    def _has_changed(self, topic: str, key: str, record: Any) -> bool:
        if not self._subscription.on_change:
            return True
        now = tuple(getattr(record, name) for name in self._subscription.on_change)
        before = self._seen.get((topic, key))
        self._seen[topic, key] = now
        return now != before

    async def _give_up(self, topic: str, message: Message, reason: str) -> None:
        name = self._subscription.name
        log.error("gives up: webhook=%s topic=%s offset=%s because=%s", name, topic, message.offset(), reason)
        await asyncio.to_thread(self._letters.write, topic, message, f"webhook {name}: {reason}")


def _text(key: str | bytes | None) -> str:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else key or ""


def _bytes(content: str | bytes | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content
