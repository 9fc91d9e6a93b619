"""What the API answers, as types; the console's OpenAPI page tells what each field means."""

from typing import Any, NotRequired, TypedDict

__all__ = [
    "Alert",
    "Asked",
    "AuditEntry",
    "Backtest",
    "Comparison",
    "DeviceRow",
    "Distributions",
    "Foreseen",
    "Key",
    "KeyMade",
    "Moved",
    "Policies",
    "Policy",
    "Release",
    "Rollout",
    "RolloutDevice",
    "Scores",
    "Session",
    "Silence",
    "Stats",
    "Training",
]


class Asked(TypedDict):
    request_id: str
    state: str
    action: NotRequired[str]
    why: NotRequired[str]
    who: NotRequired[str]


class DeviceRow(TypedDict):
    device_id: str
    state: str
    model_id: str
    labels: dict[str, str]
    groups: list[str]
    last_seen_ms: int
    safe_mode: bool
    verdict: str
    scored_ms: int
    drifting: list[str]
    worst_psi: float
    psi: NotRequired[dict[str, float | None]]


class Stats(TypedDict):
    devices: int
    by_state: dict[str, int]
    by_verdict: dict[str, int]
    by_model: dict[str, int]
    safe_mode: int
    alerts: dict[str, int]
    alerts_by_state: dict[str, int]
    rollouts: dict[str, int]
    models: int


class Scores(TypedDict):
    latest: dict[str, Any] | None
    points: list[dict[str, Any]]


class Distribution(TypedDict):
    name: str
    bins: list[str]
    live: list[float] | None
    reference: list[float] | None


class Distributions(TypedDict):
    window_end_ms: int
    samples: int
    baseline_id: str
    features: list[Distribution]


class Alert(TypedDict):
    alert_id: str
    kind: str
    subject: str
    subject_is_cohort: bool
    feature: str
    model_id: str
    state: str
    severity: str
    opened_ms: int
    changed_ms: int
    # When it was last told of; the two above are by the clocks of devices.
    told_ms: int
    summary: str
    evidence: dict[str, Any]
    policy_id: str
    policy_revision: int
    members: list[str]
    escalated: bool
    silenced: bool
    by: str
    labels: dict[str, str]


class Silence(TypedDict):
    silence_id: str
    who: str
    why: str
    matchers: dict[str, str]
    until_ms: int


class Rollout(TypedDict):
    rollout_id: str
    model_id: str
    phase: str
    stage: int
    stages: int
    reason: str
    changed_ms: int
    devices: dict[str, int]
    gates: list[dict[str, Any]]
    plan: NotRequired[dict[str, Any] | None]


class RolloutDevice(TypedDict):
    rollout_id: str
    device_id: str
    state: str
    stage: int
    revision: int
    attempts: int
    previous_model_id: str
    reason: str
    changed_ms: int


class Foreseen(TypedDict):
    rollout_id: str
    document: str
    stages: list[dict[str, Any]]


class Release(TypedDict):
    model: str
    version: str
    stage: str
    pipeline: str
    baseline_id: str
    created_ms: int
    created_by: str
    # The training request that it answers; empty when a person trained it.
    request_id: str
    metrics: dict[str, float | None]


class Comparison(TypedDict):
    a: Release
    b: Release
    metrics: list[dict[str, Any]]
    fleet: dict[str, Any]


class Moved(TypedDict):
    # By model_id: the stage of each release that this moved.
    stages: dict[str, str]


class Training(TypedDict):
    request_id: str
    model: str
    pipeline: str
    cause: str
    reason: str
    requested_ms: int
    requested_by: str
    # "awaiting_approval", "waiting", "running", "cancelling";
    # at its end "finished", "failed", "cancelled" or "superseded".
    state: str
    news: str
    changed_ms: int
    attempt: int


class Policy(TypedDict):
    policy_id: str
    revision: int
    document: str
    issued_ms: int
    issued_by: str
    withdrawn: bool


class Policies(TypedDict):
    items: list[Policy]
    can_change: bool
    can_backtest: bool


class Backtest(TypedDict):
    backtest_id: str
    state: str
    progress: NotRequired[float]
    who: NotRequired[str]
    error: NotRequired[str]


class AuditEntry(TypedDict):
    id: str
    subject: str
    action: str
    who: str
    why: str
    at_ms: int
    evidence: dict[str, str]


class Session(TypedDict):
    name: str
    role: str
    by: str


class Key(TypedDict):
    key_id: str
    name: str
    role: str
    created_ms: int
    created_by: str
    revoked_ms: int | None


class KeyMade(TypedDict):
    key_id: str
    key: str
