"""The gateway: readings become decisions and windows, windows go into the spool, commands change what serves.

One loop calls `take` and `tick`; nothing here waits. Slow work (fetching, self-tests) runs on an executor, and the
network belongs to `Uplink` and `Follower`.
"""

import queue
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from random import Random

from edge_gateway.arrangement import Loader, cast_of
from edge_gateway.arrays import pack
from edge_gateway.clock import Due
from edge_gateway.commands import Received
from edge_gateway.config import GatewayConfig
from edge_gateway.engine import Engine
from edge_gateway.events import Booted, Event, RanWell, Switched, WentBad
from edge_gateway.health import Usage
from edge_gateway.keyring_fetch import KeyringFetch
from edge_gateway.metrics import Metrics
from edge_gateway.obedience import Obedience
from edge_gateway.reports import Reporter
from edge_gateway.resources import CpuMeter, disk_free_bytes, machine_memory_bytes, resident_bytes
from edge_gateway.resuming import frozen, thaw
from edge_gateway.sampling import Kept
from edge_gateway.scorer import Closed, Loaded, Scored, Scorer
from edge_gateway.slots import Slots
from edge_gateway.spool import Spool, Write
from edge_gateway.trusted import Trusted
from edge_gateway.updater import Updater
from edge_gateway.warden import Promises, Warden
from edge_gateway.watch import Promise, promise_of
from edge_gateway.writer import Writer
from schemas.rollouts import AckPhase
from sensing.pipelines import Pipeline, runnable
from sensing.pipelines.base import Arrays
from sensing.sources.base import Readings
from trust import Keyring, write_whole

