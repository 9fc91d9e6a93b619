"""Intake: plans that people hand in, and releases that start a rollout by themselves."""

import json
from collections.abc import Mapping
from typing import Any

from schemas.errors import DriftlineError
from schemas.release import ModelRelease, ReleaseStage
from schemas.rollouts import RolloutPlan
from streams.rollouts.docket import Docket
from streams.rollouts.journal import WHO, Journal
from streams.rollouts.plan import Plan, parse_plan
from streams.rollouts.requests import RequestError

__all__ = ["Intake"]


class Intake:
    """The plans of a prefix, and the standing ones among them."""

    def __init__(
        self,
        docket: Docket,
        releases: dict[str, ModelRelease],
        journal: Journal,
        default_plan: Mapping[str, Any] | None,
    ) -> None:
        self._docket, self._releases, self._journal = docket, releases, journal
        self._default_plan = default_plan
        # Every plan ever accepted, and whether it is a standing one: only those are kept whole.
        self._names: dict[str, bool] = {}
        self._standing: dict[str, Plan] = {}

    def restore(self, plan: Plan) -> None:
        """Take a plan that was accepted before; its rollout follows with its status."""
        self._names[plan.rollout_id] = plan.standing
        if plan.standing:
            self._standing[plan.model] = plan

    def hold_name(self, rollout_id: str) -> None:
        """Give no other rollout this name."""
        self._names[rollout_id] = False

    def knows(self, rollout_id: str) -> bool:
        return rollout_id in self._names

    def submit(self, document: Mapping[str, Any], *, who: str, why: str, now_ms: int) -> str:
        """Accept a plan and return its rollout's id; a standing plan waits for releases."""
        plan = parse_plan(document)
        # A standing plan may be renewed under its name; nothing else may be.
        if plan.rollout_id in self._names and not (plan.standing and self._names[plan.rollout_id]):
            raise RequestError(f"a rollout {plan.rollout_id!r} is there already; choose another name")
        if not plan.standing and plan.model not in self._releases:
            raise RequestError(f"no release {plan.model!r} is known")
        accepted = RolloutPlan(
            rollout_id=plan.rollout_id,
            model_id=plan.model,
            document=plan.document,
            created_ms=now_ms,
            created_by=who,
        )
        self._names[plan.rollout_id] = plan.standing
        self._journal.write("rollouts.plans", accepted)
        self._journal.audit(f"rollout/{plan.rollout_id}", "accepted", who, why, {"model": plan.model})
        if plan.standing:
            self._standing[plan.model] = plan
        else:
            self._docket.make(plan, now_ms)
        return plan.rollout_id

    def take_release(self, release: ModelRelease, now_ms: int) -> None:
        """Know a release; one that reaches production starts the model's standing plan, or the default one."""
        model_id = f"{release.model}/{release.version}"
        known = self._releases.get(model_id)
        self._releases[model_id] = release
        was = known.stage if known is not None else ReleaseStage.UNKNOWN
        if release.stage is ReleaseStage.PRODUCTION and was is not ReleaseStage.PRODUCTION:
            self._start_by_itself(release, model_id, now_ms)

    def _start_by_itself(self, release: ModelRelease, model_id: str, now_ms: int) -> None:
        standing = self._standing.get(release.model)
        document = self._default_plan if standing is None else json.loads(standing.document)
        if document is None or (standing is not None and not standing.auto_updates):
            why = f"{release.version} has no plan that starts by itself"
            self._journal.audit(f"model/{release.model}", "left alone", WHO, why)
            return
        name = standing.rollout_id if standing is not None else release.model
        rollout_id = self._free_name(f"{name}-{release.version}")
        document = {**document, "rollout": rollout_id, "model": model_id, "standing": False}
        try:
            self.submit(document, who=WHO, why=f"{model_id} is in production", now_ms=now_ms)
        except DriftlineError as refused:
            # Such as a version that cannot be part of a rollout's name.
            self._journal.audit(f"model/{release.model}", "left alone", WHO, str(refused))

    def _free_name(self, name: str) -> str:
        number = 2
        free = name
        while free in self._names:
            free, number = f"{name}-{number}", number + 1
        return free
