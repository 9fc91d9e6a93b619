"""Trainings told to an MLflow server, over its REST API: experiment, run, artifacts, registered model.

Nothing of ours needs it: a server that is away, or says no, fails the tracking and never the training.
"""

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer.errors import TrainerError
from trainer.release import Trained, metrics_of
from trainer.report.page import training_page

__all__ = ["Tracking", "TrackingError"]

_TIMEOUT_S = 30.0
# The server takes at most so many of each in one request.
_BATCH = 100


class TrackingError(TrainerError):
    """The tracking server did not take something."""


@dataclass(frozen=True, slots=True)
class Tracking:
    """An MLflow server; `token`, or else `user` and `password`, if it wants to know who asks."""

    uri: str
    token: str = ""
    user: str = ""
    password: str = ""

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.uri)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise TrackingError(f"the tracking URI is {self.uri!r}; wanted http://… or https://…")

    @classmethod
    def of(cls, uri: str, environ: Mapping[str, str]) -> "Tracking":
        """Take MLflow's own variables for who asks."""
        told = (environ.get(f"MLFLOW_TRACKING_{name}", "") for name in ("TOKEN", "USERNAME", "PASSWORD"))
        return cls(uri.rstrip("/"), *told)

    def track(self, trained: Trained, *, at_ms: int, request_id: str = "") -> str:
        """Tell of a training, and return where a person finds its run."""
        experiment = self._experiment(trained.order.model)
        run = self._call(
            "runs/create",
            {
                "experiment_id": experiment,
                "run_name": trained.order.model_id,
                "start_time": at_ms,
                "tags": _pairs(_tags(trained, request_id)),
            },
        )["run"]["info"]
        run_id = str(run["run_id"])
        try:
            self._fill(trained, run_id, at_ms)
        except TrackingError:
            self._call("runs/update", {"run_id": run_id, "status": "FAILED", "end_time": at_ms})
            raise
        self._call("runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": at_ms})
        return f"{self.uri}/#/experiments/{experiment}/runs/{run_id}"

    def _fill(self, trained: Trained, run_id: str, at_ms: int) -> None:
        metrics = [
            {"key": name, "value": value, "timestamp": at_ms, "step": 0} for name, value in metrics_of(trained).items()
        ]
        for start in range(0, len(metrics), _BATCH):
            self._call("runs/log-batch", {"run_id": run_id, "metrics": metrics[start : start + _BATCH]})
        self._call("runs/log-batch", {"run_id": run_id, "params": _pairs(_params(trained))})
        artifacts = self._call("runs/get", {"run_id": run_id}, method="GET")["run"]["info"]["artifact_uri"]
        for name, content in (
            (f"bundle/{trained.bundle.sha256}.bundle", trained.content),
            ("bundle/model.onnx", trained.bundle.model),
            ("report.html", training_page(trained).encode()),
        ):
            self._upload(str(artifacts), name, content)
        self._register(trained, run_id, str(artifacts))

    def _experiment(self, name: str) -> str:
        try:
            found = self._call("experiments/get-by-name", {"experiment_name": name}, method="GET")
            return str(found["experiment"]["experiment_id"])
        except _MissingError:
            return str(self._call("experiments/create", {"name": name})["experiment_id"])

    def _register(self, trained: Trained, run_id: str, artifacts: str) -> None:
        name = trained.order.model
        try:
            self._call("registered-models/get", {"name": name}, method="GET")
        except _MissingError:
            self._call("registered-models/create", {"name": name})
        tags = _pairs({"driftline.version": trained.order.version, "driftline.bundle": trained.bundle.sha256})
        version = {"name": name, "source": f"{artifacts}/bundle", "run_id": run_id, "tags": tags}
        self._call("model-versions/create", version)

    def _upload(self, artifacts: str, name: str, content: bytes) -> None:
        """Put a file where the run keeps its own, through the server that serves them."""
        root = urllib.parse.urlsplit(artifacts)
        if root.scheme != "mlflow-artifacts":
            raise TrackingError(
                f"the server keeps artifacts at {artifacts}, and does not take them itself",
                hint="start it with --serve-artifacts (its default) and --artifacts-destination",
            )
        path = urllib.parse.quote(f"{root.path.strip('/')}/{name}")
        self._send(f"mlflow-artifacts/artifacts/{path}", content, "application/octet-stream", "PUT")

    def _call(self, what: str, fields: Mapping[str, Any], *, method: str = "POST") -> dict[str, Any]:
        if method == "GET":
            answer = self._send(f"mlflow/{what}?{urllib.parse.urlencode(fields)}", None, "", method)
        else:
            answer = self._send(f"mlflow/{what}", json.dumps(fields).encode(), "application/json", method)
        try:
            told: dict[str, Any] = json.loads(answer)
        except ValueError as error:
            raise TrackingError(f"{self.uri} answers {answer[:80]!r} to {what}; wanted JSON") from error
        return told

    def _send(self, path: str, body: bytes | None, kind: str, method: str) -> bytes:
        headers = {"Content-Type": kind} if kind else {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        elif self.user:
            headers["Authorization"] = f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"
        # The scheme was checked at the start.
        request = urllib.request.Request(f"{self.uri}/api/2.0/{path}", body, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
                content: bytes = answer.read()
        except urllib.error.HTTPError as error:
            said = error.read(2_000).decode(errors="replace")
            kind_of_error = _MissingError if error.code == 404 else TrackingError
            raise kind_of_error(f"{self.uri} refuses {path.partition('?')[0]} with {error.code}: {said}") from error
        except (OSError, ValueError) as error:
            raise TrackingError(f"{self.uri} cannot be reached: {error}") from error
        return content


class _MissingError(TrackingError):
    """What was asked for is not there."""


def _tags(trained: Trained, request_id: str) -> dict[str, str]:
    manifest = trained.bundle.manifest
    told = {
        "driftline.version": manifest.version,
        "driftline.bundle": trained.bundle.sha256,
        "driftline.baseline": manifest.baseline_id,
        "driftline.trained_on": manifest.trained_on,
        "driftline.request": request_id,
        "mlflow.source.git.commit": manifest.made_with.get("git", ""),
    }
    return {name: value for name, value in told.items() if value}


def _params(trained: Trained) -> dict[str, str]:
    settings, order = trained.order.settings, trained.order
    told = {name: getattr(settings, name) for name in settings.__dataclass_fields__}
    told |= {"algorithm": order.algorithm, "pipeline": trained.bundle.manifest.pipeline, "holdout": order.holdout}
    told |= {"vectors": len(trained.split.training), "threshold": trained.model.threshold}
    return {name: str(value) for name, value in told.items()}


def _pairs(told: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": name, "value": value} for name, value in told.items()]
