"""Records as gateways, operators and the registry send them to the controller of rollouts."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from schemas.drift_alert import AlertState, DriftAlert, Evidence, Severity
from schemas.drift_scores import DriftScores, Verdict
from schemas.fleet import Heartbeat, Slot, SlotState
from schemas.operators import OperatorRequest
from schemas.release import ModelRelease, ReleaseStage
from schemas.rollouts import Ack, AckPhase

__all__ = ["BOOT", "ack_of", "asked", "drift_alert", "drift_scores", "heartbeat", "release"]

BOOT = "00000000-0000-4000-8000-000000000000"


def heartbeat(device_id: str, model_id: str = "bearings/1", **changes: Any) -> Heartbeat:
    """A device that runs a proven model and has nothing else to tell."""
    facts = {
        "device_id": device_id,
        "boot_id": BOOT,
        "at_ms": 0,
        "agent_version": "1",
        "uptime_s": 1.0,
        "model_id": model_id,
        "slots": (Slot(name="A", state=SlotState.STABLE, model_id=model_id, active=True),),
        "pipelines": ("vibration/1",),
        "labels": {},
        "revision": 0,
        "spool_records": 0,
        "spool_bytes": 0,
        "spool_dropped": 0,
        "cpu_share": 0.1,
        "memory_bytes": 1,
        "disk_free_bytes": 1,
    }
    return Heartbeat(**{**facts, **changes})


def release(model_id: str, stage: ReleaseStage = ReleaseStage.STAGING, **changes: Any) -> ModelRelease:
    model, version = model_id.split("/")
    facts = {
        "model": model,
        "version": version,
        "stage": stage,
        "pipeline": "vibration/1",
        "grid_id": "g",
        "baseline_id": "b",
        "bundle_sha256": "0" * 64,
        "bundle_bytes": 10,
        "bundle_url": f"https://models.example/{version}",
        "manifest": "{}",
        "created_ms": 1_000,
        "created_by": "test",
    }
    return ModelRelease(**{**facts, **changes})


def asked(subject: str, action: str, arguments: Mapping[str, Any] | None = None, **changes: Any) -> OperatorRequest:
    """What somebody asks for; a plan among the arguments goes as the JSON that it is sent as."""
    told = {name: value if isinstance(value, str) else json.dumps(value) for name, value in (arguments or {}).items()}
    facts = {"request_id": str(uuid.uuid4()), "who": "eve", "why": "because", "at_ms": 1_000}
    return OperatorRequest(subject=subject, action=action, arguments=told, **{**facts, **changes})


def ack_of(device_id: str, revision: int, phase: str, rollout_id: str = "r1", **changes: Any) -> Ack:
    facts = {"model_id": "", "reason": "", "at_ms": 0, "boot_id": BOOT, "seq": 0}
    return Ack(
        device_id=device_id, revision=revision, rollout_id=rollout_id, phase=AckPhase(phase), **{**facts, **changes}
    )


def drift_alert(device_id: str, model_id: str, state: AlertState) -> DriftAlert:
    return DriftAlert(
        alert_id=f"{device_id}/{model_id}/temperature",
        kind="mean_shift",
        subject=device_id,
        subject_is_cohort=False,
        feature="temperature",
        model_id=model_id,
        state=state,
        severity=Severity.HIGH,
        opened_ms=1_000,
        changed_ms=1_000,
        summary="it drifts",
        evidence=Evidence(scores={}, samples=600, reference="b", horizon_ms=900_000),
        policy_id="p",
        policy_revision=1,
    )


def drift_scores(device_id: str, model_id: str) -> DriftScores:
    return DriftScores(
        device_id=device_id,
        model_id=model_id,
        grid_id="g",
        baseline_id="b",
        policy_id="p",
        policy_revision=1,
        boot_id=BOOT,
        seq=0,
        window_end_ms=60_000,
        horizon_ms=900_000,
        samples=600,
        verdict=Verdict.STABLE,
        drifted=0,
        complete=True,
        features=(),
    )
