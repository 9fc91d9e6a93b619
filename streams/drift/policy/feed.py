"""Following the policies' topic: what verifies is wanted, what does not is said to whoever runs the worker."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from schemas import feeds
from schemas.cluster import Cluster
from schemas.dead_letter import DeadLetter, dead_letter
from schemas.operators import AuditEntry
from schemas.wire import Contract
from streams.drift.policy.wanted import Wanted

__all__ = ["TOPIC", "PolicyFeed", "Refused"]

log = logging.getLogger(__name__)

TOPIC = "drift.policies"


@dataclass(frozen=True, slots=True)
class Refused:
    """A record of the policies' topic that no worker may judge by."""

    policy_id: str
    partition: int
    offset: int
    why: str
    value: bytes

    def dead_letter(self, *, who: str, now_ms: int) -> DeadLetter:
        return dead_letter(
            source_topic=TOPIC,
            partition=self.partition,
            offset=self.offset,
            key=self.policy_id.encode(),
            value=self.value,
            reason=self.why,
            found_by=who,
            at_ms=now_ms,
        )

    def audit_entry(self, *, who: str, now_ms: int) -> AuditEntry:
        evidence = {"partition": str(self.partition), "offset": str(self.offset)}
        return AuditEntry(
            subject=f"policy/{self.policy_id}", action="refused", who=who, why=self.why, at_ms=now_ms, evidence=evidence
        )


class PolicyFeed:
    """Keeps `wanted` as the topic says; `current` is set once the topic's present state is known."""

    def __init__(self, cluster: Cluster, policy_id: str, wanted: Wanted, *, cache_dir: Path | None = None) -> None:
        self._cluster, self._policy_id, self._cache_dir = cluster, policy_id, cache_dir
        self.wanted = wanted
        # Without a keyring nothing verifies, and the topic is left alone.
        self.is_followed = wanted.has_keyring
        self.current = asyncio.Event()

    async def follow(self, contract: Contract, tell: Callable[[Refused], Awaitable[None]]) -> None:
        """Follow the topic for as long as the worker runs."""
        keys = {self._policy_id}
        async with feeds.read_async(self._cluster, TOPIC, keys=keys, cache_dir=self._cache_dir) as feed:
            async for event in feed:
                match event:
                    case feeds.CaughtUp():
                        self.current.set()
                    case feeds.Changed(value=policy):
                        why = self.wanted.heed(policy)
                        if why:
                            _, value = await asyncio.to_thread(contract.encode, TOPIC, policy)
                            await self._refuse(event.partition, event.offset, why, value, tell)
                    case feeds.Bad(reason=why):
                        await self._refuse(
                            event.partition, event.offset, self.wanted.refuse(why), event.raw_value or b"", tell
                        )

    async def _refuse(
        self, partition: int, offset: int, why: str, value: bytes | None, tell: Callable[[Refused], Awaitable[None]]
    ) -> None:
        log.warning("policy refused: policy=%s offset=%d why=%s", self._policy_id, offset, why)
        await tell(Refused(self._policy_id, partition, offset, why, value or b""))
