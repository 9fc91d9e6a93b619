"""Everything that one controller knows, and how it digests what it reads: pure, without Kafka and without a clock.

`digest` takes one record in; `pass_time` lets time go on; `take_writes` returns what both want written. The same
records in the same order give the same writes, so a controller can be replayed, and its successor goes on alike.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.drift_alert import DriftAlert
from schemas.drift_scores import DriftScores
from schemas.fleet import DeviceState, Heartbeat
from schemas.model_health import ModelHealth
from schemas.operators import OperatorRequest
from schemas.record import changed
from schemas.release import ModelRelease
from schemas.rollouts import Ack, AckPhase, RolloutPhase, RolloutStatus
from streams.rollouts import alerts
from streams.rollouts.docket import Docket
from streams.rollouts.events import Acked, DeviceProved, DeviceSeen, TimePassed
from streams.rollouts.fleet import Fleet
from streams.rollouts.intake import Intake
from streams.rollouts.journal import WHO, Journal
from streams.rollouts.member import State
from streams.rollouts.operators import Operators
from streams.rollouts.outbox import Write
from streams.rollouts.plan import Plan
from streams.rollouts.precedence import AT_WORK
from streams.rollouts.retirement import retired
from streams.rollouts.rollout import SETTLED, Rollout
from streams.rollouts.watching import Watching

__all__ = ["Controller", "ControllerOptions"]

_GATED_BY_DEFAULT: Mapping[str, Any] = {"drift": {}, "anomaly_rate": {}, "error_rate": {}, "latency": {}}
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerOptions:
    """How a controller behaves where no plan says it."""

    # The standing plan of models that have none of their own, as a plan's document; None: nothing starts by itself.
    default_plan: Mapping[str, Any] | None = field(
        default_factory=lambda: {"strategy": "canary", "gates": _GATED_BY_DEFAULT}
    )
    # Whether a device that nobody registered is taken in at its first heartbeat.
    admit_unknown: bool = True
    judge_every_ms: int = 10_000
    # How long a settled rollout may still be retried; then it leaves the memory.
    keep_settled_ms: int = DAY_MS


class Controller:
    """The fleet, the releases and the rollouts of one prefix."""

    def __init__(self, options: ControllerOptions | None = None) -> None:
        self.options = options or ControllerOptions()
        # What was read and was of no use, by reason.
        self.ignored: Counter[str] = Counter()
        self.fleet = Fleet()
        self.releases: dict[str, ModelRelease] = {}
        self._journal = Journal()
        self.rollouts = Docket(self.fleet, self.releases, self._journal, self.ignored)
        self._intake = Intake(self.rollouts, self.releases, self._journal, self.options.default_plan)
        self._operators = Operators(self.rollouts, self._intake, self.fleet, self._journal, self.ignored)
        self._watching = Watching(self.rollouts, judge_every_ms=self.options.judge_every_ms)
        self._now_ms = 0
        self._take: dict[type, Callable[[Any, int], None]] = {
            Ack: self._ack,
            Heartbeat: self._heartbeat,
            ModelHealth: self._watching.health,
            DriftScores: self._watching.scores,
            DriftAlert: self._alert,
            ModelRelease: self._intake.take_release,
            OperatorRequest: self._operators.take,
        }

    def digest(self, record: Any, at_ms: int) -> None:
        """Take in one record; `at_ms` is the broker's time of it."""
        self._set_time(at_ms)
        self._take[type(record)](record, self._now_ms)

    def pass_time(self, now_ms: int) -> bool:
        """Let time go on; say whether there is more to do at once, as soon as this much is written."""
        self._set_time(now_ms)
        self._miss_the_silent()
        self.rollouts.restless = False
        for rollout_id, rollout in list(self.rollouts.items()):
            at_work = any(rollout.members.total_in(state) for state in AT_WORK)
            if rollout.phase not in SETTLED or at_work or rollout.phase is RolloutPhase.SUCCEEDED:
                judged = self._watching.judge(rollout_id, self._now_ms)
                if judged is not None:
                    self.rollouts.tell(rollout_id, judged)
                self.rollouts.tell(rollout_id, TimePassed(self._now_ms))
        return self.rollouts.restless

    def take_writes(self, digested: Mapping[str, int]) -> list[Write]:
        """Return what is to be written; statuses carry `digested`, the next offset of each input."""
        writes = self._journal.take(self.rollouts, self.fleet, digested)
        # Only now: what moved last is written first.
        keep_ms = self.options.keep_settled_ms
        leaving = retired(self.rollouts, self.releases, now_ms=self._now_ms, keep_ms=keep_ms)
        for rollout_id in leaving:
            self._journal.put_away(self.rollouts[rollout_id], digested)
            self.rollouts.put_away(rollout_id)
            self._watching.forget(rollout_id)
        return [*writes, *self._journal.take(self.rollouts, self.fleet, digested)] if leaving else writes

    def submit(self, document: Mapping[str, Any], *, who: str, why: str, now_ms: int) -> str:
        """Accept a plan and return its rollout's id; a standing plan waits for releases."""
        self._set_time(now_ms)
        return self._intake.submit(document, who=who, why=why, now_ms=self._now_ms)

    # ---- restoring ----

    def restore_plan(self, plan: Plan) -> None:
        """Take a plan that was accepted before; its rollout follows with its status."""
        self._intake.restore(plan)

    def give_up(self, rollout_id: str, status: RolloutStatus | None, why: str, now_ms: int) -> None:
        """End a rollout whose plan cannot be followed any more; its devices stay as they are."""
        self._set_time(now_ms)
        self._intake.hold_name(rollout_id)
        if status is not None:
            self._journal.give_up(status, why)

    def restore_release(self, release: ModelRelease) -> None:
        """Know a release that is no news."""
        self.releases[f"{release.model}/{release.version}"] = release

    def restore_alert(self, alert: DriftAlert) -> None:
        if alert.alert_id.startswith(alerts.OWN):
            self._journal.restore_alert(alert)
        else:
            self._watching.alert(alert)

    def forget_rows(self, rollout_id: str, device_ids: Iterable[str]) -> None:
        """Forget what devices did in a rollout that a predecessor has put away."""
        self._journal.forget_rows(rollout_id, device_ids)

    def restore_rollout(self, rollout: Rollout) -> None:
        self.rollouts.restore(rollout)

    # ---- what is read ----

    def _ack(self, ack: Ack, now_ms: int) -> None:
        device = self.fleet.get(ack.device_id)
        if device is None or ack.rollout_id not in self.rollouts:
            self.ignored["ack of an unknown device or rollout"] += 1
            return
        if ack.revision != device.revision:
            # It speaks of an older command: whoever gave the newest one is not concerned.
            self.ignored["ack of an older command"] += 1
            return
        self.rollouts.tell(ack.rollout_id, Acked(ack.device_id, ack.phase, now_ms, ack.reason))
        if ack.phase is AckPhase.SUCCEEDED:
            self._prove(ack.device_id, self.rollouts[ack.rollout_id], now_ms)

    def _prove(self, device_id: str, rollout: Rollout, now_ms: int) -> None:
        row = rollout.members.row(device_id)
        state = None if row is None else rollout.members.state(row)
        if row is None or state not in (State.SUCCEEDED, State.ROLLED_BACK):
            return
        model = rollout.plan.model if state == State.SUCCEEDED else rollout.members.previous(row)
        device = self.fleet.get(device_id)
        if device is not None and device.proven_model_id != model:
            self.fleet.put(changed(device, proven_model_id=model, model_id=model))
            proved = DeviceProved(device_id, model, now_ms)
            self.rollouts.tell_whom_it_concerns(proved, but=rollout.plan.rollout_id)

    def _heartbeat(self, heartbeat: Heartbeat, now_ms: int) -> None:
        known = self.fleet.get(heartbeat.device_id)
        if known is None and not self.options.admit_unknown:
            self.ignored["heartbeat of an unregistered device"] += 1
            return
        free = self.rollouts.is_free(heartbeat.device_id)
        before, after = self.fleet.hear(heartbeat, at_ms=now_ms, free=free)
        if after.state is DeviceState.REVOKED:
            self.ignored["heartbeat of a revoked device"] += 1
            return
        if before is None:
            self._journal.audit(f"device/{after.device_id}", "registered", WHO, "its first heartbeat")
        self.rollouts.settle_membership(before, after, now_ms)
        if before is not None and before.state is DeviceState.OFFLINE:
            self._journal.close_alert(alerts.device_alert(after.device_id, "device_offline"))
            self.rollouts.tell_whom_it_concerns(DeviceSeen(after.device_id, True, now_ms))
        if before is not None and after.proven_model_id != before.proven_model_id:
            proved = DeviceProved(after.device_id, after.proven_model_id, now_ms)
            self.rollouts.tell_whom_it_concerns(proved)

    def _miss_the_silent(self) -> None:
        for device in self.fleet.silent(self._now_ms):
            alert_id = alerts.device_alert(device.device_id, "device_offline")
            summary = f"{device.device_id} missed three heartbeats"
            self._journal.open_alert(alert_id, "device_offline", device.device_id, summary)
            self.rollouts.tell_whom_it_concerns(DeviceSeen(device.device_id, False, self._now_ms))

    def _alert(self, alert: DriftAlert, _now_ms: int) -> None:
        # Our own come back from the topic, are known, and count for no gate.
        if not alert.alert_id.startswith(alerts.OWN):
            self._watching.alert(alert)

    def _set_time(self, at_ms: int) -> None:
        self._now_ms = self._journal.now_ms = max(self._now_ms, at_ms)
