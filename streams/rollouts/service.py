"""The controller at work: it stands by until it leads, restores, and then digests, decides and writes.

One turn reads what there is, lets the pure controller digest it, and writes what follows in one transaction together
with the offsets that were read. Whatever fails, the turn is as if it had not been: the next term restores and goes on.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from confluent_kafka import KafkaException, Message
from securesystemslib.signer import Signer

from schemas.admin import BrokerAwayError
from schemas.cluster import Cluster
from schemas.dead_letter import dead_letter
from schemas.errors import BadRecordError, RegistryAwayError
from schemas.rollouts import Command, RolloutLeader
from schemas.tracing import Headers
from schemas.wire import Contract
from streams.rollouts.controller import Controller, ControllerOptions
from streams.rollouts.inputs import LOGS, Inputs
from streams.rollouts.leadership import Leadership
from streams.rollouts.ledger import OUTPUTS, FencedError, Ledger, LedgerError
from streams.rollouts.outbox import Write
from streams.rollouts.restore import restore, watched_since_ms
from streams.rollouts.standby import Standby, StandbyError
from streams.rollouts.traces import CommandTraces
from trust import sign_records

__all__ = ["RolloutService", "ServiceOptions"]

log = logging.getLogger(__name__)

_BEGINS_ANEW = (LedgerError, RegistryAwayError, BrokerAwayError, StandbyError, KafkaException)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """How the service runs, apart from what it decides."""

    controller: ControllerOptions = field(default_factory=ControllerOptions)
    cache_dir: Path | None = None
    # How long a turn waits for something to read, and how much it reads at most.
    turn_s: float = 0.2
    turn_records: int = 5_000
    session_s: float = 6.0


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class RolloutService:
    """One controller process of a prefix; any number may run."""

    def __init__(
        self,
        cluster: Cluster,
        signers: Sequence[Signer],
        options: ServiceOptions | None = None,
        *,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self.cluster = cluster
        self.options = options or ServiceOptions()
        self.leads = threading.Event()
        self.stands_by = threading.Event()
        self._signers = signers
        self._now_ms = now_ms
        self._stopping = threading.Event()

    def run(self) -> None:
        """Lead or stand by, until `stop` is called."""
        contract = self._contract()
        leadership = Leadership(self.cluster, session_s=self.options.session_s)
        try:
            while not self._stopping.is_set():
                try:
                    self._stand_by_and_lead(leadership, contract)
                except FencedError as fenced:
                    log.warning("stands by: %s", fenced)
                except _BEGINS_ANEW as failed:
                    self.stands_by.clear()
                    log.warning("begins anew, from what was written: %s", failed)
                    self._stopping.wait(0.5)
        finally:
            leadership.close()

    def stop(self) -> None:
        self._stopping.set()

    def waiting(self) -> list[str]:
        """What is missing before this process leads or could; in words, from any thread."""
        return [] if self.leads.is_set() or self.stands_by.is_set() else ["it neither leads nor stands by yet"]

    def _contract(self) -> Contract:
        """Make ready while standing by what would hold up a successor."""
        contract = Contract.connect(self.cluster, cache_dir=self.options.cache_dir)
        for topic in OUTPUTS:
            contract.register(topic)
        return contract

    def _stand_by_and_lead(self, leadership: Leadership, contract: Contract) -> None:
        with Standby(self.cluster, cache_dir=self.options.cache_dir) as standby:
            while not leadership.holds(0.2):
                if self._stopping.is_set():
                    return
                standby.follow()
                self.stands_by.set()
            self.stands_by.clear()
            term = _Term(self.cluster, contract, self._sign, self.options, self._now_ms)
            with term.begun(standby):
                # From here on the term's own memory counts; a second copy would only grow old.
                standby.close()
                self._lead(leadership, term)

    def _lead(self, leadership: Leadership, term: "_Term") -> None:
        self.leads.set()
        try:
            while not self._stopping.is_set() and leadership.holds():
                term.turn()
        finally:
            self.leads.clear()

    def _sign(self, commands: Sequence[Command]) -> list[Command]:
        return sign_records(commands, self._signers)


class _Term:
    """From taking over to losing the lead."""

    def __init__(
        self,
        cluster: Cluster,
        contract: Contract,
        sign: Callable[[Sequence[Command]], Sequence[Command]],
        options: ServiceOptions,
        now_ms: Callable[[], int],
    ) -> None:
        self._cluster = cluster
        self._options = options
        self._now_ms = now_ms
        self._contract = contract
        self._traces = CommandTraces()
        self._ledger = Ledger(cluster, self._contract, sign, trace=self._traces.of)
        self._inputs = Inputs(cluster)
        self._controller = Controller(options.controller)
        self._digested: dict[tuple[str, int], int] = {}
        self._letters: list[Write] = []

    @contextmanager
    def begun(self, standby: Standby) -> Iterator[None]:
        """Take over with what a standby has read; at the end nothing is left half written."""
        try:
            # The order matters: what is restored before others are fenced may be stale a moment later.
            self._ledger.open()
            now_ms = self._now_ms()
            self._digested = self._inputs.committed()
            restore(self._controller, standby.published(self._digested), now_ms=now_ms)
            self._inputs.begin(self._digested, telemetry_from_ms=watched_since_ms(self._controller))
            leader = RolloutLeader(role="rollouts", who=f"{socket.gethostname()}/{os.getpid()}", since_ms=now_ms)
            self._ledger.write([Write("rollouts.leader", leader.role, leader)], {}, self._inputs.consumer)
            log.info("leads: devices=%d rollouts=%d", len(self._controller.fleet), len(self._controller.rollouts))
            yield
        finally:
            self._ledger.close()
            self._inputs.close()

    def turn(self) -> None:
        """Read, digest, decide, write."""
        read = self._inputs.read(self._options.turn_records, self._options.turn_s)
        fresh: dict[tuple[str, int], int] = {}
        for name, message in read:
            self._digest(name, message)
            if name in LOGS:
                fresh[name, _partition(message)] = _offset(message) + 1
        more = True
        while more:
            more = self._controller.pass_time(self._now_ms())
            self._write(fresh)
            fresh = {}

    def _digest(self, name: str, message: Message) -> None:
        value, key = message.value(), message.key()
        if value is None:
            return
        try:
            record = self._contract.decode(name, _bytes(key), _bytes(value) or b"")
        except BadRecordError as bad:
            self._letters.append(self._letter(name, message, bad.reason))
            return
        self._traces.note(record, cast(Headers | None, message.headers()))
        self._controller.digest(record, message.timestamp()[1])

    def _write(self, fresh: dict[tuple[str, int], int]) -> None:
        self._digested |= fresh
        shown = {f"{name}/{number}": offset for (name, number), offset in sorted(self._digested.items())}
        writes = [*self._controller.take_writes(shown), *self._letters]
        if not writes and not fresh:
            return
        offsets = {(self._cluster.named(name), number): offset for (name, number), offset in fresh.items()}
        self._ledger.write(writes, offsets, self._inputs.consumer)
        self._letters = []

    def _letter(self, name: str, message: Message, reason: str) -> Write:
        letter = dead_letter(
            source_topic=name,
            partition=_partition(message),
            offset=_offset(message),
            key=_bytes(message.key()),
            value=_bytes(message.value()),
            reason=reason,
            found_by="rollouts",
            at_ms=self._now_ms(),
        )
        return Write("dead-letters", letter.source_topic, letter)


def _partition(message: Message) -> int:
    number = message.partition()
    return -1 if number is None else number


def _offset(message: Message) -> int:
    offset = message.offset()
    return -1 if offset is None else offset


def _bytes(content: str | bytes | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content
