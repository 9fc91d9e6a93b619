"""A made-up fleet for tests of the console: its records, small and whole."""

import time
import uuid

import numpy as np

from schemas.canonical import with_content_id
from schemas.drift_alert import AlertState, Binned, DriftAlert, Evidence, Severity
from schemas.drift_scores import DriftScores, FeatureScores, Verdict
from schemas.feature_stats import FeatureStats
from schemas.fleet import Device, DeviceState
from schemas.grid import Baseline, FeatureBaseline, FeatureGrid, FeatureKind, Grid
from schemas.operators import AuditEntry
from schemas.release import ModelRelease, ReleaseStage
from schemas.rollouts import GateResult, GateVerdict, RolloutPhase, RolloutStatus
from schemas.training import TrainingCause, TrainingRequest

FEATURES = ("temperature", "pressure", "vibration")
GRID = with_content_id(
    Grid(
        grid_id="",
        pipeline="machine/1",
        bins=4,
        features=tuple(FeatureGrid(name=name, kind=FeatureKind.NUMERIC, edges=(10.0, 20.0, 30.0)) for name in FEATURES),
    )
)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def device(
    device_id: str,
    *,
    model_id: str = "bearings/1",
    state: DeviceState = DeviceState.ONLINE,
    labels: dict[str, str] | None = None,
) -> Device:
    return Device(
        device_id=device_id,
        state=state,
        labels=labels or {"site": "north"},
        model_id=model_id,
        revision=1,
        registered_ms=now_ms() - 1_000_000,
        last_seen_ms=now_ms(),
    )


def scores(device_id: str, psi: dict[str, float], *, at_ms: int | None = None, baseline_id: str = "") -> DriftScores:
    drifted = [name for name, value in psi.items() if value >= 0.2]
    return DriftScores(
        device_id=device_id,
        model_id="bearings/1",
        grid_id=GRID.grid_id,
        baseline_id=baseline_id,
        policy_id="default",
        policy_revision=1,
        boot_id="7b7a2c4e-5d0f-4b52-9d1c-0c8a7a9d1e11",
        seq=1,
        window_end_ms=at_ms or now_ms(),
        horizon_ms=3_600_000,
        samples=400,
        verdict=Verdict.DRIFT if drifted else Verdict.STABLE,
        drifted=len(drifted),
        complete=True,
        features=tuple(
            FeatureScores(
                feature=name,
                verdict=Verdict.DRIFT if value >= 0.2 else Verdict.STABLE,
                scores={"psi": value, "ks": value / 2},
            )
            for name, value in sorted(psi.items(), key=lambda pair: -pair[1])
        ),
    )


def baseline(model_id: str = "bearings/1") -> Baseline:
    return with_content_id(
        Baseline(
            baseline_id="",
            model_id=model_id,
            grid_id=GRID.grid_id,
            pipeline=GRID.pipeline,
            samples=400,
            features=tuple(
                FeatureBaseline(
                    name=name, counts=(100, 100, 100, 100), missing=0, out_of_range=0, mean=20.0, variance=25.0,
                    min=1.0, max=40.0,
                )
                for name in FEATURES
            ),
        )
    )  # fmt: skip


def window(device_id: str, counts: list[int], *, end_ms: int | None = None) -> FeatureStats:
    end = end_ms or now_ms()
    samples, many = sum(counts), len(FEATURES)
    values = np.full(many, 21.5, "<f4").tobytes()
    return FeatureStats(
        device_id=device_id,
        model_id="bearings/1",
        pipeline=GRID.pipeline,
        grid_id=GRID.grid_id,
        boot_id="7b7a2c4e-5d0f-4b52-9d1c-0c8a7a9d1e11",
        seq=1,
        window_start_ms=end - 60_000,
        window_end_ms=end,
        samples=samples,
        counts=np.tile(np.array(counts, "<u4"), (many, 1)).tobytes(),
        missing=np.zeros(many, "<u4").tobytes(),
        out_of_range=np.zeros(many, "<u4").tobytes(),
        mean=values,
        m2=np.zeros(many, "<f4").tobytes(),
        min=values,
        max=values,
    )


