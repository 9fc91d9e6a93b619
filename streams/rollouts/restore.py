"""Restoring: what a new controller knows when it takes over is what the topics say, and nothing else."""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from schemas.drift_alert import DriftAlert
from schemas.fleet import Device
from schemas.record import changed
from schemas.release import ModelRelease
from schemas.rollouts import RolloutDevice, RolloutPhase, RolloutPlan, RolloutStatus
from streams.rollouts import membership
from streams.rollouts.controller import Controller
from streams.rollouts.documents import PlanError
from streams.rollouts.member import Member, State
from streams.rollouts.plan import Plan, parse_plan
from streams.rollouts.precedence import newest_success_first
from streams.rollouts.records import is_put_away, restored_head, restored_member
from streams.rollouts.retirement import has_no_more_to_do
from streams.rollouts.rollout import LIVE, Rollout

__all__ = ["Published", "restore", "watched_since_ms"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The records that stand on the controller's topics."""

    devices: Iterable[Device] = ()
    plans: Iterable[RolloutPlan] = ()
    statuses: Mapping[str, RolloutStatus] = field(default_factory=dict)
    rows: Iterable[RolloutDevice] = ()
    # Releases that were digested; those that were not are still to be read as news.
    releases: Iterable[ModelRelease] = ()
    alerts: Iterable[DriftAlert] = ()


def restore(controller: Controller, found: Published, *, now_ms: int) -> None:
    """Fill an empty controller with what was published."""
    rows: dict[str, list[RolloutDevice]] = defaultdict(list)
    revisions: dict[str, int] = {}
    for row in found.rows:
        rows[row.rollout_id].append(row)
        revisions[row.device_id] = max(row.revision, revisions.get(row.device_id, 0))
    for device in found.devices:
        revision = revisions.get(device.device_id, 0)
        newest = changed(device, revision=revision) if revision > device.revision else device
        controller.fleet.restore(newest, now_ms=now_ms)
    for release in found.releases:
        controller.restore_release(release)
    for alert in found.alerts:
        controller.restore_alert(alert)
    keep_ms = controller.options.keep_settled_ms
    kept = {
        rollout_id: status
        for rollout_id, status in found.statuses.items()
        if not is_put_away(status)
        and not has_no_more_to_do(status.phase, status.devices, status.changed_ms, now_ms=now_ms, keep_ms=keep_ms)
    }
    for rollout_id in rows.keys() & found.statuses.keys() - kept.keys():
        controller.forget_rows(rollout_id, [row.device_id for row in rows[rollout_id]])
    accepted = sorted(found.plans, key=lambda plan: (plan.created_ms, plan.rollout_id))
    plans = _readable(controller, accepted, kept, now_ms)
    heads = {plan.rollout_id: restored_head(plan, kept[plan.rollout_id]) for plan in plans if plan.rollout_id in kept}
    # Devices that a newer success has served: no older one takes them up any more.
    served: set[str] = set()
    for rollout_id, rollout in newest_success_first(heads):
        _fill(controller, rollout, rows[rollout_id], served, now_ms)
    for plan in plans:
        controller.restore_plan(plan)
    for rollout in heads.values():
        controller.restore_rollout(rollout)


def watched_since_ms(controller: Controller) -> int | None:
    """Return when the oldest stage began that is still watched by gates; None where none is."""
    since = [
        rollout.stage_ms for rollout in controller.rollouts.values() if rollout.phase in LIVE and rollout.plan.gates
    ]
    return min(since, default=None)


def _readable(
    controller: Controller, accepted: Iterable[RolloutPlan], statuses: Mapping[str, RolloutStatus], now_ms: int
) -> list[Plan]:
    """Return the plans; of one that today's rules refuse the rollout ends, and all others go on."""
    plans = []
    for each in accepted:
        try:
            plans.append(parse_plan(json.loads(each.document)))
        except PlanError as refused:
            log.error("plan no longer understood: rollout=%s reason=%s", each.rollout_id, refused)
            controller.give_up(each.rollout_id, statuses.get(each.rollout_id), str(refused), now_ms)
    return plans


def _fill(controller: Controller, rollout: Rollout, rows: list[RolloutDevice], served: set[str], now_ms: int) -> None:
    """Give a restored rollout its devices."""
    plan, known = rollout.plan, dict[str, Member]()
    succeeded = rollout.phase is RolloutPhase.SUCCEEDED
    for event in membership.joined_alone(plan, controller.fleet, controller.releases.get(plan.model), now_ms):
        if succeeded and event.device_id in served:
            continue
        waiting = State.WAITING if event.online else State.OFFLINE
        known[event.device_id] = Member(
            device_id=event.device_id,
            state=State.SUCCEEDED if event.previous == plan.model else waiting,
            stage=event.stage,
            position=event.position,
            previous=event.previous,
            kin=event.kin,
            online=event.online,
        )
    for row in rows:
        member = known.get(row.device_id, Member(device_id=row.device_id, state=State.LEFT))
        known[row.device_id] = restored_member(row, member)
    for member in known.values():
        rollout.members.add(member)
    rollout.members.put_in_order()
    if succeeded:
        served.update(name for name, member in known.items() if member.state not in (State.LEFT, State.SUPERSEDED))
