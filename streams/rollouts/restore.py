"""Restoring: what a new controller knows when it takes over is what the topics say, and nothing else."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from schemas import feeds
from schemas.cluster import Cluster
from schemas.drift_alert import DriftAlert
from schemas.fleet import Device
from schemas.release import ModelRelease, ReleaseStage
from schemas.rollouts import RolloutDevice, RolloutPhase, RolloutPlan, RolloutStatus
from streams.rollouts import membership
from streams.rollouts.controller import Controller
from streams.rollouts.members import Member, State
from streams.rollouts.plan import parse_plan
from streams.rollouts.records import restored_head, restored_member
from streams.rollouts.retirement import has_no_more_to_do
from streams.rollouts.rollout import LIVE, Rollout

__all__ = ["Published", "published", "restore", "watched_since_ms"]


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


def published(cluster: Cluster, digested: Mapping[tuple[str, int], int]) -> Published:
    """Read what stands; call it only once former controllers are fenced."""
    topics = ("fleet.devices", "rollouts.plans", "rollouts.status", "rollouts.devices", "drift.alerts")
    # All at once: a successor is waited for, and most of this is waiting for brokers.
    with ThreadPoolExecutor(len(topics) + 1) as threads:
        reading = {topic: threads.submit(feeds.snapshot, cluster, topic) for topic in topics}
        releases = threads.submit(_releases, cluster, digested)
        found = {topic: snapshot.result() for topic, snapshot in reading.items()}
        return Published(
            devices=found["fleet.devices"].values(),
            plans=found["rollouts.plans"].values(),
            statuses=found["rollouts.status"],
            rows=found["rollouts.devices"].values(),
            releases=releases.result(),
            alerts=found["drift.alerts"].values(),
        )


def restore(controller: Controller, found: Published, *, now_ms: int) -> None:
    """Fill an empty controller with what was published."""
    for device in found.devices:
        controller.fleet.restore(device, now_ms=now_ms)
    for release in found.releases:
        controller.restore_release(release)
    for alert in found.alerts:
        controller.restore_alert(alert)
    keep_ms = controller.options.keep_settled_ms
    kept = {
        rollout_id: status
        for rollout_id, status in found.statuses.items()
        if not has_no_more_to_do(status.phase, status.devices, status.changed_ms, now_ms=now_ms, keep_ms=keep_ms)
    }
    rows: dict[str, list[RolloutDevice]] = defaultdict(list)
    for row in found.rows:
        if row.rollout_id in kept:
            rows[row.rollout_id].append(row)
    plans = sorted(found.plans, key=lambda plan: (plan.created_ms, plan.rollout_id))
    rollouts: list[Rollout] = []
    # Devices that a newer rollout has served: no older one that succeeded takes them up any more.
    served: set[str] = set()
    for accepted in reversed(plans):
        status = kept.get(accepted.rollout_id)
        if status is not None:
            rollouts.append(_rollout(controller, accepted, status, rows[accepted.rollout_id], served, now_ms))
    for accepted in plans:
        controller.restore_plan(accepted)
    for rollout in reversed(rollouts):
        controller.restore_rollout(rollout)


def watched_since_ms(controller: Controller) -> int | None:
    """Return when the oldest stage began that is still watched by gates; None where none is."""
    since = [
        rollout.stage_ms for rollout in controller.rollouts.values() if rollout.phase in LIVE and rollout.plan.gates
    ]
    return min(since, default=None)


def _releases(cluster: Cluster, digested: Mapping[tuple[str, int], int]) -> list[ModelRelease]:
    """Return the releases that are no news.

    Who leads for the first time has digested none: of those in production only the newest of a model is news.
    """
    first_time = not any(topic == "models.releases" for topic, _ in digested)
    known: list[ModelRelease] = []
    newest: dict[str, ModelRelease] = {}
    with feeds.read(cluster, "models.releases", until_current=True) as feed:
        for event in feed:
            if not isinstance(event, feeds.Changed):
                continue
            release: ModelRelease = event.value
            if first_time or event.offset < digested.get(("models.releases", event.partition), 0):
                known.append(release)
            rival = newest.get(release.model)
            if release.stage is ReleaseStage.PRODUCTION and (rival is None or release.created_ms > rival.created_ms):
                newest[release.model] = release
    return [release for release in known if release not in newest.values()] if first_time else known


def _rollout(
    controller: Controller,
    accepted: RolloutPlan,
    status: RolloutStatus,
    rows: list[RolloutDevice],
    served: set[str],
    now_ms: int,
) -> Rollout:
    plan = parse_plan(json.loads(accepted.document))
    rollout = restored_head(plan, status)
    known = {}
    succeeded = rollout.phase is RolloutPhase.SUCCEEDED
    for event in membership.joined(plan, controller.fleet, controller.releases.get(plan.model), now_ms):
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
        served.update(known)
    return rollout
