"""The notifier at work: follows the alerts, tells who is to be told, and writes what it did into the audit log."""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from confluent_kafka import KafkaException, Producer

from console.notify import figures
from console.notify.config import NotifyConfig
from console.notify.plan import Due, Planner
from console.notify.sending import Handler, Sender
from schemas import feeds
from schemas.cluster import Cluster
from schemas.drift_alert import AlertState, DriftAlert
from schemas.errors import DriftlineError
from schemas.feeds import CaughtUp, Changed
from schemas.operators import AuditEntry
from schemas.wire import Contract

__all__ = ["Notifier"]

log = logging.getLogger(__name__)

_POLL_S = 0.2
_TRIES = 5
_FIRST_RETRY_MS = 2_000
_MOST_WAITING = 1_000
# An alert that changed this recently may not have been told before the start: better twice than never.
_FRESH_MS = 10 * 60_000


class Notifier:
    """Runs until it is stopped; an address that fails is tried again, and in the end given up, loudly."""

    def __init__(
        self,
        cluster: Cluster,
        config: NotifyConfig,
        *,
        handlers: Mapping[str, Handler] | None = None,
        cache_dir: Path | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._cluster = cluster
        self._cache_dir = cache_dir
        self._planner = Planner(config)
        addresses = {route.name: route.to + route.escalate_to for route in config.routes}
        figures.begin(addresses)
        self._sender = Sender(addresses, config.url, handlers or {})
        self._now_ms = now_ms
        self._stopped = threading.Event()
        # What failed: when to try again, how often it was tried.
        self._waiting: deque[tuple[int, int, Due]] = deque()
        # The alerts that there were at the start are known.
        self._current = False
        self.sent = self.given_up = 0

    def run(self) -> None:
        contract = Contract.connect(self._cluster, cache_dir=self._cache_dir)
        producer = Producer(self._cluster.producer_settings(), logger=log)
        with feeds.read(self._cluster, "drift.alerts", wait_s=math.inf, cache_dir=self._cache_dir) as feed:
            while not self._stopped.is_set():
                for event in feed.poll(_POLL_S):
                    self._current = self._current or isinstance(event, CaughtUp)
                    if isinstance(event, Changed):
                        self._take(event.value, event.at_ms, self._current)
                if self._current:
                    self._tell(contract, producer)
        producer.flush(5)

    def waiting(self) -> list[str]:
        """What is missing before anybody is told anything, in words; from any thread."""
        return [] if self._current else ["drift.alerts is not read up to its end yet"]

    def stop(self) -> None:
        self._stopped.set()

    def _take(self, alert: DriftAlert, told_at_ms: int, current: bool) -> None:
        now_ms = self._now_ms()
        if not current and alert.state is AlertState.RESOLVED:
            return
        self._planner.take(alert, now_ms, known=not current and now_ms - told_at_ms > _FRESH_MS)

    def _tell(self, contract: Contract, producer: Producer) -> None:
        now_ms = self._now_ms()
        ready = [(0, due) for due in self._planner.due(now_ms)]
        for _ in range(len(self._waiting)):
            at_ms, tries, due = self._waiting.popleft()
            if at_ms <= now_ms:
                ready.append((tries, due))
            else:
                self._waiting.append((at_ms, tries, due))
        for tries, due in ready:
            self._send(due, tries, contract, producer)

    def _send(self, due: Due, tries: int, contract: Contract, producer: Producer) -> None:
        failed = self._sender.send(due)
        self.sent += len(due.to) - len(failed)
        figures.sent.labels(due.route).inc(len(due.to) - len(failed))
        if len(failed) < len(due.to):
            self._note(due, "notified", contract, producer)
        if not failed:
            return
        left = Due(due.route, due.group, due.why, tuple(due.to[place] for place in failed), due.alerts)
        if tries + 1 < _TRIES and len(self._waiting) < _MOST_WAITING:
            self._waiting.append((self._now_ms() + (_FIRST_RETRY_MS << tries), tries + 1, left))
            return
        self.given_up += len(failed)
        figures.given_up.labels(due.route).inc(len(failed))
        log.error("given up: route=%s addresses=%d alerts=%d", due.route, len(failed), len(due.alerts))
        self._note(left, "could not notify", contract, producer)

    def _note(self, due: Due, action: str, contract: Contract, producer: Producer) -> None:
        for alert in due.alerts:
            entry = AuditEntry(
                subject=f"alert/{alert.alert_id}",
                action=action,
                who="notify",
                why=due.why,
                at_ms=self._now_ms(),
                evidence={"route": due.route, "addresses": str(len(due.to))},
            )
            try:
                key, value = contract.encode("audit.log", entry)
                producer.produce(self._cluster.named("audit.log"), key=key, value=value)
                producer.poll(0)
            except (DriftlineError, KafkaException, BufferError) as trouble:
                # Whoever is to be woken is told all the same.
                log.warning("not in the audit log: %s", trouble)
