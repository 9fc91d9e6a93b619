"""How a model fares on a device, apart from what its inputs look like."""

from typing import Annotated

from schemas.fields import Count, Float32, Millis, Total, Uuid
from schemas.record import record

__all__ = ["ModelHealth"]


@record(namespace="telemetry")
class ModelHealth:
    """How one model fared over one window, as seen by the gateway that runs it."""

    device_id: Annotated[str, "The device; equals the record's key."]
    model_id: Annotated[str, "The model, as name/version."]
    boot_id: Annotated[Uuid, "One life of the gateway's counter `seq`."]
    seq: Annotated[Total, "Counts a device's health windows within a boot_id, from 0."]
    window_start_ms: Annotated[Millis, "Start of the window, device clock, inclusive."]
    window_end_ms: Annotated[Millis, "End of the window, device clock, exclusive."]
    inferences: Annotated[Total, "Decisions made, failed ones not counted."]
    anomalies: Annotated[Total, "Decisions that said anomaly; at most `inferences`."]
    errors: Annotated[Total, "Inferences that failed."]
    score_mean: Annotated[Float32, "Mean anomaly score; NaN without inferences."]
    score_m2: Annotated[Float32, "Sum of squared differences of the score from its mean."]
    confidence_mean: Annotated[Float32, "Mean confidence of the decisions, 0 to 1; NaN without inferences."]
    latency_p50_ms: Annotated[Float32, "Median time of one inference, milliseconds; NaN without inferences."]
    latency_p99_ms: Annotated[Float32, "99th percentile of the time of one inference, milliseconds."]
    cpu_share: Annotated[Float32, "The gateway's use of one core over the window; 1 is one core; NaN if unknown."]
    memory_bytes: Annotated[Total, "Resident memory of the gateway at the window's end."]
    slot: Annotated[str, "Slot that served: A or B; empty in safe mode."] = ""
    trial: Annotated[bool, "The model was still on trial: baking, or in the shadow of the active one."] = False
    forecasts: Annotated[Count, "Forecasts whose reading arrived in this window; 0 for other models."] = 0
    forecast_abs_error: Annotated[Float32, "Sum of the absolute errors of those forecasts, the target's unit."] = 0.0
    forecast_sq_error: Annotated[Float32, "Sum of the squared errors of those forecasts."] = 0.0
