"""Everything that one controller knows, and how it digests what it reads: pure, without Kafka and without a clock.

`digest` takes one record in; `pass_time` lets time go on; `take_writes` returns what both want written. The same
records in the same order give the same writes, so a controller can be replayed, and its successor goes on alike.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from schemas.drift_alert import AlertState, DriftAlert
from schemas.drift_scores import DriftScores
from schemas.errors import DriftlineError
from schemas.fleet import Device, DeviceState, Heartbeat
from schemas.model_health import ModelHealth
from schemas.operators import AuditEntry, OperatorRequest
from schemas.release import ModelRelease, ReleaseStage
from schemas.rollouts import Ack, AckPhase, Command, RolloutPhase, RolloutPlan
from streams.rollouts import alerts, membership
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
from streams.rollouts.events import (
    Acked,
    DeviceFreed,
    DeviceLeft,
    DeviceProved,
    DeviceSeen,
    DeviceTaken,
    Event,
    GatesJudged,
    Superseded,
    TimePassed,
)
from streams.rollouts.fleet import Fleet
from streams.rollouts.machine import decide
from streams.rollouts.members import IN_FLIGHT, State
from streams.rollouts.outbox import Outbox, Write
from streams.rollouts.plan import Plan, parse_plan
from streams.rollouts.records import device_of, status_of
from streams.rollouts.requests import RequestError, change_device, event_of
from streams.rollouts.rings import NO_STAGE
from streams.rollouts.rollout import LIVE, SETTLED, Rollout
from streams.rollouts.watching import Watch

__all__ = ["Controller", "ControllerOptions"]

WHO = "rollouts"
# Requests that are remembered, so that a repeat is done once.
MOST_REQUESTS = 100_000

_GATED_BY_DEFAULT: Mapping[str, Any] = {"drift": {}, "anomaly_rate": {}, "error_rate": {}, "latency": {}}
_STRAGGLING = (State.WAITING, State.OFFLINE, State.HELD, State.BACKING_OFF)
_AT_WORK = (*IN_FLIGHT, State.BACKING_OFF, State.RETURNING)


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


class Controller:
    """The fleet, the releases and the rollouts of one prefix."""

    def __init__(self, options: ControllerOptions | None = None) -> None:
        self.options = options or ControllerOptions()
        self.fleet = Fleet()
        self.releases: dict[str, ModelRelease] = {}
        self.rollouts: dict[str, Rollout] = {}
        self.plans: dict[str, RolloutPlan] = {}
        self.alerts: dict[str, DriftAlert] = {}
        # What was read and was of no use, by reason.
        self.ignored: Counter[str] = Counter()
        self._standing: dict[str, Plan] = {}
        self._watches: dict[str, Watch] = {}
        self._judged_ms: dict[str, int] = {}
        self._outbox = Outbox()
        self._noted: dict[tuple[str, str], None] = {}
        self._moved: dict[str, None] = {}
        self._restless = False
        self._requests: dict[str, None] = {}
        self._now_ms = 0
        self._take: dict[type, Callable[[Any, int], None]] = {
            Ack: self._ack,
            Heartbeat: self._heartbeat,
            ModelHealth: self._health,
            DriftScores: self._scores,
            DriftAlert: self._alert,
            ModelRelease: self._release,
            OperatorRequest: self._request,
        }

    def digest(self, record: Any, at_ms: int) -> None:
        """Take in one record; `at_ms` is the broker's time of it."""
        self._now_ms = max(self._now_ms, at_ms)
        self._take[type(record)](record, self._now_ms)

    def pass_time(self, now_ms: int) -> bool:
        """Let time go on; say whether there is more to do at once, as soon as this much is written."""
        self._now_ms = now_ms = max(self._now_ms, now_ms)
        for device in self.fleet.silent(now_ms):
            summary = f"{device.device_id} missed three heartbeats"
            self._open(
                alerts.device_alert(device.device_id, "device_offline"), "device_offline", device.device_id, summary
            )
            self._tell_all(DeviceSeen(device.device_id, False, now_ms))
        self._restless = False
        for rollout_id, rollout in list(self.rollouts.items()):
            at_work = any(rollout.members.total_in(state) for state in _AT_WORK)
            if rollout.phase not in SETTLED or at_work or rollout.phase is RolloutPhase.SUCCEEDED:
                self._judge(rollout_id, now_ms)
                self._tell(rollout_id, TimePassed(now_ms))
        return self._restless

    def take_writes(self, digested: Mapping[str, int]) -> list[Write]:
        """Return what is to be written; statuses carry `digested`, the next offset of each input."""
        for rollout_id, device_id in self._noted:
            rollout, device = self.rollouts[rollout_id], self.fleet.get(device_id)
            row = rollout.members.row(device_id)
            if row is not None:
                revision = device.revision if device is not None else 0
                record = device_of(rollout, row, revision=revision, now_ms=self._now_ms)
                self._outbox.write("rollouts.devices", record)
            self._moved[rollout_id] = None
        for rollout_id in self._moved:
            self._outbox.write("rollouts.status", status_of(self.rollouts[rollout_id], digested))
        self._noted.clear()
        self._moved.clear()
        for device in self.fleet.take_changed():
            self._outbox.write("fleet.devices", device)
        return self._outbox.take()

    def submit(self, document: Mapping[str, Any], *, who: str, why: str, now_ms: int) -> str:
        """Accept a plan and return its rollout's id; a standing plan waits for releases."""
        plan = parse_plan(document)
        known = self.plans.get(plan.rollout_id)
        if known is not None and not (plan.standing and parse_plan(json.loads(known.document)).standing):
            raise RequestError(f"a rollout {plan.rollout_id!r} is there already; choose another name")
        if not plan.standing and plan.model not in self.releases:
            raise RequestError(f"no release {plan.model!r} is known")
        accepted = RolloutPlan(
            rollout_id=plan.rollout_id,
            model_id=plan.model,
            document=plan.document,
            created_ms=now_ms,
            created_by=who,
        )
        self.plans[plan.rollout_id] = accepted
        self._outbox.write("rollouts.plans", accepted)
        self._audit(f"rollout/{plan.rollout_id}", "accepted", who, why, {"model": plan.model})
        if plan.standing:
            self._standing[plan.model] = plan
        else:
            self._make(plan, now_ms)
        return plan.rollout_id

    # ---- restoring ----

    def restore_plan(self, accepted: RolloutPlan) -> None:
        """Take a plan as it was published; its rollout follows with its status."""
        self.plans[accepted.rollout_id] = accepted
        plan = parse_plan(json.loads(accepted.document))
        if plan.standing:
            self._standing[plan.model] = plan

    def restore_release(self, release: ModelRelease) -> None:
        """Know a release that is no news."""
        self.releases[f"{release.model}/{release.version}"] = release

    def restore_alert(self, alert: DriftAlert) -> None:
        self.alerts[alert.alert_id] = alert

    def restore_rollout(self, rollout: Rollout) -> None:
        self.rollouts[rollout.plan.rollout_id] = rollout
        self._watches[rollout.plan.rollout_id] = Watch()

    # ---- what is read ----

    def _ack(self, ack: Ack, now_ms: int) -> None:
        device = self.fleet.get(ack.device_id)
        rollout = self.rollouts.get(ack.rollout_id)
        if device is None or rollout is None:
            self.ignored["ack of an unknown device or rollout"] += 1
            return
        if ack.revision != device.revision:
            # It speaks of an older command: whoever gave the newest one is not concerned.
            self.ignored["ack of an older command"] += 1
            return
        self._tell(ack.rollout_id, Acked(ack.device_id, ack.phase, now_ms, ack.reason))
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
            self.fleet.put(replace(device, proven_model_id=model, model_id=model))
            self._tell_all(DeviceProved(device_id, model, now_ms), but=rollout.plan.rollout_id)

    def _heartbeat(self, heartbeat: Heartbeat, now_ms: int) -> None:
        known = self.fleet.get(heartbeat.device_id)
        if known is None and not self.options.admit_unknown:
            self.ignored["heartbeat of an unregistered device"] += 1
            return
        before, after = self.fleet.hear(heartbeat, at_ms=now_ms, free=self._is_free(heartbeat.device_id))
        if after.state is DeviceState.REVOKED:
            self.ignored["heartbeat of a revoked device"] += 1
            return
        if before is None:
            self._audit(f"device/{after.device_id}", "registered", WHO, "its first heartbeat")
        self._settle_membership(before, after, now_ms)
        if before is not None and before.state is DeviceState.OFFLINE:
            self._close(alerts.device_alert(after.device_id, "device_offline"))
            self._tell_all(DeviceSeen(after.device_id, True, now_ms))
        if before is not None and after.proven_model_id != before.proven_model_id:
            self._tell_all(DeviceProved(after.device_id, after.proven_model_id, now_ms))

    def _health(self, window: ModelHealth, _now_ms: int) -> None:
        for rollout_id, rollout in self._watched():
            self._watches[rollout_id].health(rollout, window)

    def _scores(self, scores: DriftScores, _now_ms: int) -> None:
        for rollout_id, rollout in self._watched():
            self._watches[rollout_id].scores(rollout, scores)

    def _alert(self, alert: DriftAlert, _now_ms: int) -> None:
        if alert.alert_id.startswith(alerts.OWN):
            # Ours; it comes back from the topic, and counts for no gate.
            self.alerts.setdefault(alert.alert_id, alert)
        elif alert.state is AlertState.RESOLVED:
            self.alerts.pop(alert.alert_id, None)
        else:
            self.alerts[alert.alert_id] = alert

    def _release(self, release: ModelRelease, now_ms: int) -> None:
        model_id = f"{release.model}/{release.version}"
        known = self.releases.get(model_id)
        self.releases[model_id] = release
        was = known.stage if known is not None else ReleaseStage.UNKNOWN
        if release.stage is ReleaseStage.PRODUCTION and was is not ReleaseStage.PRODUCTION:
            self._start_by_itself(release, now_ms)

    def _start_by_itself(self, release: ModelRelease, now_ms: int) -> None:
        standing = self._standing.get(release.model)
        document = self.options.default_plan if standing is None else json.loads(standing.document)
        if document is None or (standing is not None and not standing.auto_updates):
            self._audit(
                f"model/{release.model}", "left alone", WHO, f"{release.version} has no plan that starts by itself"
            )
            return
        name = standing.rollout_id if standing is not None else release.model
        rollout_id = self._free_name(f"{name}-{release.version}")
        document = {**document, "rollout": rollout_id, "model": f"{release.model}/{release.version}", "standing": False}
        self.submit(document, who=WHO, why=f"{release.model}/{release.version} is in production", now_ms=now_ms)

    def _free_name(self, name: str) -> str:
        number = 2
        free = name
        while free in self.plans:
            free, number = f"{name}-{number}", number + 1
        return free

    def _request(self, request: OperatorRequest, now_ms: int) -> None:
        kind, _, name = request.subject.partition("/")
        if kind not in ("rollout", "device", "alert"):
            return
        if request.request_id in self._requests:
            self.ignored["repeated request"] += 1
            return
        self._requests[request.request_id] = None
        if len(self._requests) > MOST_REQUESTS:
            del self._requests[next(iter(self._requests))]
        try:
            self._carry_out(kind, name, request, now_ms)
        except DriftlineError as refused:
            self._audit(request.subject, f"refused to {request.action}", WHO, str(refused), {"asked_by": request.who})

    def _carry_out(self, kind: str, name: str, request: OperatorRequest, now_ms: int) -> None:
        if kind == "device":
            before = self.fleet.get(name)
            after = change_device(self.fleet, name, request, now_ms)
            self._audit(request.subject, f"{request.action} done", request.who, request.why, request.arguments)
            self._settle_membership(before, after, now_ms)
        elif kind == "alert":
            self._acknowledge(name, request, now_ms)
        elif request.action == "start":
            self._start(name, request, now_ms)
        elif name not in self.rollouts:
            raise RequestError(f"no rollout {name!r} is known")
        else:
            self._tell(name, event_of(request, now_ms))

    def _start(self, rollout_id: str, request: OperatorRequest, now_ms: int) -> None:
        try:
            document = json.loads(request.arguments.get("document", ""))
        except ValueError as error:
            raise RequestError(f"the plan is no JSON: {error}") from error
        if not isinstance(document, dict) or document.get("rollout") != rollout_id:
            raise RequestError(f"the plan is not that of rollout {rollout_id!r}")
        self.submit(document, who=request.who, why=request.why, now_ms=now_ms)

    def _acknowledge(self, alert_id: str, request: OperatorRequest, now_ms: int) -> None:
        alert = self.alerts.get(alert_id)
        if not alert_id.startswith(alerts.OWN):
            return
        if alert is None or alert.state is not AlertState.FIRING or request.action != "acknowledge":
            raise RequestError(f"alert {alert_id!r} does not fire, or {request.action!r} is not for it")
        acknowledged = replace(alert, state=AlertState.ACKNOWLEDGED, changed_ms=now_ms, by=request.who)
        self._write_alert(acknowledged)
        self._audit(request.subject, "acknowledged", request.who, request.why)

    # ---- rollouts ----

    def _make(self, plan: Plan, now_ms: int) -> None:
        rollout = Rollout(plan=plan, changed_ms=now_ms)
        self.rollouts[plan.rollout_id] = rollout
        self._watches[plan.rollout_id] = Watch()
        self._moved[plan.rollout_id] = None
        for event in membership.joined(plan, self.fleet, self.releases.get(plan.model), now_ms):
            rollout, effects = decide(rollout, event)
            if effects:
                self._noted[plan.rollout_id, event.device_id] = None
        self.rollouts[plan.rollout_id] = rollout
        self._tell(plan.rollout_id, TimePassed(now_ms))

    def _tell(self, rollout_id: str, event: Event) -> None:
        before = self.rollouts[rollout_id]
        if before.phase is RolloutPhase.SCHEDULED and isinstance(event, TimePassed):
            if event.now_ms < before.plan.starts_ms:
                return
            self._make_way(before, event.now_ms)
        after, effects = decide(before, event)
        self.rollouts[rollout_id] = after
        if after is not before and after != before:
            self._moved[rollout_id] = None
        for effect in effects:
            self._carry(after, effect, event.now_ms)
        if after.phase in SETTLED and before.phase not in SETTLED:
            self._give_way(after, event.now_ms)

    def _tell_all(self, event: Event, *, but: str = "") -> None:
        for rollout_id in list(self.rollouts):
            if rollout_id != but and self.rollouts[rollout_id].members.row(_device_of(event)) is not None:
                self._tell(rollout_id, event)

    def _carry(self, rollout: Rollout, effect: Effect, now_ms: int) -> None:
        rollout_id = rollout.plan.rollout_id
        match effect:
            case NoteDevice(device_id):
                self._noted[rollout_id, device_id] = None
            case CommandDevice():
                self._command(rollout, effect, now_ms)
            case WriteAudit(action, who, why, evidence):
                self._audit(f"rollout/{rollout_id}", action, who, why, evidence)
            case RefuseRequest(action, who, why):
                self._audit(f"rollout/{rollout_id}", f"refused to {action}", WHO, why, {"asked_by": who})
            case RaiseAlert(kind, summary):
                alert_id = alerts.rollout_alert(rollout_id, kind)
                self._open(alert_id, kind, f"rollout={rollout_id}", summary, model_id=rollout.plan.model)
            case ResolveAlert(kind):
                self._close(alerts.rollout_alert(rollout_id, kind))
            case GoOn():
                self._restless = True

    def _command(self, rollout: Rollout, effect: CommandDevice, now_ms: int) -> None:
        device = self.fleet.get(effect.device_id)
        if device is None or device.state is DeviceState.REVOKED:
            self.ignored["command to a revoked device"] += 1
            return
        for other_id, other in list(self.rollouts.items()):
            if other_id != rollout.plan.rollout_id and other.members.row(device.device_id) is not None:
                self._tell(other_id, DeviceTaken(device.device_id, rollout.plan.rollout_id, True, now_ms))
        if not effect.model:
            self._outbox.forget("rollouts.commands", device.device_id)
            return
        device = replace(device, revision=device.revision + 1)
        self.fleet.put(device)
        self._outbox.write("rollouts.commands", self._written(rollout, effect, device.revision, now_ms))

    def _written(self, rollout: Rollout, effect: CommandDevice, revision: int, now_ms: int) -> Command:
        """Return the command, still unsigned."""
        release = self.releases.get(effect.model)
        if release is None:
            # The device still has it in its other slot, or refuses and says so.
            self.ignored["command for a model without a release"] += 1
        settings = {"bake_s": f"{rollout.plan.device_bake_s:g}"}
        if rollout.plan.device_shadow_s:
            settings["shadow_s"] = f"{rollout.plan.device_shadow_s:g}"
        if rollout.here.window:
            settings["maintenance"] = rollout.here.window
        if effect.action == "install":
            settings["activate"] = "later"
        return Command(
            device_id=effect.device_id,
            revision=revision,
            rollout_id=rollout.plan.rollout_id,
            model_id=effect.model,
            bundle_sha256=release.bundle_sha256 if release else "",
            bundle_bytes=release.bundle_bytes if release else 0,
            bundle_url=release.bundle_url if release else "",
            issued_ms=now_ms,
            envelope="",
            settings=settings,
        )

    def _make_way(self, rollout: Rollout, now_ms: int) -> None:
        """Before a rollout begins: its model's older ones leave the field, and the graver of two others goes first."""
        name = rollout.plan.model.partition("/")[0]
        for other_id, other in list(self.rollouts.items()):
            if other_id == rollout.plan.rollout_id or other.phase in SETTLED:
                continue
            if other.plan.model.partition("/")[0] == name:
                if other.phase is not RolloutPhase.SCHEDULED:
                    self._tell(other_id, Superseded(rollout.plan.rollout_id, now_ms))
            elif other.phase is not RolloutPhase.SCHEDULED:
                first, second = (rollout, other) if rollout.plan.priority > other.plan.priority else (other, rollout)
                self._hold(second, first, now_ms)

    def _hold(self, rollout: Rollout, first: Rollout, now_ms: int) -> None:
        members = rollout.members
        shared = [row for row, device_id in enumerate(members.ids) if first.members.row(device_id) is not None]
        # Those in flight come last: each makes room, which nobody that is to be held should fill.
        for row in sorted(shared, key=lambda row: members.state(row) in _AT_WORK):
            event = DeviceTaken(members.ids[row], first.plan.rollout_id, False, now_ms)
            self._tell(rollout.plan.rollout_id, event)

    def _give_way(self, rollout: Rollout, now_ms: int) -> None:
        """A rollout has ended: what it brought counts now, and those that waited for its devices may have them."""
        if rollout.phase is RolloutPhase.SUCCEEDED:
            self._replace_older(rollout, now_ms)
        for other_id, other in list(self.rollouts.items()):
            if other.members.total_in(State.HELD) and other_id != rollout.plan.rollout_id:
                for device_id in rollout.members.ids:
                    if other.members.row(device_id) is not None:
                        self._tell(other_id, DeviceFreed(device_id, now_ms))

    def _replace_older(self, rollout: Rollout, now_ms: int) -> None:
        """Absentees take what counts when they return: of rollouts that succeeded, only the newest."""
        for other_id, other in list(self.rollouts.items()):
            anybody = any(other.members.total_in(state) for state in _STRAGGLING)
            if other.phase is not RolloutPhase.SUCCEEDED or other is rollout or not anybody:
                continue
            for row, device_id in enumerate(other.members.ids):
                if other.members.state(row) in _STRAGGLING and _takes(rollout, device_id):
                    self._tell(other_id, DeviceTaken(device_id, rollout.plan.rollout_id, True, now_ms))

    def _settle_membership(self, before: Device | None, after: Device, now_ms: int) -> None:
        """Let a device join or leave rollouts as its labels, groups or pipelines now have it."""
        if before is not None and _same_traits(before, after):
            return
        served = False
        for rollout_id, rollout in reversed(list(self.rollouts.items())):
            over = rollout.phase in SETTLED
            if over and (served or rollout.phase is not RolloutPhase.SUCCEEDED):
                continue
            row = rollout.members.row(after.device_id)
            there = row is not None and rollout.members.state(row) != State.LEFT
            belongs = membership.belongs(rollout.plan, after, self.releases.get(rollout.plan.model))
            # Of those that succeeded the newest is what counts; older ones are not caught up on.
            served = served or (over and belongs)
            if there and not belongs:
                self._tell(rollout_id, DeviceLeft(after.device_id, now_ms))
            elif belongs and not there:
                self._tell(rollout_id, membership.stage_alone(rollout.plan, after, now_ms))

    def _judge(self, rollout_id: str, now_ms: int) -> None:
        rollout = self.rollouts[rollout_id]
        due_ms = self._judged_ms.get(rollout_id, 0) + self.options.judge_every_ms
        if rollout.phase not in LIVE or not rollout.plan.gates or now_ms < due_ms:
            return
        evidence = self._watches[rollout_id].look(rollout, self._foreign_alerts())
        results = tuple(gate.judge(name, evidence) for name, gate in rollout.plan.gates.items())
        self._judged_ms[rollout_id] = now_ms
        self._tell(rollout_id, GatesJudged(results, now_ms))

    def _foreign_alerts(self) -> Iterable[DriftAlert]:
        return (alert for alert_id, alert in self.alerts.items() if not alert_id.startswith(alerts.OWN))

    def _watched(self) -> list[tuple[str, Rollout]]:
        return [
            (name, rollout) for name, rollout in self.rollouts.items() if rollout.phase in LIVE and rollout.plan.gates
        ]

    def _is_free(self, device_id: str) -> bool:
        for rollout in self.rollouts.values():
            row = rollout.members.row(device_id)
            if row is not None and rollout.members.state(row) in (*_AT_WORK, State.ABSENT, State.STRANDED):
                return False
        return True

    # ---- what is written ----

    def _audit(self, subject: str, action: str, who: str, why: str, evidence: Mapping[str, str] | None = None) -> None:
        entry = AuditEntry(
            subject=subject, action=action, who=who, why=why, at_ms=self._now_ms, evidence=dict(evidence or {})
        )
        self._outbox.write("audit.log", entry)

    def _open(self, alert_id: str, kind: str, subject: str, summary: str, *, model_id: str = "") -> None:
        known = self.alerts.get(alert_id)
        alert = alerts.opened(alert_id, kind, subject, summary, self._now_ms, model_id=model_id, known=known)
        if alert is not known:
            self._write_alert(alert)
            self._audit(f"alert/{alert_id}", "firing", WHO, summary)

    def _close(self, alert_id: str) -> None:
        alert = self.alerts.get(alert_id)
        if alert is not None and alert.state is not AlertState.RESOLVED:
            self._write_alert(alerts.closed(alert, self._now_ms))
            self._audit(f"alert/{alert_id}", "resolved", WHO, alert.summary)

    def _write_alert(self, alert: DriftAlert) -> None:
        self.alerts[alert.alert_id] = alert
        self._outbox.write("drift.alerts", alert)


def _device_of(event: Event) -> str:
    return getattr(event, "device_id", "")


def _takes(rollout: Rollout, device_id: str) -> bool:
    row = rollout.members.row(device_id)
    return row is not None and rollout.members.stage(row) != NO_STAGE


def _same_traits(before: Device, after: Device) -> bool:
    return (
        before.labels == after.labels
        and before.groups == after.groups
        and before.pipelines == after.pipelines
        and (before.state is DeviceState.REVOKED) == (after.state is DeviceState.REVOKED)
    )
