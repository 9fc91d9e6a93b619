"""The warden: follows how models fare window by window, and says what should happen to them."""

import logging
from typing import NamedTuple

from edge_gateway.config import WatchConfig
from edge_gateway.events import BakePassed, Event, Failed, Recovered, Switched, WentBad
from edge_gateway.health import Usage
from edge_gateway.installation import Installation, SafeModeReason
from edge_gateway.orders import Terms
from edge_gateway.scorer import Closed
from edge_gateway.watch import Look, Promise, Verdict, Watched, step, verdict
from schemas.fleet import SlotState
from schemas.rollouts import AckPhase

__all__ = ["Promises", "Warden"]

_log = logging.getLogger(__name__)


class Promises(NamedTuple):
    """What the model that serves promises, and the one that runs beside it."""

    serving: Promise = Promise()
    beside: Promise = Promise()


class Warden:
    """Looks at one model at a time: the active one, the one in its shadow, or the suspended one."""

    def __init__(self, limits: WatchConfig, machine_memory_bytes: int) -> None:
        self.on_trial = False
        self._limits = limits
        self._machine_bytes = machine_memory_bytes
        self._watched = Watched()
        self._since_ms = 0
        self._of: object = None
        self._promise = Promise()
        self._shadow = False
        self._suspended = False

    def begin(self, installation: Installation, promises: Promises, now_ms: int) -> None:
        """Take note of who plays which part now; a new part is judged from its beginning."""
        self.on_trial = installation.serving.state is SlotState.TRIAL
        self._shadow = bool(installation.active) and installation.phase is AckPhase.INSTALLED
        self._suspended = not installation.active and installation.safe_mode is SafeModeReason.HEALTH
        self._promise = promises.beside if self._shadow else promises.serving
        of = (installation.active, installation.serving, installation.suspended, self._shadow)
        if of != self._of:
            self._of, self._watched, self._since_ms = of, Watched(), now_ms

    def judge(
        self, serving: list[Closed], beside: list[Closed], usage: Usage, terms: Terms, now_ms: int
    ) -> Event | None:
        """Look at windows that are done; return what follows for the model, if anything."""
        others = {window.start_ms: self._look(window, usage) for window in beside}
        for window in serving:
            look, other = self._look(window, usage), others.get(window.start_ms)
            if self._shadow or self._suspended:
                if other is None:
                    continue
                look, other = other, look if self._shadow else None
            elif not self.on_trial:
                other = None
            self._watched = step(self._watched, look, terms.watch, other, self._promise)
            if self._watched.reason:
                _log.warning("model fares badly: window-end=%d why=%s", look.end_ms, self._watched.reason)
        return self._event(terms, (now_ms - self._since_ms) / 1000)

    def _event(self, terms: Terms, served_s: float) -> Event | None:
        watched = self._watched
        if self._shadow:
            if watched.bad_in_a_row >= terms.watch.bad_windows:
                return Failed(f"in the shadow of the active model: {watched.reason}")
            return Switched() if watched.good_in_a_row and served_s >= terms.shadow_s else None
        said = verdict(watched, terms.watch, on_trial=self.on_trial, suspended=self._suspended, served_s=served_s)
        match said:
            case Verdict.PASSED:
                return BakePassed(f"{watched.windows} windows, {watched.decisions} decisions in {served_s:.0f} s")
            case Verdict.BAD:
                return WentBad(watched.reason)
            case Verdict.WELL_AGAIN:
                return Recovered()
            case _:
                return None

    def _look(self, window: Closed, usage: Usage) -> Look:
        health = window.health
        return Look(
            end_ms=window.end_ms,
            inferences=health.inferences,
            errors=health.errors,
            anomalies=health.anomalies,
            confidence=health.confidence_mean,
            latency_p99_ms=health.latency_ms(99),
            memory_share=usage.memory_bytes / self._machine_bytes if self._machine_bytes else 0.0,
        )
