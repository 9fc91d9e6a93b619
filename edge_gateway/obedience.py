"""Orders in, words out: commands and wishes are verified and taken up, and what became of them is acked and audited.

Nothing is told that is not on disk: an ack goes into the spool when the slots are saved, and the number beside it
keeps a power cut from saying it twice.
"""

import logging
import queue

from edge_gateway.commands import Received
from edge_gateway.config import GatewayConfig
from edge_gateway.errors import GatewayError
from edge_gateway.events import Accepted, Spoken
from edge_gateway.installation import Said
from edge_gateway.keyring_fetch import KeyringFetch
from edge_gateway.metrics import Metrics
from edge_gateway.orders import Terms, order_of, terms_of
from edge_gateway.reports import Reporter
from edge_gateway.slots import Slots
from edge_gateway.spool import Spool, Write
from edge_gateway.trusted import Trusted
from edge_gateway.wishes import collect
from schemas.errors import DriftlineError
from schemas.rollouts import AckPhase, Command
from schemas.tracing import Context, mark
from trust import TrustError, UntrustedError

__all__ = ["Obedience"]

_log = logging.getLogger(__name__)


class Obedience:
    """What one gateway is told, and what it answers; `inbox` may be filled from any thread."""

    def __init__(
        self,
        config: GatewayConfig,
        slots: Slots,
        spool: Spool,
        reporter: Reporter,
        trusted: Trusted,
        keyrings: KeyringFetch,
        metrics: Metrics,
    ) -> None:
        self.inbox: queue.SimpleQueue[Received] = queue.SimpleQueue()
        self._config = config
        self._slots = slots
        self._spool = spool
        self._reporter = reporter
        self._trusted = trusted
        self._keyrings = keyrings
        self._metrics = metrics
        # A command by a key that nobody knows yet, until the keyring's successors are here.
        self._undecided: Received | None = None
        # What becomes of the order goes on in the trace of its command.
        self._order_trace: Context = ()

    @property
    def position(self) -> str | None:
        """Where to go on reading commands."""
        kept = self._spool.kept("commands")
        return None if kept is None else kept.decode()

    @property
    def terms(self) -> Terms:
        """How the present order is to be carried out."""
        order = self._slots.installation.order
        if order is None:
            return Terms(self._config.watch)
        return terms_of(order, self._config.watch, self._config.updates.maintenance)

    @property
    def shadowing(self) -> bool:
        return bool(self.terms.shadow_s and self._slots.installation.active)

    def begin(self, now_ms: int) -> None:
        """At a start: slots that are made anew count what was said anew, and what was damaged is told."""
        if self._slots.fresh:
            self._spool.write(lambda write: write.keep("said", b"0"), now_ms=now_ms)
        for aside in self._spool.set_aside:
            self._audit("spool set aside", f"{aside.name} is damaged; what waited in it is lost", now_ms)
        if self._slots.damaged:
            self._audit("slots set aside", self._slots.damaged, now_ms)

    def listen(self, now_ms: int) -> None:
        """Take up the commands that have come, and the keyring's successors."""
        while self._slots.saved and not self.inbox.empty():
            self._obey(self.inbox.get(), now_ms)
        self._keyrings.tick(now_ms)
        for taken in self._keyrings.taken:
            self._audit("keyring taken", f"version {taken} follows from the one before it", now_ms)
        self._keyrings.taken.clear()
        if self._undecided is not None and not self._keyrings.deciding:
            received, self._undecided = self._undecided, None
            self._obey(received, now_ms, asked=True)

    def grant(self, now_ms: int) -> None:
        """Do what somebody at the device wishes."""
        for wish in collect(self._config.data):
            _log.info("wish: %s", wish.what)
            order = self._slots.installation.order
            self._order_trace = ()
            self._slots.apply(wish.event(order.revision if order else 0))
            self._audit(wish.what, f"asked for at the device by {wish.who}", now_ms)

    def speak(self, now_ms: int) -> None:
        """Put what is to be acked into the spool."""
        to_say = self._slots.installation.to_say
        if not to_say or not self._slots.saved:
            return
        said_before = int(self._spool.kept("said") or 0)

        def build(write: Write) -> None:
            for said in to_say:
                if said.number > said_before:
                    self._reporter.ack(write, said, boot_id=self._spool.boot_id, now_ms=now_ms)
            write.keep("said", str(to_say[-1].number).encode())

        if self._spool.write(build, now_ms=now_ms):
            for said in to_say:
                self._note(said)
            self._slots.apply(Spoken(to_say[-1].number))

    def _obey(self, received: Received, now_ms: int, *, asked: bool = False) -> None:
        command = received.command
        try:
            order = order_of(command, self._trusted.keyring, device_id=self._config.device_id)
            terms_of(order, self._config.watch, self._config.updates.maintenance)
        except UntrustedError as error:
            if not asked and self._keyrings.want():
                # Its place is not kept: after a restart it comes again.
                self._undecided = received
                return
            self._refuse(command, error, now_ms)
        except (TrustError, GatewayError) as error:
            self._refuse(command, error, now_ms)
        else:
            _log.info("command received: revision=%d model=%s", order.revision, order.model_id)
            self._order_trace = received.trace
            self._slots.apply(Accepted(order))
            self.speak(now_ms)
        if received.position and self._slots.saved:
            self._spool.write(lambda write: write.keep("commands", received.position.encode()), now_ms=now_ms)

    def _refuse(self, command: Command, error: DriftlineError, now_ms: int) -> None:
        _log.error("command refused: revision=%d reason=%s", command.revision, error)
        said = Said(
            revision=command.revision,
            rollout_id=command.rollout_id,
            phase=AckPhase.REFUSED,
            model_id=self._slots.installation.model_id,
            reason=str(error),
        )
        boot_id = self._spool.boot_id
        self._spool.write(lambda write: self._reporter.ack(write, said, boot_id=boot_id, now_ms=now_ms), now_ms=now_ms)

    def _note(self, said: Said) -> None:
        _log.info(
            "command: phase=%s revision=%d serving=%s reason=%s",
            said.phase.value,
            said.revision,
            said.model_id or "-",
            said.reason or "-",
        )
        self._metrics.acked(said.phase.value)
        about: dict[str, str | int] = {"device": self._config.device_id, "revision": said.revision}
        about["phase"] = said.phase.value
        mark("carry out a command", about, after=self._order_trace)

    def _audit(self, action: str, why: str, now_ms: int) -> None:
        self._spool.write(lambda write: self._reporter.audit(write, action, why, {}, now_ms), now_ms=now_ms)