def alert(
    subject: str,
    *,
    state: AlertState = AlertState.FIRING,
    severity: Severity = Severity.HIGH,
    feature: str = "temperature",
    labels: dict[str, str] | None = None,
    opened_ms: int | None = None,
    escalated: bool = False,
    silenced: bool = False,
) -> DriftAlert:
    opened = opened_ms or now_ms()
    return DriftAlert(
        alert_id=f"{subject}/{feature}/mean_shift/{opened}",
        kind="mean_shift",
        subject=subject,
        subject_is_cohort=False,
        feature=feature,
        model_id="bearings/1",
        state=state,
        severity=severity,
        opened_ms=opened,
        changed_ms=opened,
        summary=f"{severity.value} mean shift in {feature} of {subject} (psi 0.41)",
        evidence=Evidence(
            scores={"psi": 0.41, "ks": 0.3},
            samples=400,
            reference="b1",
            horizon_ms=3_600_000,
            top_bins=(Binned(bin="> 30", reference=0.1, live=0.5),),
        ),
        policy_id="default",
        policy_revision=1,
        labels=labels or {"site": "north"},
        escalated=escalated,
        silenced=silenced,
    )


def status(
    rollout_id: str,
    *,
    phase: RolloutPhase = RolloutPhase.BAKING,
    changed_ms: int | None = None,
    devices: dict[str, int] | None = None,
) -> RolloutStatus:
    return RolloutStatus(
        rollout_id=rollout_id,
        model_id="bearings/2",
        phase=phase,
        stage=1,
        stages=3,
        reason="bakes for 600 s",
        changed_ms=changed_ms or now_ms(),
        devices={"succeeded": 5, "waiting": 15} if devices is None else devices,
        gates=(
            GateResult(
                gate="drift", verdict=GateVerdict.PASS, reason="no drift in the canaries", evidence={"canaries": 5.0}
            ),
        ),
        digested={"rollouts.acks/0": 12},
        state='{"secret": "machine"}',
    )


def release(
    version: str,
    *,
    model: str = "bearings",
    metrics: dict[str, float] | None = None,
    stage: ReleaseStage = ReleaseStage.PRODUCTION,
) -> ModelRelease:
    return ModelRelease(
        model=model,
        version=version,
        stage=stage,
        pipeline="machine/1",
        grid_id=GRID.grid_id,
        baseline_id="b1",
        bundle_sha256="0" * 64,
        bundle_bytes=46_744,
        bundle_url="http://127.0.0.1:1/x.bundle",
        manifest="{}",
        created_ms=now_ms(),
        created_by="trainer",
        metrics={"auc": 0.93} if metrics is None else metrics,
    )


def entry(subject: str, action: str, *, who: str = "rollouts") -> AuditEntry:
    return AuditEntry(subject=subject, action=action, who=who, why="because", at_ms=now_ms())


def training(request_id: str, *, model: str = "bearings", needs_approval: bool = False) -> TrainingRequest:
    return TrainingRequest(
        request_id=request_id,
        model=model,
        pipeline="machine/1",
        cause=TrainingCause.DRIFT,
        reason="temperature drifts in 3 devices",
        requested_ms=now_ms(),
        requested_by="desk",
        data_from_ms=now_ms() - 86_400_000,
        data_to_ms=now_ms(),
        needs_approval=needs_approval,
    )


def training_note(request_id: str, action: str, *, why: str, attempt: int = 1) -> AuditEntry:
    """What a trainer says of a request."""
    evidence = {"model": "bearings", "attempt": str(attempt)}
    return AuditEntry(
        subject=f"training/{request_id}", action=action, who="trainer", why=why, at_ms=now_ms(), evidence=evidence
    )


def unique(beginning: str) -> str:
    return f"{beginning}-{uuid.uuid4().hex[:8]}"
