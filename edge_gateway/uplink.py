"""The way up: what waits in the spool goes out by a link, and is deleted when Kafka has it.

It keeps four rules:

* a batch is settled, record by record, before the next one is taken, so order and bookkeeping stay simple;
* live records go first; what piled up in an outage follows at a bounded rate beside them;
* a failed batch is tried again after a pause that grows, with jitter, so that a fleet does not come back as one;
* a record that no broker will ever take is dropped, loudly, and does not stand in the way of others.
"""

import logging
from dataclasses import dataclass, field
from random import Random

from edge_gateway.link import Failure, Link, Origin, Settled
from edge_gateway.spool import Spool, Spooled
from schemas.errors import IncompatibleSchemaError, RegistryAwayError

__all__ = ["Uplink", "UplinkState"]

_log = logging.getLogger(__name__)

_FIRST_PAUSE_MS = 500
_LONGEST_PAUSE_MS = 60_000
# A batch that takes longer than this means an outage: what has piled up until it settles is backlog.
_OUTAGE_MS = 5_000


@dataclass(slots=True)
class UplinkState:
    """How the way up is doing."""

    sent: int = 0
    failures: int = 0
    last_error: str = ""
    # Since when nothing gets through; None while it does.
    away_since_ms: int | None = None


@dataclass(slots=True)
class _Batch:
    records: list[Spooled]
    begun_ms: int
    waiting: int
    delivered: list[Spooled] = field(default_factory=list)
    never: list[tuple[Spooled, str]] = field(default_factory=list)
    error: str = ""


class Uplink:
    """Empties one spool into a link; `pump` never blocks, so one thread may look after many."""

    def __init__(self, spool: Spool, link: Link, *, source: str, rng: Random) -> None:
        self.state = UplinkState()
        self._spool = spool
        self._link = link
        self._source = source
        self._rng = rng
        self._batch: _Batch | None = None
        self._backlog_up_to = spool.newest_id()
        self._backlog_tokens = 0.0
        self._tokens_at_ms: int | None = None
        self._pause_ms = 0
        self._not_before_ms = 0

    @property
    def idle(self) -> bool:
        return self._batch is None

    @property
    def empty(self) -> bool:
        return self._spool.depth().records == 0

    def pump(self, now_ms: int) -> None:
        """Settle what was delivered, and send more."""
        if self._batch is not None:
            if self._batch.waiting:
                return
            self._settle(self._batch, now_ms)
        if self._batch is None and now_ms >= self._not_before_ms and self._link.ready:
            records = self._next(now_ms)
            if records:
                self._send(records, now_ms)

    def hurry(self) -> None:
        """Try at once, whatever the pause, as after a network came up."""
        self._not_before_ms = 0

    def _next(self, now_ms: int) -> list[Spooled]:
        batch = self._spool.config.batch
        records = self._spool.live(self._backlog_up_to, batch)
        rate = self._spool.config.backlog_per_s
        passed_ms = 0 if self._tokens_at_ms is None else max(now_ms - self._tokens_at_ms, 0)
        self._tokens_at_ms = now_ms
        self._backlog_tokens = min(self._backlog_tokens + passed_ms * rate / 1000, max(rate / 2, 1.0))
        allowed = min(int(self._backlog_tokens), batch - len(records))
        if allowed > 0:
            backlog = self._spool.backlog(self._backlog_up_to, allowed)
            self._backlog_tokens -= len(backlog)
            records += backlog
        return records

    def _send(self, records: list[Spooled], now_ms: int) -> None:
        batch = self._batch = _Batch(records, now_ms, waiting=len(records))
        origin = Origin(self._source, self._spool.boot_id)
        for place, record in enumerate(records):
            try:
                self._link.send(record, self._spool.schema(record.schema), origin, _noter(batch, record))
            except (RegistryAwayError, IncompatibleSchemaError) as error:
                batch.waiting -= len(records) - place
                batch.error = str(error)
                return

    def _settle(self, batch: _Batch, now_ms: int) -> None:
        self._batch = None
        self._spool.delete(batch.delivered)
        self.state.sent += len(batch.delivered)
        for record, why in batch.never:
            self._spool.give_up([record], why)
        if batch.error:
            self._fail(batch, now_ms)
        if batch.delivered:
            self._recover(batch, now_ms)

    def _fail(self, batch: _Batch, now_ms: int) -> None:
        if self.state.away_since_ms is None:
            # A broker that is gone shows only when its time to answer is over.
            self.state.away_since_ms = batch.begun_ms
            _log.warning("buffering: what is made waits in the spool; why=%s", batch.error)
        self.state.failures += 1
        self.state.last_error = batch.error
        self._pause_ms = min(max(self._pause_ms * 2, _FIRST_PAUSE_MS), _LONGEST_PAUSE_MS)
        self._not_before_ms = now_ms + int(self._pause_ms * self._rng.uniform(0.5, 1.0))

    def _recover(self, batch: _Batch, now_ms: int) -> None:
        if not batch.error:
            self._pause_ms = 0
            self._not_before_ms = 0
        if self.state.away_since_ms is not None or now_ms - batch.begun_ms > _OUTAGE_MS:
            since_ms = batch.begun_ms if self.state.away_since_ms is None else self.state.away_since_ms
            depth = self._spool.depth()
            _log.info("syncing: records=%d after-s=%.1f", depth.records, (now_ms - since_ms) / 1000)
            # All that waits now is backlog; what comes from here on is live.
            self._backlog_up_to = self._spool.newest_id()
            self.state.away_since_ms = None


def _noter(batch: _Batch, record: Spooled) -> Settled:
    def settled(failure: Failure | None) -> None:
        batch.waiting -= 1
        if failure is None:
            batch.delivered.append(record)
        elif failure.for_good:
            batch.never.append((record, failure.why))
        else:
            batch.error = failure.why

    return settled
