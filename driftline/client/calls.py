"""Everything that can be asked of the console, as values; a client carries them out."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypedDict, TypeVar
from urllib.parse import quote

from driftline.client import answers as a

__all__ = ["Call", "Page"]

T = TypeVar("T")


class Page(TypedDict, Generic[T]):
    items: list[T]
    total: int
    next: str | None


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One question or change; sent twice, a change is done once."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    key: str = field(default_factory=lambda: str(uuid.uuid4()))
    # The ETag that what is changed must still have.
    if_match: str = ""


def _get(*parts: str, **params: Any) -> Call[Any]:
    return Call("GET", _path(*parts), {name: value for name, value in params.items() if value not in ("", None)})


def _post(*parts: str, **body: Any) -> Call[Any]:
    return Call("POST", _path(*parts), body=body)


def _path(*parts: str) -> str:
    return "".join(f"/{quote(part, safe='')}" for part in parts)


# The fleet.


def stats() -> Call[a.Stats]:
    return _get("stats")


def devices(
    *, state: str = "", model: str = "", verdict: str = "", q: str = "", label: Sequence[str] = (), sort: str = "id",
    limit: int = 100, cursor: str = "",
) -> Call[Page[a.DeviceRow]]:  # fmt: skip
    return _get(
        "devices", state=state, model=model, verdict=verdict, q=q, label=list(label) or None, sort=sort, limit=limit,
        cursor=cursor,
    )  # fmt: skip


def device(device_id: str) -> Call[dict[str, Any]]:
    return _get("devices", device_id)


def features(*device_ids: str) -> Call[dict[str, Any]]:
    return _get("features", device=list(device_ids))


def scores(*, verdict: str = "", limit: int = 100, cursor: str = "") -> Call[Page[a.DeviceRow]]:
    return _get("scores", verdict=verdict, limit=limit, cursor=cursor)


def device_scores(device_id: str, *, limit: int = 240) -> Call[a.Scores]:
    return _get("devices", device_id, "scores", limit=limit)


def device_distributions(device_id: str) -> Call[a.Distributions]:
    return _get("devices", device_id, "distributions")


def heatmap(*, by: str = "model", label: Sequence[str] = (), limit: int = 40) -> Call[dict[str, Any]]:
    return _get("fleet", "heatmap", by=by, label=list(label) or None, limit=limit)


def label_device(device_id: str, labels: Mapping[str, str], *, why: str = "") -> Call[a.Asked]:
    return Call("PATCH", _path("devices", device_id), body={"labels": dict(labels), "why": why})


def group_device(device_id: str, groups: Sequence[str], *, why: str = "") -> Call[a.Asked]:
    return Call("PATCH", _path("devices", device_id), body={"groups": list(groups), "why": why})


def register_device(device_id: str, *, labels: Mapping[str, str] | None = None, why: str = "") -> Call[a.Asked]:
    return _post("devices", device_id, "register", labels=dict(labels or {}), why=why)


def revoke_device(device_id: str, *, why: str = "") -> Call[a.Asked]:
    return _post("devices", device_id, "revoke", why=why)


# Alerts.


def alerts(
    *, state: str = "", severity: str = "", subject: str = "", limit: int = 100, cursor: str = ""
) -> Call[Page[a.Alert]]:
    return _get("alerts", state=state, severity=severity, subject=subject, limit=limit, cursor=cursor)


def alert(alert_id: str) -> Call[a.Alert]:
    return _get("alerts", alert_id)


def acknowledge(alert_id: str, *, why: str = "") -> Call[a.Asked]:
    return _post("alerts", alert_id, "acknowledge", why=why)


def silences() -> Call[dict[str, list[a.Silence]]]:
    return _get("silences")


def silence(matchers: Mapping[str, str], *, minutes: int, why: str = "") -> Call[a.Asked]:
    return _post("silences", matchers=dict(matchers), minutes=minutes, why=why)


def end_silence(silence_id: str, *, why: str = "") -> Call[a.Asked]:
    return _post("silences", silence_id, "end", why=why)


# Rollouts.


def rollouts(*, phase: str = "", model: str = "", limit: int = 100, cursor: str = "") -> Call[Page[a.Rollout]]:
    return _get("rollouts", phase=phase, model=model, limit=limit, cursor=cursor)


def rollout(rollout_id: str) -> Call[a.Rollout]:
    return _get("rollouts", rollout_id)


def rollout_devices(
    rollout_id: str, *, state: str = "", limit: int = 100, cursor: str = ""
) -> Call[Page[a.RolloutDevice]]:
    return _get("rollouts", rollout_id, "devices", state=state, limit=limit, cursor=cursor)


def foresee(plan: Mapping[str, Any]) -> Call[a.Foreseen]:
    return _post("rollouts", "foresee", plan=dict(plan))


def start_rollout(plan: Mapping[str, Any], *, why: str = "") -> Call[a.Asked]:
    return _post("rollouts", plan=dict(plan), why=why)


def pause(rollout_id: str, *, why: str = "") -> Call[a.Asked]:
    return _post("rollouts", rollout_id, "pause", why=why)


def resume(rollout_id: str, *, why: str = "") -> Call[a.Asked]:
    return _post("rollouts", rollout_id, "resume", why=why)


def promote(rollout_id: str, *, full: bool = False, why: str = "") -> Call[a.Asked]:
    return _post("rollouts", rollout_id, "promote", full=full, why=why)


def skip_bake(rollout_id: str, *, why: str = "") -> Call[a.Asked]:
    return _post("rollouts", rollout_id, "skip-bake", why=why)


def approve(rollout_id: str, *, why: str = "") -> Call[a.Asked]:
    return _post("rollouts", rollout_id, "approve", why=why)


def abort(rollout_id: str, *, rollback: bool = True, why: str = "") -> Call[a.Asked]:
    return _post("rollouts", rollout_id, "abort", rollback=rollback, why=why)


def cancel(rollout_id: str, *, why: str = "") -> Call[a.Asked]:
    return _post("rollouts", rollout_id, "cancel", why=why)


def retry(rollout_id: str, *, why: str = "") -> Call[a.Asked]:
    return _post("rollouts", rollout_id, "retry", why=why)


def lift(rollout_id: str, *, trait: str, why: str = "") -> Call[a.Asked]:
    return _post("rollouts", rollout_id, "lift", trait=trait, why=why)


# Models.


def models(*, limit: int = 100, cursor: str = "") -> Call[Page[a.Release]]:
    return _get("models", limit=limit, cursor=cursor)


def model(model_id: str) -> Call[a.Release]:
    return _get("models", model_id)


def compare(left: str, right: str) -> Call[a.Comparison]:
    return _get("models", "compare", a=left, b=right)


def promote_model(model_id: str, *, insist: bool = False, why: str = "") -> Call[a.Moved]:
    return _post("models", model_id, "promote", insist=insist, why=why)


def archive_model(model_id: str, *, insist: bool = False, why: str = "") -> Call[a.Moved]:
    return _post("models", model_id, "archive", insist=insist, why=why)


def trainings(*, state: str = "", limit: int = 100, cursor: str = "") -> Call[Page[a.Training]]:
    return _get("training", state=state, limit=limit, cursor=cursor)


def training(request_id: str) -> Call[a.Training]:
    return _get("training", request_id)


def train(model: str, *, pipeline: str, days: float, why: str, without: Sequence[str] = ()) -> Call[a.Asked]:
    return _post("training", model=model, pipeline=pipeline, days=days, why=why, without=list(without))


def approve_training(request_id: str, *, why: str = "") -> Call[a.Asked]:
    return _post("training", request_id, "approve", why=why)


def cancel_training(request_id: str, *, why: str = "") -> Call[a.Asked]:
    return _post("training", request_id, "cancel", why=why)


# Policies and backtests.


def policies() -> Call[a.Policies]:
    return _get("policies")


def policy(policy_id: str) -> Call[a.Policy]:
    return _get("policies", policy_id)


def check_policy(document: str) -> Call[dict[str, bool]]:
    return _post("policies", "check", document=document)


def issue_policy(
    policy_id: str, document: str, *, why: str = "", after_revision: int | None = None
) -> Call[dict[str, Any]]:
    """Issue a policy; with `after_revision` only if that is still the newest one (412 `changed-meanwhile`)."""
    if_match = "" if after_revision is None else f'"revision-{after_revision}"'
    return Call("PUT", _path("policies", policy_id), body={"document": document, "why": why}, if_match=if_match)


def backtests() -> Call[dict[str, list[a.Backtest]]]:
    return _get("backtests")


def start_backtest(policies: Mapping[str, str], *, hours: float, why: str = "") -> Call[a.Backtest]:
    return _post("backtests", policies=dict(policies), hours=hours, why=why)


def backtest(backtest_id: str) -> Call[a.Backtest]:
    return _get("backtests", backtest_id)


def cancel_backtest(backtest_id: str) -> Call[None]:
    return Call("DELETE", _path("backtests", backtest_id))


# Who did what, and who may.


def audit(
    *, subject: str = "", who: str = "", before_ms: int | None = None, limit: int = 100, cursor: str = ""
) -> Call[Page[a.AuditEntry]]:
    return _get("audit", subject=subject, who=who, before_ms=before_ms, limit=limit, cursor=cursor)


def session() -> Call[a.Session]:
    return _get("session")


def keys() -> Call[dict[str, list[a.Key]]]:
    return _get("keys")


def make_key(name: str, role: str) -> Call[a.KeyMade]:
    return _post("keys", name=name, role=role)


def invite(name: str, role: str) -> Call[dict[str, str]]:
    return _post("keys", "invitations", name=name, role=role)


def revoke_key(key_id: str) -> Call[None]:
    return Call("DELETE", _path("keys", key_id))
