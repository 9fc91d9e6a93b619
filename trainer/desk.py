"""The desk: the one place where alerts, labels and accuracy become training requests.

It keeps these rules:

* only what lasts counts: an alert must have been firing for a while, accuracy must have been low for a while;
* only drift of inputs is a new world: a failed rollout or a silent device is none;
* a sensor's fault is no new world either: it asks for a repair, and the device is left out;
* one device's drift is that device's; several devices of one model, or a cohort, are the world's;
* a label is new if its truth became known after the model was asked for last, in whatever order the two are read;
* a model is asked for once, and then not again before its cool-down is over; the request's id follows from what caused
  it, so a desk that starts over asks for the same thing, not for another.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import median_low

from schemas.drift_alert import AlertState, DriftAlert
from schemas.drift_kind import Concern, concern_of
from schemas.training import TrainingCause, TrainingRequest

__all__ = ["Accuracy", "Desk", "DeskPolicy", "file_requests", "note_alert", "note_label", "note_request"]

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskPolicy:
    """What is enough to ask for a training."""

    sustained_ms: int = 30 * 60_000
    # Devices of one model that must drift at once; a cohort's alert is enough by itself.
    devices: int = 3
    labels: int = 1_000
    # Accuracy this far below what the release promised, over this many labelled predictions.
    accuracy_drop: float = 0.1
    accuracy_window: int = 200
    cool_down_ms: int = DAY_MS
    data_ms: int = 7 * DAY_MS
    needs_approval: bool = False


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How right a model was lately, over its labelled predictions, and since when that has been too low."""

    right: float = 0.0
    seen: int = 0
    low_since_ms: int = 0


@dataclass(frozen=True, slots=True)
class Desk:
    """What the desk knows; a value, rebuilt from topics."""

    alerts: Mapping[str, DriftAlert] = field(default_factory=dict)
    # When each of them was first told of, as far as the topic still knows: a device's own clock may be hours off.
    told_ms: Mapping[str, int] = field(default_factory=dict)
    # New labels per model since it was trained last.
    labels: Mapping[str, int] = field(default_factory=dict)
    accuracy: Mapping[str, Accuracy] = field(default_factory=dict)
    # When each model was asked for last, by whomever.
    asked_ms: Mapping[str, int] = field(default_factory=dict)


def note_request(desk: Desk, request: TrainingRequest) -> Desk:
    """Return the desk that knows that a model was asked for; what was counted before then counts no more."""
    if request.requested_ms <= desk.asked_ms.get(request.model, 0):
        return desk
    return replace(
        desk,
        asked_ms={**desk.asked_ms, request.model: request.requested_ms},
        labels={**desk.labels, request.model: 0},
        accuracy={**desk.accuracy, request.model: Accuracy()},
    )


def note_alert(desk: Desk, alert: DriftAlert, *, told_ms: int) -> Desk:
    """Return the desk that knows how the alert now stands; `told_ms` is the broker's time of the news."""
    alerts, told = dict(desk.alerts), dict(desk.told_ms)
    if alert.state in (AlertState.FIRING, AlertState.ACKNOWLEDGED):
        alerts[alert.alert_id] = alert
        told.setdefault(alert.alert_id, told_ms)
    else:
        alerts.pop(alert.alert_id, None)
        told.pop(alert.alert_id, None)
    return replace(desk, alerts=alerts, told_ms=told)


def note_label(desk: Desk, model: str, *, right: bool, promised: float | None, policy: DeskPolicy, at_ms: int) -> Desk:
    """Return the desk after a prediction of the model was labelled; `promised` is the release's own accuracy."""
    if at_ms <= desk.asked_ms.get(model, -1):
        return desk
    before = desk.accuracy.get(model, Accuracy())
    # An exponential window: the newest `accuracy_window` labels carry most of the weight, and nothing is kept of them.
    seen = before.seen + 1
    if seen > policy.accuracy_window:
        kept = before.right * (1 - 1 / policy.accuracy_window)
        accuracy = Accuracy(kept + right, policy.accuracy_window, before.low_since_ms)
    else:
        accuracy = Accuracy(before.right + right, seen, before.low_since_ms)
    low = (
        promised is not None
        and accuracy.seen >= policy.accuracy_window
        and accuracy.right / accuracy.seen < promised - policy.accuracy_drop
    )
    accuracy = replace(accuracy, low_since_ms=(accuracy.low_since_ms or at_ms) if low else 0)
    return replace(
        desk,
        labels={**desk.labels, model: desk.labels.get(model, 0) + 1},
        accuracy={**desk.accuracy, model: accuracy},
    )


