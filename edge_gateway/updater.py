"""Carrying out orders: one slow job at a time beside the loop, and each step on disk before the next begins."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from random import Random

from edge_gateway.config import GatewayConfig
from edge_gateway.download import CancelledError, fetch
from edge_gateway.errors import BundleRefusedError, DownloadError, GatewayError, InferenceError
from edge_gateway.events import Failed, Fetched, FetchStarted, Installed, Order, Postponed, Refused
from edge_gateway.installation import Installation, SafeModeReason
from edge_gateway.orders import terms_of
from edge_gateway.resources import load_per_core
from edge_gateway.scorer import Loaded
from edge_gateway.selftest import check_fits, probe
from edge_gateway.slots import Slots
from edge_gateway.trusted import Trusted
from schemas.rollouts import AckPhase
from trust import TrustError, UntrustedError

__all__ = ["Updater"]

_log = logging.getLogger(__name__)

_FIRST_PAUSE_MS = 1_000
_LONGEST_PAUSE_MS = 600_000
_KEYS_WITHIN_MS = 5_000


class Updater:
    """Brings the bundle of the order that counts into its slot; whether it then serves is not for it to say."""

    def __init__(
        self,
        config: GatewayConfig,
        slots: Slots,
        trusted: Trusted,
        executor: Executor,
        rng: Random,
        *,
        channels: tuple[str, ...] | None,
        load: Callable[[], float] = load_per_core,
        ask_for_keys: Callable[[], bool] = lambda: False,
    ) -> None:
        self.installed: Loaded | None = None
        self._config = config
        self._slots = slots
        self._trusted = trusted
        self._executor = executor
        self._rng = rng
        self._channels = channels
        self._load = load
        self._ask_for_keys = ask_for_keys
        # The order for whose bundle the keyring's successors were asked for.
        self._asked_for: Order | None = None
        self._job: Future[Loaded | None] | None = None
        self._job_order: Order | None = None
        self._cancel = threading.Event()
        self._failures = 0
        self._not_before_ms = 0

    def tick(self, now_ms: int) -> None:
        """Go one step on, if there is one to take."""
        installation = self._slots.installation
        order = installation.order
        if self._job is not None:
            if order != self._job_order:
                self._cancel.set()
            if self._job.done():
                self._take_result(self._job, now_ms)
            return
        if order is None:
            return
        match installation.phase:
            case AckPhase.RECEIVED | AckPhase.POSTPONED:
                waits_for = self._waits_for(installation, order, now_ms)
                self._failures = 0
                self._not_before_ms = 0
                self._slots.apply(Postponed(waits_for) if waits_for else FetchStarted())
            case AckPhase.DOWNLOADING if now_ms >= self._not_before_ms:
                self._begin(order, self._install if installation.fetched else self._fetch)
            case _:
                pass

    def stop(self) -> None:
        """End what is under way; it goes on at the next start."""
        self._cancel.set()
        if self._job is not None:
            self._job.exception()

    def _waits_for(self, installation: Installation, order: Order, now_ms: int) -> str:
        window = terms_of(order, self._config.watch, self._config.updates.maintenance).maintenance
        if installation.safe_mode is SafeModeReason.OPERATOR:
            return "safe mode was switched on by hand"
        if window is not None and not window.is_open_at(now_ms):
            return f"outside of the maintenance window, {window}"
        busy = self._config.updates.busy_load
        # Rounded, so that a load that wavers is not a new reason each second.
        if busy and self._load() > busy:
            return f"the machine is busy: load a core above {busy:g}"
        return ""

    def _begin(self, order: Order, work: Callable[[Order], Loaded | None]) -> None:
        self._cancel = threading.Event()
        self._job_order = order
        self._job = self._executor.submit(work, order)

    def _fetch(self, order: Order) -> None:
        fetch(order, self._slots.store, self._config.updates, cancel=self._cancel)

    def _install(self, order: Order) -> Loaded:
        slot = self._slots.installation.target
        # Verified where it lies first: a bundle that is refused is never put into a slot.
        bundle = self._trusted.read(self._slots.in_store(order.sha256), sha256=order.sha256)
        if bundle.manifest.model_id != order.model_id:
            raise BundleRefusedError(
                f"the bundle holds {bundle.manifest.model_id}; the command is for {order.model_id}"
            )
        pipeline = check_fits(bundle, self._channels)
        self._slots.put(slot, order.sha256)
        probed = probe(bundle, threads=self._config.inference.threads)
        _log.info(
            "self-test passed: slot=%s model=%s load-s=%.3f latency-p99-ms=%.3f memory=%d",
            slot,
            order.model_id,
            probed.load_s,
            probed.latency_p99_ms,
            probed.memory_bytes,
        )
        return Loaded(slot, bundle.manifest, bundle.grid, pipeline, probed.model)

    def _take_result(self, job: Future[Loaded | None], now_ms: int) -> None:
        order, self._job, self._job_order = self._job_order, None, None
        if order != self._slots.installation.order:
            return
        try:
            self.installed = job.result()
        except CancelledError:
            return
        except UntrustedError as error:
            if self._asked_for == order or not self._ask_for_keys():
                self._slots.apply(Refused(str(error)))
            # Once more, when the keyring's successors are here.
            self._asked_for, self._not_before_ms = order, now_ms + _KEYS_WITHIN_MS
        except (TrustError, BundleRefusedError) as error:
            self._slots.apply(Refused(str(error)))
        except InferenceError as error:
            self._slots.apply(Failed(str(error)))
        except FileNotFoundError:
            self._slots.apply(FetchStarted())
        except (GatewayError, OSError) as error:
            self._pause(error, now_ms)
        else:
            self._failures = 0
            self._slots.apply(Fetched() if self.installed is None else Installed())

    def _pause(self, error: Exception, now_ms: int) -> None:
        self._failures += 1
        if (isinstance(error, DownloadError) and error.for_good) or self._failures >= self._config.updates.attempts:
            self._slots.apply(Failed(str(error)))
            return
        pause_ms = min(_FIRST_PAUSE_MS * 2 ** (self._failures - 1), _LONGEST_PAUSE_MS)
        self._not_before_ms = now_ms + int(pause_ms * self._rng.uniform(0.5, 1.0))
        _log.warning("download waits: try=%d pause-ms=%d error=%s", self._failures, pause_ms, error)
