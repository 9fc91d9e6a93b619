"""The desk at work, over a real Kafka: drift becomes a request, and the request a release."""

from dataclasses import replace

from schemas.drift_alert import AlertState, DriftAlert, Evidence, Severity
from schemas.release import ReleaseStage
from schemas.training import TrainingCause


def alert(cohort: str, model: str) -> DriftAlert:
    return DriftAlert(
        alert_id=f"{cohort}/temperature/mean_shift/0",
        kind="mean_shift",
        subject=cohort,
        subject_is_cohort=True,
        feature="temperature",
        model_id=f"{model}/1",
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
    with_data.config = replace(with_data.config, promote_to="production", cool_down_s=0, desk_sustained_s=1)
    north, south = with_data.own("region=north"), with_data.own("region=south")
    with with_data.working():
        # Asked for long ago: the desk has rested since.
        with_data.ask("r1", requested_ms=1_790_000_000_000)
        with_data.wait_for("r1", "finished")
        model = with_data.own("bearing")
        with_data.send("drift.alerts", alert(north, model), alert(south, model))
        (asked,) = with_data.wait_for_requests(by="desk")
        with_data.wait_for(asked.request_id, "failed", "finished")

    assert with_data.releases()["bearing/1"].stage is ReleaseStage.PRODUCTION
    assert asked.cause is TrainingCause.DRIFT
    assert with_data.wait_for_requests(by="desk") == [asked]
