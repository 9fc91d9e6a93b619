"""The docket: every rollout that is not put away; what one of them wants done is carried out here, in order."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from schemas.fleet import Device, DeviceState
from schemas.record import changed
from schemas.release import ModelRelease
from schemas.rollouts import RolloutPhase
from streams.rollouts import alerts, membership
from streams.rollouts.commanding import command_of
from streams.rollouts.effects import (
    CommandDevice,
    Effect,
    GoOn,
    NoteDevice,
    RaiseAlert,
    RefuseRequest,
    ResolveAlert,
    WriteAudit,
)
from streams.rollouts.events import CohortJoined, DeviceLeft, DeviceProved, DeviceSeen, DeviceTaken, Event, TimePassed
from streams.rollouts.fleet import Fleet
from streams.rollouts.journal import WHO, Journal
from streams.rollouts.machine import decide
from streams.rollouts.member import State
from streams.rollouts.plan import Plan
from streams.rollouts.precedence import AT_WORK, STRAGGLING, give_way, make_way, newest_success_first, replace_waiting
from streams.rollouts.progress import may_begin
from streams.rollouts.rollout import SETTLED, Rollout

__all__ = ["Docket"]

_HAS_THE_DEVICE = (*AT_WORK, State.ABSENT, State.STRANDED)


class Docket(Mapping[str, Rollout]):
    """Rollouts by their id, the oldest first."""

    def __init__(
        self, fleet: Fleet, releases: Mapping[str, ModelRelease], journal: Journal, ignored: Counter[str]
    ) -> None:
        self._fleet, self._releases, self._journal, self._ignored = fleet, releases, journal, ignored
        self._rollouts: dict[str, Rollout] = {}
        # Somebody has more to do at once, as soon as this much is written.
        self.restless = False

    def __getitem__(self, rollout_id: str) -> Rollout:
        return self._rollouts[rollout_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rollouts)

    def __len__(self) -> int:
        return len(self._rollouts)

    def restore(self, rollout: Rollout) -> None:
        self._rollouts[rollout.plan.rollout_id] = rollout

    def put_away(self, rollout_id: str) -> None:
        del self._rollouts[rollout_id]

    def make(self, plan: Plan, now_ms: int) -> None:
        """Make a plan's rollout, with the devices that are there."""
        arrivals = membership.arrivals(plan, self._fleet, self._releases.get(plan.model))
        rollout = self._rollouts[plan.rollout_id] = Rollout(plan=plan, changed_ms=now_ms)
        self._journal.status_moved(plan.rollout_id)
        self.tell(plan.rollout_id, CohortJoined(arrivals, now_ms))
        if plan.starts_ms <= now_ms:
            self._tell_each(replace_waiting(self._rollouts, rollout, now_ms))
        self.tell(plan.rollout_id, TimePassed(now_ms))

    def tell(self, rollout_id: str, event: Event) -> None:
        """Tell a rollout something, and carry out what it wants done."""
        before = self._rollouts[rollout_id]
        if isinstance(event, TimePassed) and may_begin(before, event.now_ms):
            self._tell_each(make_way(self._rollouts, before, event.now_ms))
        after, effects = decide(before, event)
        self._rollouts[rollout_id] = after
        if after is not before and after != before:
            self._journal.status_moved(rollout_id)
        for effect in effects:
            self._carry_out(after, effect, event.now_ms)
        if after.phase in SETTLED and before.phase not in SETTLED:
            self._ended(after, event.now_ms)
        elif before.phase in SETTLED and after.phase not in SETTLED:
            # It is tried again: nobody told it of devices while it was over.
            for device in list(self._fleet):
                self._settle(rollout_id, device, event.now_ms)

    def tell_whom_it_concerns(
        self, event: DeviceSeen | DeviceProved | DeviceLeft | DeviceTaken, *, but: str = ""
    ) -> None:
        """Tell every rollout that has the device."""
        for rollout_id in list(self._rollouts):
            if rollout_id != but and self._rollouts[rollout_id].members.row(event.device_id) is not None:
                self.tell(rollout_id, event)

    def is_free(self, device_id: str) -> bool:
        """Say whether no rollout has a device in its hands."""
        for rollout in self._rollouts.values():
            row = rollout.members.row(device_id)
            if row is not None and rollout.members.state(row) in _HAS_THE_DEVICE:
                return False
        return True

    def settle_membership(self, before: Device | None, after: Device, now_ms: int) -> None:
        """Let a device join or leave rollouts as its labels, groups or pipelines now have it."""
        if before is not None and _same_traits(before, after):
            return
        # Of those that succeeded the newest is what counts; older ones are not caught up on.
        served_by = ""
        for rollout_id, rollout in newest_success_first(self._rollouts):
            over = rollout.phase in SETTLED
            if over and rollout.phase is not RolloutPhase.SUCCEEDED:
                continue
            if over and served_by:
                row = rollout.members.row(after.device_id)
                if row is not None and rollout.members.state(row) in STRAGGLING:
                    self.tell(rollout_id, DeviceTaken(after.device_id, served_by, True, now_ms))
            elif self._settle(rollout_id, after, now_ms) and over:
                served_by = rollout_id

    def _settle(self, rollout_id: str, device: Device, now_ms: int) -> bool:
        """Let a device join or leave one rollout, and say whether it belongs there."""
        rollout = self._rollouts[rollout_id]
        row = rollout.members.row(device.device_id)
        there = row is not None and rollout.members.state(row) != State.LEFT
        belongs = membership.belongs(rollout.plan, device, self._releases.get(rollout.plan.model))
        if belongs:
            self.tell(rollout_id, membership.stage_alone(rollout.plan, device, now_ms))
        elif there:
            self.tell(rollout_id, DeviceLeft(device.device_id, now_ms))
        return belongs

    def _tell_each(self, told: Iterable[tuple[str, Event]]) -> None:
        for rollout_id, event in told:
            self.tell(rollout_id, event)

    def _carry_out(self, rollout: Rollout, effect: Effect, now_ms: int) -> None:
        rollout_id = rollout.plan.rollout_id
        match effect:
            case NoteDevice(device_id):
                self._journal.row_moved(rollout_id, device_id)
            case CommandDevice():
                self._command(rollout, effect, now_ms)
            case WriteAudit(action, who, why, evidence):
                self._journal.audit(f"rollout/{rollout_id}", action, who, why, evidence)
            case RefuseRequest(action, who, why):
                self._journal.audit(f"rollout/{rollout_id}", f"refused to {action}", WHO, why, {"asked_by": who})
            case RaiseAlert(kind, summary):
                alert_id = alerts.rollout_alert(rollout_id, kind)
                subject = f"rollout={rollout_id}"
                self._journal.open_alert(alert_id, kind, subject, summary, model_id=rollout.plan.model)
            case ResolveAlert(kind):
                self._journal.close_alert(alerts.rollout_alert(rollout_id, kind))
            case GoOn():
                self.restless = True

    def _command(self, rollout: Rollout, effect: CommandDevice, now_ms: int) -> None:
        device = self._fleet.get(effect.device_id)
        if device is None or device.state is DeviceState.REVOKED:
            self._ignored["command to a revoked device"] += 1
            return
        taken = DeviceTaken(device.device_id, rollout.plan.rollout_id, True, now_ms)
        self.tell_whom_it_concerns(taken, but=rollout.plan.rollout_id)
        if not effect.model:
            self._journal.forget("rollouts.commands", device.device_id)
            return
        release = self._releases.get(effect.model)
        if release is None:
            # The device still has it in its other slot, or refuses and says so.
            self._ignored["command for a model without a release"] += 1
        device = changed(device, revision=device.revision + 1)
        self._fleet.note_command(device)
        self._journal.write("rollouts.commands", command_of(rollout, effect, release, device.revision, now_ms))

    def _ended(self, rollout: Rollout, now_ms: int) -> None:
        self._tell_each(give_way(self._rollouts, rollout, now_ms))
        if rollout.phase is RolloutPhase.SUCCEEDED:
            self._resolve_former_troubles(rollout)

    def _resolve_former_troubles(self, rollout: Rollout) -> None:
        """What failed of the same model before is mended."""
        name, own = rollout.plan.model.partition("/")[0], alerts.rollout_alert(rollout.plan.rollout_id, "")
        for alert_id, alert in list(self._journal.alerts.items()):
            if alert.model_id.startswith(f"{name}/") and not alert_id.startswith(own):
                self._journal.close_alert(alert_id)


def _same_traits(before: Device, after: Device) -> bool:
    return (
        before.labels == after.labels
        and before.groups == after.groups
        and before.pipelines == after.pipelines
        and (before.state is DeviceState.REVOKED) == (after.state is DeviceState.REVOKED)
    )
