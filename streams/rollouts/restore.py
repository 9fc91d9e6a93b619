"""Restoring: what a new controller knows when it takes over is what the topics say, and nothing else."""

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from schemas import feeds
from schemas.cluster import Cluster
from schemas.release import ModelRelease, ReleaseStage
from schemas.rollouts import RolloutDevice, RolloutPlan, RolloutStatus
from streams.rollouts import membership
from streams.rollouts.controller import Controller
from streams.rollouts.members import Member, State
from streams.rollouts.plan import parse_plan
from streams.rollouts.records import restored_head, restored_member
from streams.rollouts.rollout import LIVE

__all__ = ["restore", "watched_since_ms"]


def restore(controller: Controller, cluster: Cluster, digested: Mapping[tuple[str, int], int], *, now_ms: int) -> None:
    """Fill an empty controller with what was published; call it only once former controllers are fenced."""
    for device in feeds.snapshot(cluster, "fleet.devices").values():
        controller.fleet.restore(device, now_ms=now_ms)
    _releases(controller, cluster, digested)
    plans: dict[str, RolloutPlan] = dict(feeds.snapshot(cluster, "rollouts.plans"))
    for accepted in sorted(plans.values(), key=lambda plan: plan.created_ms):
        controller.restore_plan(accepted)
    statuses: dict[str, RolloutStatus] = dict(feeds.snapshot(cluster, "rollouts.status"))
    rows = _rows(cluster)
    for accepted in sorted(plans.values(), key=lambda plan: plan.created_ms):
        status = statuses.get(accepted.rollout_id)
        if status is not None:
            _rollout(controller, accepted, status, rows[accepted.rollout_id], now_ms)


def watched_since_ms(controller: Controller) -> int | None:
    """Return when the oldest stage began that is still watched by gates; None where none is."""
    since = [
        rollout.stage_ms for rollout in controller.rollouts.values() if rollout.phase in LIVE and rollout.plan.gates
    ]
    return min(since, default=None)


def _rows(cluster: Cluster) -> dict[str, list[RolloutDevice]]:
    rows: dict[str, list[RolloutDevice]] = defaultdict(list)
    for row in feeds.snapshot(cluster, "rollouts.devices").values():
        rows[row.rollout_id].append(row)
    return rows


def _releases(controller: Controller, cluster: Cluster, digested: Mapping[tuple[str, int], int]) -> None:
    """Take the releases that were digested; later ones are read as news.

    Who leads for the first time has digested none: of those in production only the newest of a model is news.
    """
    newest: dict[str, ModelRelease] = {}
    first_time = not any(topic == "models.releases" for topic, _ in digested)
    with feeds.read(cluster, "models.releases", until_current=True) as feed:
        for event in feed:
            if not isinstance(event, feeds.Changed):
                continue
            release: ModelRelease = event.value
            if first_time or event.offset < digested.get(("models.releases", event.partition), 0):
                controller.restore_release(release)
            if release.stage is ReleaseStage.PRODUCTION and _newer(release, newest.get(release.model)):
                newest[release.model] = release
    if first_time:
        for release in newest.values():
            controller.forget_release(release)


def _newer(release: ModelRelease, known: Any) -> bool:
    return known is None or release.created_ms > known.created_ms


def _rollout(
    controller: Controller, accepted: RolloutPlan, status: RolloutStatus, rows: list[RolloutDevice], now_ms: int
) -> None:
    plan = parse_plan(json.loads(accepted.document))
    rollout = restored_head(plan, status)
    fleet, known = controller.fleet, {}
    for event in membership.joined(plan, fleet, controller.releases.get(plan.model), now_ms):
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
    controller.restore_rollout(rollout)