def file_requests(
    desk: Desk, policy: DeskPolicy, pipelines: Mapping[str, str], *, now_ms: int
) -> tuple[Desk, tuple[TrainingRequest, ...]]:
    """Return the desk and what it now asks for; `pipelines` says what each known model takes."""
    requests = []
    for model, pipeline in sorted(pipelines.items()):
        asked_ms = desk.asked_ms.get(model)
        if asked_ms is not None and now_ms - asked_ms < policy.cool_down_ms:
            continue
        cause = (
            _drifted(desk, policy, model, now_ms)
            or _wrong(desk, policy, model, now_ms)
            or _labelled(desk, policy, model)
        )
        if cause is None:
            continue
        requests.append(_request(desk, policy, model, pipeline, cause, now_ms))
        desk = replace(
            desk,
            asked_ms={**desk.asked_ms, model: now_ms},
            labels={**desk.labels, model: 0},
            accuracy={**desk.accuracy, model: Accuracy()},
        )
    return desk, tuple(requests)


@dataclass(frozen=True, slots=True)
class _Cause:
    kind: TrainingCause
    reason: str
    # What the request's id follows from.
    trigger: str
    alerts: tuple[str, ...] = ()
    # Since when the world is another, as far as that is known.
    changed_ms: int = 0


def _drifted(desk: Desk, policy: DeskPolicy, model: str, now_ms: int) -> _Cause | None:
    lasting = [
        alert
        for alert in desk.alerts.values()
        if _model_of(alert) == model
        and concern_of(alert.kind) is Concern.WORLD
        and now_ms - desk.told_ms[alert.alert_id] >= policy.sustained_ms
    ]
    cohorts = [alert for alert in lasting if alert.subject_is_cohort]
    devices = {alert.subject for alert in lasting if not alert.subject_is_cohort}
    if not cohorts and len(devices) < policy.devices:
        return None
    lasting.sort(key=lambda alert: (alert.opened_ms, alert.alert_id))
    who = f"cohort {cohorts[0].subject}" if cohorts else f"{len(devices)} devices"
    features = sorted({alert.feature or "all features" for alert in lasting})
    return _Cause(
        TrainingCause.DRIFT,
        f"{who} drifted for {policy.sustained_ms // 60_000} min or longer in {', '.join(features)}",
        lasting[0].alert_id,
        tuple(alert.alert_id for alert in lasting),
        # Neither the first one to see it, which may be an old story, nor the last.
        median_low(alert.opened_ms for alert in lasting),
    )


def _labelled(desk: Desk, policy: DeskPolicy, model: str) -> _Cause | None:
    labels = desk.labels.get(model, 0)
    if labels < policy.labels:
        return None
    return _Cause(TrainingCause.LABELS, f"{labels} new labelled predictions", f"labels {desk.asked_ms.get(model, 0)}")


def _wrong(desk: Desk, policy: DeskPolicy, model: str, now_ms: int) -> _Cause | None:
    accuracy = desk.accuracy.get(model, Accuracy())
    if not accuracy.low_since_ms or now_ms - accuracy.low_since_ms < policy.sustained_ms:
        return None
    share = accuracy.right / accuracy.seen
    return _Cause(
        TrainingCause.ACCURACY,
        f"accuracy is {share:.0%} over the last {accuracy.seen} labels",
        f"accuracy {accuracy.low_since_ms}",
    )


def _request(desk: Desk, policy: DeskPolicy, model: str, pipeline: str, cause: _Cause, now_ms: int) -> TrainingRequest:
    name = hashlib.sha256(f"{model}\n{cause.kind.value}\n{cause.trigger}".encode()).hexdigest()[:12]
    return TrainingRequest(
        request_id=f"{model}-{name}",
        model=model,
        pipeline=pipeline,
        cause=cause.kind,
        reason=cause.reason,
        requested_ms=now_ms,
        requested_by="desk",
        data_from_ms=max(now_ms - policy.data_ms, 0),
        data_to_ms=now_ms,
        alerts=cause.alerts,
        excluded_devices=_faulty(desk, model),
        needs_approval=policy.needs_approval,
        changed_ms=cause.changed_ms,
    )


def _faulty(desk: Desk, model: str) -> tuple[str, ...]:
    return tuple(
        sorted(
            {
                alert.subject
                for alert in desk.alerts.values()
                if _model_of(alert) == model
                and concern_of(alert.kind) is Concern.SENSOR
                and not alert.subject_is_cohort
            }
        )
    )


def _model_of(alert: DriftAlert) -> str:
    return alert.model_id.partition("/")[0]