__all__ = ["Gateway"]

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
        pipeline: Pipeline | None = None,
        writer: Executor | None = None,
    ) -> None:
        """`pipeline` is what the source is read for; None: for any.

        `writer` is where windows are written, of one thread; without one, decisions wait for the disk.
        """
        self.config = config
        self.metrics = Metrics()
        self.slots = Slots(config.data, write=partial(write_whole, durable=config.spool.survive_power_cut))
        self.spool = Spool(config.data / "spool.db", config.spool, now_ms=now_ms)
        self._writer = Writer(self.spool, writer)
        self.decided = 0
        self.discarded = 0
        self._trusted = Trusted.of(config, keyring)
        self._rng = rng
        self._started_ms = now_ms
        channels = None if pipeline is None else pipeline.channel_names
        self._reporter = Reporter(config.device_id, dict(config.labels), _version(), runnable(pipeline))
        self._cpu = CpuMeter()
        self._usage = Usage()
        self._loader = Loader(self.slots, self._trusted, threads=config.inference.threads, channels=channels)
        self._keyrings = KeyringFetch(config.updates, self._trusted, executor, rng)
        self._updater = Updater(
            config, self.slots, self._trusted, executor, rng, channels=channels, ask_for_keys=self._keyrings.want
        )
        self._obedience = Obedience(
            config, self.slots, self.spool, self._reporter, self._trusted, self._keyrings, self.metrics
        )
        self._warden = Warden(config.watch, machine_memory_bytes())
        self._engine: Engine | None = None
        self._scorers: list[Scorer] = []
        self._cast_of: object = None
        self._due = Due()
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
    def refused(self) -> int:
        """Readings that the pipeline could do nothing with."""
        return self._engine.refused if self._engine is not None else 0

    @property
    def late(self) -> int:
        """Readings that were not newer than the one before them, and are in no feature."""
        return self._engine.late if self._engine is not None else 0

    @property
    def command_position(self) -> str | None:
        """Where to go on reading commands."""
        return self._obedience.position

    @property
    def inbox(self) -> queue.SimpleQueue[Received]:
        """Where commands are put as they come, from any thread."""
        return self._obedience.inbox

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
        self._writer.go_on(now_ms)
        if self.slots.saved or (self._due.is_due("save", _SAVE_EVERY_MS, now_ms) and self.slots.save()):
            self._go_on(now_ms)
        self._arrange(now_ms)
        self._obedience.speak(now_ms)
        self._routine(now_ms)

    def _go_on(self, now_ms: int) -> None:
        """Take commands and wishes on, and carry out what is under way."""
        self._obedience.listen(now_ms)
        if self._due.is_due("wishes", _WISHES_EVERY_MS, now_ms):
            self._obedience.grant(now_ms)
        self._updater.tick(now_ms)
        if self._updater.installed is not None and self.slots.installation.order is not None:
            self._loader.offer(self._updater.installed, self.slots.installation.order.sha256)
            self._updater.installed = None
        if self.slots.installation.phase is AckPhase.INSTALLED and not self._obedience.shadowing:
            self._happen(Switched())
        if now_ms - self._started_ms >= self.config.updates.lasts_s * 1000:
            self._happen(RanWell())

    def happen(self, event: Event, now_ms: int) -> None:
        """Let something happen that came from outside, such as an operator's wish."""
        self._happen(event)
        self._arrange(now_ms)
        self._obedience.speak(now_ms)

    def conclude(self, now_ms: int) -> None:
        """Close the windows, done or not: no more readings will come."""
        for scorer in self._scorers:
            self._flush(scorer, now_ms)

    def settle(self, now_ms: int) -> None:
        """Come to rest: what is under way is ended or kept, so that only sending is left to do."""
        self._updater.stop()
        self._happen(RanWell())
        self._obedience.speak(now_ms)
        self._checkpoint(now_ms)
        self._writer.finish(now_ms)

    def stop(self, now_ms: int) -> None:
        """End in good order; a restart goes on with the open windows."""
        self.settle(now_ms)
        self.spool.close()

    def _start(self, now_ms: int) -> None:
        self._obedience.begin(now_ms)
        self._happen(Booted(self.config.updates.boots))
        self._arrange(now_ms)
        kept = self.spool.kept("engine")
        if kept is not None and self._engine is not None and not thaw(kept, self._engine, self._scorers[0]):
            self._engine = Engine(self._engine.pipeline, micro_batch=self.config.inference.micro_batch)
        self._obedience.speak(now_ms)

    def _happen(self, event: Event) -> None:
        self.slots.apply(event)

    def _arrange(self, now_ms: int) -> None:
        """Bring the loaded bundles in line with the installation, if that changed."""
        installation = self.slots.installation
        if self._cast_of == (installation.slots, installation.active, installation.phase, installation.safe_mode):
            return
        serving = self._loader.serving()
        installation = self.slots.installation
        cast = cast_of(installation, shadow=self._obedience.shadowing)
        self._cast_of = (installation.slots, installation.active, installation.phase, installation.safe_mode)
        serving = self._loader.rules(cast.rules) if serving is None else serving
        beside = self._loader.beside(cast.beside)
        self._loader.keep_only({cast.serving, cast.beside})
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
            event = self._warden.judge(closed[0], beside, self._usage, self._obedience.terms, now_ms)
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
                write.keep("engine", pack(state))

        self._writer.soon(build, now_ms)

    def _flush(self, scorer: Scorer, now_ms: int) -> None:
        scored = scorer.flush()
        self._put([(scorer, scored.closed, scored.kept)], now_ms)

    def _routine(self, now_ms: int) -> None:
        if self._due.is_due("heartbeat", self.config.heartbeat_s * 1000, now_ms):
            self._heartbeat(now_ms)
        if self._dirty and self._due.is_due("checkpoint", self.config.windows.checkpoint_s * 1000, now_ms):
            self._checkpoint(now_ms)
        if self._due.is_due("expire", _EXPIRE_EVERY_MS, now_ms):
            self.spool.expire(now_ms)
        if self._due.is_due("clean", _CLEAN_EVERY_MS, now_ms):
            updates = self.config.updates
            self.slots.clean(now_ms=now_ms, keep=updates.keep_bundles, keep_days=updates.keep_days)

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
            self._write(lambda write: write.keep("engine", pack(state)), now_ms)
        self._dirty = False

    def _frozen(self) -> Arrays | None:
        return frozen(self._engine, self._scorers[0]) if self._engine is not None and self._scorers else None

    def _write(self, build: Callable[[Write], None], now_ms: int) -> bool:
        return self.spool.write(build, now_ms=now_ms)


def _promise(loaded: Loaded | None) -> Promise:
    return Promise() if loaded is None else promise_of(loaded.manifest)


def _version() -> str:
    try:
        return version("driftline")
    except PackageNotFoundError:
        return "0"
