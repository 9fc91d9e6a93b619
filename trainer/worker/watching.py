"""The desk at work: follows alerts, samples and labels, and files what the desk asks for."""

import uuid
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from schemas import feeds
from schemas.cluster import Cluster
from schemas.drift_alert import AlertState, DriftAlert
from schemas.release import ModelRelease, ReleaseStage
from schemas.sample import Label, Sample
from schemas.tracing import Context, context_in
from schemas.training import TrainingRequest
from trainer.desk import Desk, DeskPolicy, file_requests, note_alert, note_label, note_request

__all__ = ["DeskWatch"]

# Predictions that wait for their label; the oldest are forgotten first, and their labels then count for nothing.
_WAITING = 200_000
_EVERY_MS = 5_000


class DeskWatch:
    """What the desk knows of the topics; alerts are state, labels are counted from the look-back on."""

    def __init__(self, cluster: Cluster, policy: DeskPolicy, *, now_ms: int) -> None:
        self._policy = policy
        self._desk = Desk()
        self._waiting: OrderedDict[str, tuple[str, bool]] = OrderedDict()
        self._asked_ms = now_ms
        with ExitStack() as opening:
            since = max(now_ms - policy.data_ms, 0)
            self._feeds = [
                opening.enter_context(feeds.follow(cluster, "training.requests", from_ms=0)),
                opening.enter_context(feeds.read(cluster, "drift.alerts")),
                opening.enter_context(feeds.follow(cluster, "telemetry.samples", from_ms=since)),
                opening.enter_context(feeds.follow(cluster, "telemetry.labels", from_ms=since)),
            ]
            self._resources = opening.pop_all()
        self.labels_without_sample = 0
        self._alert_traces: dict[str, Context] = {}

    def close(self) -> None:
        self._resources.close()

    def due(self, releases: Mapping[str, ModelRelease], *, now_ms: int) -> tuple[TrainingRequest, ...]:
        """Take in what is new, and return what is to be asked for; nothing before all has been read once."""
        for feed in self._feeds:
            for event in feed.poll(0):
                if isinstance(event, feeds.Changed):
                    self._take_in(event, releases)
                    self._keep_trace(event)
            if not self._feeds[0].current:
                # Requests first: one that is read after the labels that followed it would count them as old.
                return ()
        if now_ms - self._asked_ms < _EVERY_MS or not all(feed.current for feed in self._feeds):
            return ()
        self._asked_ms = now_ms
        pipelines = {
            release.model: release.pipeline for release in releases.values() if release.stage is ReleaseStage.PRODUCTION
        }
        self._desk, requests = file_requests(self._desk, self._policy, pipelines, now_ms=now_ms)
        return requests

    def traces_of(self, request: TrainingRequest) -> list[Context]:
        """Return the traces of the alerts behind a request."""
        return [self._alert_traces[one] for one in request.alerts if one in self._alert_traces]

    def _keep_trace(self, event: feeds.Changed[Any]) -> None:
        match event.value:
            case DriftAlert(alert_id=alert_id, state=AlertState.RESOLVED):
                self._alert_traces.pop(alert_id, None)
            case DriftAlert(alert_id=alert_id) if trace := context_in(event.headers):
                self._alert_traces[alert_id] = trace

    def _take_in(self, event: feeds.Changed[Any], releases: Mapping[str, ModelRelease]) -> None:
        match record := event.value:
            case TrainingRequest():
                self._desk = note_request(self._desk, record)
            case DriftAlert():
                self._desk = note_alert(self._desk, record, told_ms=event.at_ms)
            case Sample():
                self._waiting[_key(record.prediction_id)] = (record.model_id, record.anomaly)
                if len(self._waiting) > _WAITING:
                    self._waiting.popitem(last=False)
            case Label():
                self._label(record, releases)

    def _label(self, label: Label, releases: Mapping[str, ModelRelease]) -> None:
        found = self._waiting.pop(_key(label.prediction_id), None)
        if found is None:
            self.labels_without_sample += 1
            return
        model_id, anomaly = found
        release = releases.get(model_id)
        self._desk = note_label(
            self._desk,
            model_id.partition("/")[0],
            right=anomaly == (label.value == 1),
            promised=None if release is None else release.metrics.get("accuracy"),
            policy=self._policy,
            at_ms=label.at_ms,
        )


def _key(prediction_id: str) -> str:
    return str(uuid.UUID(prediction_id))
