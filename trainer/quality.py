"""How good a model is on data that it has not seen."""

from collections.abc import Mapping

import numpy as np

from schemas.manifest import ModelKind
from trainer.data.dataset import Bools, Dataset, Floats, Ints
from trainer.models.base import Predictions

__all__ = ["detection_quality", "forecast_quality", "measure_quality"]

_DAY_MS = 86_400_000


def measure_quality(kind: ModelKind, predictions: Predictions, holdout: Dataset) -> Mapping[str, float]:
    """Return the figures that are known: without labels there is no precision, only how often the model speaks up."""
    if not len(holdout):
        return {}
    if kind is ModelKind.FORECAST:
        return forecast_quality(predictions, holdout)
    return detection_quality(predictions, holdout)


def detection_quality(predictions: Predictions, holdout: Dataset) -> dict[str, float]:
    """Judge decisions by labels; vectors that settle after an anomaly are counted for neither side.

    `normal_kept` is the share of healthy vectors that are called so, `normal_precision` the share of vectors called
    normal that are; `anomaly_share` and the mean `confidence` are what a device may expect of the model; `delay_s` is
    the median time from an anomaly's first vector to the first one called so.
    """
    # Odd vectors that were kept for their oddness would make false alarms look frequent.
    judged = holdout.labelled & (holdout.anomalous | holdout.healthy & holdout.representative)
    decided, true = predictions.decision[judged], holdout.anomalous[judged]
    fair = holdout.representative if holdout.representative.any() else np.ones(len(holdout), dtype=bool)
    found = {
        "vectors": float(len(holdout)),
        "anomaly_share": float(predictions.decision[fair].mean()),
        "confidence": float(predictions.confidence[fair].mean()),
    }
    if not judged.any():
        return found
    hits, alarms, anomalies = (decided & true).sum(), decided.sum(), true.sum()
    found["accuracy"] = float((decided == true).mean())
    if (~true).any():
        found["normal_kept"] = float((~decided & ~true).sum() / (~true).sum())
        found["false_alarms_per_day"] = _false_alarms_per_day(predictions.decision, holdout)
    if (~decided).any():
        found["normal_precision"] = float((~decided & ~true).sum() / (~decided).sum())
    if anomalies:
        recall, precision = float(hits / anomalies), float(hits / alarms) if alarms else 0.0
        found |= {
            "recall": recall,
            "precision": precision,
            "f1": 2 * precision * recall / (precision + recall) if hits else 0.0,
        }
        found |= _detections(predictions.decision, holdout)
    return found


def forecast_quality(predictions: Predictions, holdout: Dataset) -> dict[str, float]:
    """Judge forecasts by what came true; `skill` is the part of the plain mean's squared error that is saved."""
    known = holdout.labelled
    if not known.any():
        return {"vectors": float(len(holdout))}
    truth, errors = holdout.label[known], predictions.score[known] - holdout.label[known]
    spread = float(((truth - truth.mean()) ** 2).mean())
    return {
        "vectors": float(len(holdout)),
        "mae": float(np.abs(errors).mean()),
        "rmse": float(np.sqrt((errors**2).mean())),
        "skill": 1 - float((errors**2).mean()) / spread if spread else 0.0,
        "confidence": float(predictions.confidence[known].mean()),
    }


def _false_alarms_per_day(decision: Bools, holdout: Dataset) -> float:
    """Return how often per device-day an alarm begins on healthy data, however long it lasts."""
    fair = holdout.healthy & holdout.representative
    wrong = decision & fair
    begins = wrong & ~np.concatenate(([False], wrong[:-1] & (np.diff(holdout.device) == 0)))
    step = np.diff(holdout.at_ms)
    same = np.diff(holdout.device) == 0
    watched_ms = float(np.median(step[same]) * fair.sum()) if same.any() else 0.0
    return float(begins.sum() / (watched_ms / _DAY_MS)) if watched_ms else 0.0


def _detections(decision: Bools, holdout: Dataset) -> dict[str, float]:
    delays = _delays_s(decision, holdout)
    seen = delays[np.isfinite(delays)]
    return {
        "events": float(len(delays)),
        "events_detected": float(len(seen) / len(delays)),
        **({"delay_s": float(np.median(seen))} if len(seen) else {}),
    }


def _delays_s(decision: Bools, holdout: Dataset) -> Floats:
    """Return when each event was noticed, in seconds from its start; infinite for never."""
    return np.array([_delay_s(event, decision, holdout) for event in _events(holdout)])


def _events(holdout: Dataset) -> list[Ints]:
    """Return runs of anomalous vectors of one device; pauses that the pipeline's look-back spans belong to them."""
    begins = np.flatnonzero(~holdout.troubled[:-1] | (np.diff(holdout.device) != 0)) + 1
    runs = np.split(np.arange(len(holdout)), begins)
    events = [run[holdout.anomalous[run]] for run in runs]
    return [event for event in events if len(event)]


def _delay_s(event: Ints, decision: Bools, holdout: Dataset) -> float:
    noticed = event[decision[event]]
    return float(holdout.at_ms[noticed[0]] - holdout.at_ms[event[0]]) / 1000.0 if len(noticed) else np.inf
