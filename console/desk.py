"""The desk: writes what people ask for to the topics, with their names, and hears what becomes of it."""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from console.auth import Principal
from console.live import Hub
from console.problems import ProblemError
from schemas.cluster import Cluster
from schemas.errors import RegistryAwayError
from schemas.operators import AuditEntry, OperatorRequest
from schemas.wire import Contract

__all__ = ["Answer", "Desk"]

log = logging.getLogger(__name__)

_DELIVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request; without an entry, nobody has taken it up yet."""

    request_id: str
    entry: AuditEntry | None

    @property
    def refused(self) -> bool:
        return self.entry is not None and self.entry.action.startswith("refused")


class Desk:
    """One producer for all that the console writes."""

    def __init__(
        self, cluster: Cluster, hub: Hub, *, cache_dir: Path | None, answer_s: float, now_ms: Callable[[], int]
    ) -> None:
        self._cluster = cluster
        self._cache_dir = cache_dir
        self._hub = hub
        self._answer_s = answer_s
        self._now_ms = now_ms
        self._contract: Contract | None = None
        self._connecting = threading.Lock()
        self._producer = Producer(
            {
                **cluster.producer_settings(),
                "acks": "all",
                "enable.idempotence": True,
                # What was answered with "not delivered" must not be delivered later.
                "delivery.timeout.ms": int(_DELIVERY_S * 1000),
                "linger.ms": 0,
            },
            logger=log,
        )

    async def ask(
        self,
        principal: Principal,
        subject: str,
        action: str,
        *,
        why: str,
        request_id: str,
        arguments: Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> Answer:
        """Ask for something in somebody's name, and wait a while for the audit log's word about it."""
        now_ms = self._now_ms()
        request = OperatorRequest(
            request_id=request_id,
            subject=subject,
            action=action,
            who=principal.name,
            why=why,
            at_ms=now_ms,
            arguments=dict(arguments or {}),
        )
        asked = AuditEntry(
            subject=subject,
            action=f"asked to {action}",
            who=principal.name,
            why=why,
            at_ms=now_ms,
            evidence={"request": request_id, "by": principal.by, **dict(arguments or {})},
        )
        with self._hub.listening(lambda entry: _answers(entry, subject, principal.name)) as heard:
            await self.publish("audit.log", asked)
            await self.publish("operators.requests", request)
            if not wait:
                return Answer(request_id, None)
            try:
                return Answer(request_id, await asyncio.wait_for(heard, self._answer_s))
            except TimeoutError:
                return Answer(request_id, None)

    async def note(self, principal: Principal, subject: str, action: str, *, why: str = "", **evidence: str) -> None:
        """Write what the console itself did into the audit log."""
        entry = AuditEntry(
            subject=subject, action=action, who=principal.name, why=why, at_ms=self._now_ms(), evidence=evidence
        )
        await self.publish("audit.log", entry)

    async def publish(self, topic: str, record: Any) -> None:
        """Return when Kafka has the record; a 503 problem says which server is away."""
        await asyncio.to_thread(self._publish, topic, record)

    def close(self) -> None:
        self._producer.flush(_DELIVERY_S)

    def _publish(self, topic: str, record: Any) -> None:
        try:
            key, value = self._connected().encode(topic, record)
        except RegistryAwayError as away:
            raise ProblemError(
                503, "registry-away", f"nothing was done: {away}", headers={"Retry-After": "2"}
            ) from None
        outcome: list[KafkaError | None] = []

        def note(error: KafkaError | None, _message: Message) -> None:
            outcome.append(error)

        try:
            self._producer.produce(self._cluster.named(topic), key=key, value=value, on_delivery=note)
            while not outcome:
                self._producer.poll(0.01)
        except (KafkaException, BufferError) as error:
            outcome.append(error.args[0] if isinstance(error, KafkaException) else KafkaError(KafkaError._QUEUE_FULL))
        if outcome[0] is not None:
            raise ProblemError(
                503,
                "kafka-away",
                f"Kafka did not confirm it: {outcome[0].str()}",
                hint="asking again with the same Idempotency-Key is safe",
                headers={"Retry-After": "2"},
            )

    def _connected(self) -> Contract:
        with self._connecting:
            if self._contract is None:
                self._contract = Contract.connect(self._cluster, cache_dir=self._cache_dir)
            return self._contract


def _answers(entry: AuditEntry, subject: str, who: str) -> bool:
    ours = entry.action.startswith("asked to ")
    return entry.subject == subject and not ours and who in (entry.who, entry.evidence.get("asked_by"))
