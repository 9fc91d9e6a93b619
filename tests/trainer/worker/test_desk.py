"""The desk at work, over a real Kafka: drift becomes a request, and the request a release."""

from dataclasses import replace

from schemas.drift_alert import AlertState, DriftAlert, Evidence, Severity
from schemas.release import ReleaseStage
from schemas.training import TrainingCause


def alert(cluster_name: str) -> DriftAlert:
    return DriftAlert(
        alert_id=f"{cluster_name}/temperature/mean_shift/0",
        kind="mean_shift",
        subject=cluster_name,
        subject_is_cohort=True,
        feature="temperature",
        model_id="bearing/1",
        state=AlertState.FIRING,
        severity=Severity.HIGH,
        opened_ms=0,
        changed_ms=0,
        summary="warmer",
        evidence=Evidence(scores={}, samples=1, reference="b", horizon_ms=1),
        policy_id="p",
        policy_revision=1,
    )


def test_a_cohorts_drift_becomes_one_request(with_data):
    with_data.config = replace(with_data.config, promote_to="production", cool_down_s=0)
    with with_data.working():
        # Asked for long ago: the desk has rested since.
        with_data.ask("r1", requested_ms=1_790_000_000_000)
        with_data.wait_for("r1", "finished")
        with_data.send("drift.alerts", alert("region=north"), alert("region=south"))
        asked = with_data.wait_for_request("desk")
        with_data.wait_for(asked.request_id, "failed", "finished")

    assert with_data.releases()["bearing/1"].stage is ReleaseStage.PRODUCTION
    assert asked.cause is TrainingCause.DRIFT
    assert len([one for one in with_data.requests() if one.requested_by == "desk"]) == 1
