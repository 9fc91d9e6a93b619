"""The gateway: readings become decisions and windows, windows go into the spool, commands change what serves.

One loop calls `take` and `tick`; nothing here waits. Slow work (fetching, self-tests) runs on an executor, and the
network belongs to `Uplink` and `Follower`.
"""

import logging
import queue
from collections.abc import Callable
from concurrent.futures import Executor
from importlib.metadata import PackageNotFoundError, version
from random import Random

import numpy as np

from edge_gateway.arrangement import Cast, Loader, cast_of
from edge_gateway.arrays import pack, unpack
from edge_gateway.commands import Received
from edge_gateway.config import GatewayConfig
from edge_gateway.engine import Engine
from edge_gateway.errors import GatewayError
from edge_gateway.health import Usage
from edge_gateway.installation import (
    Accepted,
    Booted,
    Event,
    RanWell,
    Said,
    Spoken,
    Switched,
    WentBad,
)
from edge_gateway.keyring_fetch import KeyringFetch
from edge_gateway.metrics import Metrics
from edge_gateway.orders import Terms, order_of, terms_of
from edge_gateway.reports import Reporter
from edge_gateway.resources import CpuMeter, disk_free_bytes, machine_memory_bytes, resident_bytes
from edge_gateway.sampling import Kept
from edge_gateway.scorer import Closed, Loaded, Scored, Scorer
from edge_gateway.slots import Slots
from edge_gateway.spool import Spool, Write
from edge_gateway.trusted import Trusted
from edge_gateway.updater import Updater
from edge_gateway.warden import Promises, Warden
from edge_gateway.watch import Promise, promise_of
from edge_gateway.wishes import collect
from schemas.errors import DriftlineError
from schemas.rollouts import AckPhase, Command
from schemas.tracing import Context, mark
from sensing.pipelines.state import join, part
from sensing.sources.base import Readings
from trust import Keyring, TrustError, UntrustedError

__all__ = ["Gateway"]

_log = logging.getLogger(__name__)

# Vectors in a row on which the model fails, after which nobody waits for its windows.
_HOPELESS = 50
_WISHES_EVERY_MS = 500
_SAVE_EVERY_MS = 1_000
_EXPIRE_EVERY_MS = 60_000
_CLEAN_EVERY_MS = 3_600_000


class Gateway:
    """One device. `now_ms` is the device's clock; all that must survive a power cut is on disk before it is told."""

    def __init__(
        self,
        config: GatewayConfig,
        keyring: Keyring,
        *,
        executor: Executor,
        rng: Random,
        now_ms: int,
        channels: tuple[str, ...] | None = None,
    ) -> None:
        self.config = config
        self.metrics = Metrics()
        self.inbox: queue.SimpleQueue[Received] = queue.SimpleQueue()
        self.slots = Slots(config.data)
        self.spool = Spool(config.data / "spool.db", config.spool, now_ms=now_ms)
        self.decided = 0
        self.discarded = 0
        self._trusted = Trusted.of(config, keyring)
        self._rng = rng
        self._started_ms = now_ms
        self._reporter = Reporter(config.device_id, dict(config.labels), _version())
        self._cpu = CpuMeter()
        self._usage = Usage()
        self._loader = Loader(self.slots, self._trusted, threads=config.inference.threads, channels=channels)
        self._keyrings = KeyringFetch(config.updates, self._trusted, executor, rng)
        self._updater = Updater(
            config, self.slots, self._trusted, executor, rng, channels=channels, ask_for_keys=self._keyrings.want
        )
        # A command by a key that nobody knows yet, until the keyring's successors are here.
        self._undecided: Received | None = None
        # What becomes of the order goes on in the trace of its command.
        self._order_trace: Context = ()
        self._warden = Warden(config.watch, machine_memory_bytes())
        self._engine: Engine | None = None
        self._scorers: list[Scorer] = []
        self._cast = Cast("", "", "")
        self._cast_of: object = None
        self._due = {"save": 0, "wishes": 0, "heartbeat": 0, "checkpoint": 0, "expire": 0, "clean": 0}
        self._dirty = False
        self._start(now_ms)

    @property
    def serving(self) -> Loaded | None:
        """The bundle that decides, by its model or by its rules; None before the first one."""
        return self._scorers[0].loaded if self._scorers else None

    @property
    def scorer(self) -> Scorer | None:
        return self._scorers[0] if self._scorers else None

    @property
    def command_position(self) -> str | None:
        """Where to go on reading commands."""
        kept = self.spool.kept("commands")
        return None if kept is None else kept.decode()

    def take(self, readings: list[Readings], now_ms: int) -> list[Scored]:
        """Decide about readings; return what was decided, micro-batch by micro-batch."""
        rounds: list[list[Scored]] = []
        for each in readings:
            if self._engine is None:
                self.discarded += len(each.at_ms)
                continue
            rounds += self._engine.take(each, self._scorers)
            self._dirty = True
        if rounds:
            self._digest(rounds, now_ms)
        decided = [by_scorer[0] for by_scorer in rounds]
        for scored in decided:
            self.metrics.decided(scored)
        self.decided += sum(len(scored.at_ms) for scored in decided)
        return decided

    def tick(self, now_ms: int) -> None:
        """Do what is due: commands, updates, acks, heartbeats, checkpoints."""
        if self.slots.saved or (self._is_due("save", _SAVE_EVERY_MS, now_ms) and self.slots.save()):
            self._go_on(now_ms)
        self._arrange(now_ms)
        self._speak(now_ms)
        self._routine(now_ms)

    def _go_on(self, now_ms: int) -> None:
        """Take commands and wishes on, and carry out what is under way."""
        while self.slots.saved and not self.inbox.empty():
            self._obey(self.inbox.get(), now_ms)
        self._follow_keyrings(now_ms)
        if self._is_due("wishes", _WISHES_EVERY_MS, now_ms):
            self._grant(now_ms)
        self._updater.tick(now_ms)
        if self._updater.installed is not None and self.slots.installation.order is not None:
            self._loader.offer(self._updater.installed, self.slots.installation.order.sha256)
            self._updater.installed = None
        if self.slots.installation.phase is AckPhase.INSTALLED and not self._shadowing():
            self._happen(Switched())
        if now_ms - self._started_ms >= self.config.updates.lasts_s * 1000:
            self._happen(RanWell())

    def happen(self, event: Event, now_ms: int) -> None:
        """Let something happen that came from outside, such as an operator's wish."""
        self._happen(event)
        self._arrange(now_ms)
        self._speak(now_ms)

    def settle(self, now_ms: int) -> None:
        """Come to rest: what is under way is ended or kept, so that only sending is left to do."""
        self._updater.stop()
        self._happen(RanWell())
        self._speak(now_ms)
        self._checkpoint(now_ms)

    def stop(self, now_ms: int) -> None:
        """End in good order; a restart goes on with the open windows."""
        self.settle(now_ms)
        self.spool.close()

    def _start(self, now_ms: int) -> None:
        if self.slots.fresh:
            self._write(lambda write: write.keep("said", b"0"), now_ms)
        self._happen(Booted(self.config.updates.boots))
        for aside in self.spool.set_aside:
            self._audit("spool set aside", f"{aside.name} is damaged; what waited in it is lost", now_ms)
        if self.slots.damaged:
            self._audit("slots set aside", self.slots.damaged, now_ms)
        self._arrange(now_ms)
        self._thaw()
        self._speak(now_ms)

    def _happen(self, event: Event) -> None:
        self.slots.apply(event)

    def _terms(self) -> Terms:
        order = self.slots.installation.order
        if order is None:
            return Terms(self.config.watch)
        return terms_of(order, self.config.watch, self.config.updates.maintenance)

    def _shadowing(self) -> bool:
        return bool(self._terms().shadow_s and self.slots.installation.active)

    def _obey(self, received: Received, now_ms: int, *, asked: bool = False) -> None:
        command = received.command
        try:
            order = order_of(command, self._trusted.keyring, device_id=self.config.device_id)
            terms_of(order, self.config.watch, self.config.updates.maintenance)
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
            self._happen(Accepted(order))
            self._speak(now_ms)
        if received.position and self.slots.saved:
            self._write(lambda write: write.keep("commands", received.position.encode()), now_ms)

    def _follow_keyrings(self, now_ms: int) -> None:
        """Take the keyring's successors on, and decide about the command that waited for them."""
        self._keyrings.tick(now_ms)
        for taken in self._keyrings.taken:
            self._audit("keyring taken", f"version {taken} follows from the one before it", now_ms)
        self._keyrings.taken.clear()
        if self._undecided is not None and not self._keyrings.deciding:
            received, self._undecided = self._undecided, None
            self._obey(received, now_ms, asked=True)

    def _refuse(self, command: Command, error: DriftlineError, now_ms: int) -> None:
        _log.error("command refused: revision=%d reason=%s", command.revision, error)
        said = Said(
            revision=command.revision,
            rollout_id=command.rollout_id,
            phase=AckPhase.REFUSED,
            model_id=self.slots.installation.model_id,
            reason=str(error),
        )
        self._write(lambda write: self._reporter.ack(write, said, boot_id=self.spool.boot_id, now_ms=now_ms), now_ms)

    def _grant(self, now_ms: int) -> None:
        for wish in collect(self.config.data):
            _log.info("wish: %s", wish.what)
            order = self.slots.installation.order
            self._order_trace = ()
            self._happen(wish.event(order.revision if order else 0))
            self._audit(wish.what, f"asked for at the device by {wish.who}", now_ms)

    def _arrange(self, now_ms: int) -> None:
        """Bring the loaded bundles in line with the installation, if that changed."""
        installation = self.slots.installation
        if self._cast_of == (installation.slots, installation.active, installation.phase, installation.safe_mode):
            return
        serving = self._loader.serving()
        installation = self.slots.installation
        cast = cast_of(installation, shadow=self._shadowing())
        self._cast_of = (installation.slots, installation.active, installation.phase, installation.safe_mode)
        serving = self._loader.rules(cast.rules) if serving is None else serving
        beside = self._loader.beside(cast.beside)
        self._loader.keep_only({cast.serving, cast.beside})
        self._cast = cast
        self._recast(serving, beside, now_ms)
        self.metrics.serves(serving)
        self._warden.begin(installation, Promises(*map(_promise, (serving, beside))), now_ms)

    def _recast(self, serving: Loaded | None, beside: Loaded | None, now_ms: int) -> None:
        before = self._scorers
        if serving is None:
            self._scorers = []
            self._engine = None
            return
        if before and before[0].loaded is not serving:
            self._flush(before[0], now_ms)
        if self._engine is None or self._engine.pipeline is not serving.pipeline:
            self._engine = Engine(serving.pipeline, micro_batch=self.config.inference.micro_batch)
        kept = before and before[0].loaded is serving
        self._scorers = [before[0] if kept else self._scorer(serving)]
        # A model of another pipeline cannot see what this one sees.
        if beside is not None and beside.pipeline is serving.pipeline:
            self._scorers.append(self._scorer(beside, beside=True))

    def _scorer(self, loaded: Loaded, *, beside: bool = False) -> Scorer:
        return Scorer(loaded, self.config.windows, self.config.sampling, self._rng, beside=beside)

    def _digest(self, rounds: list[list[Scored]], now_ms: int) -> None:
        """Send on what is done, and judge the models by it."""
        closed = [[window for by_scorer in rounds for window in by_scorer[place].closed] for place in self._places]
        if any(closed):
            self._usage = Usage(self._cpu.share(now_ms), resident_bytes())
        parts = [
            (scorer, closed[place], [kept for by_scorer in rounds for kept in by_scorer[place].kept])
            for place, scorer in enumerate(self._scorers)
        ]
        self._put(parts, now_ms)
        if closed[0]:
            beside = closed[1] if len(closed) > 1 else []
            event = self._warden.judge(closed[0], beside, self._usage, self._terms(), now_ms)
            if event is not None:
                self._happen(event)
        failures = self._scorers[0].failures_in_a_row
        if failures >= _HOPELESS and self.slots.installation.active:
            self._happen(WentBad(f"the model failed on {failures} vectors in a row"))

    @property
    def _places(self) -> range:
        return range(len(self._scorers))

    def _put(self, parts: list[tuple[Scorer, list[Closed], list[Kept]]], now_ms: int) -> None:
        """Put windows and samples into the spool, with the state that they have left behind."""
        if not any(closed or kept for _, closed, kept in parts):
            return
        usage, on_trial = self._usage, self._warden.on_trial
        # In one breath: no restart sees a window both closed and open, or neither.
        state = self._frozen() if any(closed for _, closed, _ in parts) else None

        def build(write: Write) -> None:
            for scorer, closed, kept in parts:
                trial = scorer.beside or on_trial
                for window in closed:
                    self._reporter.window(
                        write,
                        window,
                        scorer.loaded,
                        boot_id=self.spool.boot_id,
                        usage=usage,
                        trial=trial,
                        now_ms=now_ms,
                    )
                for each in kept:
                    self._reporter.sample(write, each, scorer.loaded, now_ms)
            if state is not None:
                write.keep("engine", state)

        self._write(build, now_ms)

    def _flush(self, scorer: Scorer, now_ms: int) -> None:
        scored = scorer.flush()
        self._put([(scorer, scored.closed, scored.kept)], now_ms)

    def _speak(self, now_ms: int) -> None:
        """Put what is to be acked into the spool; the number beside it keeps a power cut from saying it twice."""
        to_say = self.slots.installation.to_say
        if not to_say or not self.slots.saved:
            return
        said_before = int(self.spool.kept("said") or 0)

        def build(write: Write) -> None:
            for said in to_say:
                if said.number > said_before:
                    self._reporter.ack(write, said, boot_id=self.spool.boot_id, now_ms=now_ms)
            write.keep("said", str(to_say[-1].number).encode())

        if self._write(build, now_ms):
            for said in to_say:
                _log.info(
                    "command: phase=%s revision=%d serving=%s reason=%s",
                    said.phase.value,
                    said.revision,
                    said.model_id or "-",
                    said.reason or "-",
                )
                self.metrics.acked(said.phase.value)
                about: dict[str, str | int] = {"device": self.config.device_id, "revision": said.revision}
                about["phase"] = said.phase.value
                mark("carry out a command", about, after=self._order_trace)
            self._happen(Spoken(to_say[-1].number))

    def _audit(self, action: str, why: str, now_ms: int) -> None:
        self._write(lambda write: self._reporter.audit(write, action, why, {}, now_ms), now_ms)

    def _routine(self, now_ms: int) -> None:
        if self._is_due("heartbeat", self.config.heartbeat_s * 1000, now_ms):
            self._heartbeat(now_ms)
        if self._dirty and self._is_due("checkpoint", self.config.windows.checkpoint_s * 1000, now_ms):
            self._checkpoint(now_ms)
        if self._is_due("expire", _EXPIRE_EVERY_MS, now_ms):
            self.spool.expire(now_ms)
        if self._is_due("clean", _CLEAN_EVERY_MS, now_ms):
            updates = self.config.updates
            self.slots.clean(now_ms=now_ms, keep=updates.keep_bundles, keep_days=updates.keep_days)

    def _is_due(self, what: str, every_ms: float, now_ms: int) -> bool:
        # A clock that was set back must not silence the device until it has caught up.
        if self._due[what] - every_ms <= now_ms < self._due[what]:
            return False
        self._due[what] = now_ms + int(every_ms)
        return True

    def _heartbeat(self, now_ms: int) -> None:
        self._usage = Usage(self._cpu.share(now_ms), resident_bytes())
        depth, free = self.spool.depth(), disk_free_bytes(self.config.data)
        self._write(
            lambda write: self._reporter.heartbeat(
                write,
                self.slots.installation,
                depth,
                self._usage,
                boot_id=self.spool.boot_id,
                uptime_s=max(now_ms - self._started_ms, 0) / 1000,
                disk_free=free,
                now_ms=now_ms,
            ),
            now_ms,
        )

    def _checkpoint(self, now_ms: int) -> None:
        state = self._frozen()
        if state is not None:
            self._write(lambda write: write.keep("engine", state), now_ms)
        self._dirty = False

    def _frozen(self) -> bytes | None:
        if self._engine is None or not self._scorers:
            return None
        loaded = self._scorers[0].loaded
        identity = {"pipeline": loaded.pipeline.id, "grid": loaded.grid.grid_id, "model": loaded.model_id}
        named = {name: np.array(value) for name, value in identity.items()}
        return pack(join(of=named, engine=self._engine.freeze(), scorer=self._scorers[0].freeze()))

    def _thaw(self) -> None:
        """Go on with rolling windows and open windows as they were."""
        kept = self.spool.kept("engine")
        if kept is None or self._engine is None:
            return
        loaded = self._scorers[0].loaded
        try:
            state = unpack(kept)
            if str(state["of.pipeline"]) != loaded.pipeline.id:
                return
            self._engine.thaw(part(state, "engine"))
            if (str(state["of.grid"]), str(state["of.model"])) == (loaded.grid.grid_id, loaded.model_id):
                self._scorers[0].thaw(part(state, "scorer"))
        except (ValueError, KeyError, OSError) as error:
            _log.error("feature state is of no use, starting afresh: %s", error)
            self._engine = Engine(loaded.pipeline, micro_batch=self.config.inference.micro_batch)

    def _write(self, build: Callable[[Write], None], now_ms: int) -> bool:
        return self.spool.write(build, now_ms=now_ms)


def _promise(loaded: Loaded | None) -> Promise:
    return Promise() if loaded is None else promise_of(loaded.manifest)


def _version() -> str:
    try:
        return version("driftline")
    except PackageNotFoundError:
        return "0"
