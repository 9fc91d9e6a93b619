"""What a bundle says of itself: the signed page that a gateway reads before anything else of it.

It is kept as JSON inside its envelope, never as Avro on a topic.
"""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Annotated

from schemas.record import record

__all__ = ["BundleFile", "Golden", "Limits", "Manifest", "ModelKind", "Port", "Rule"]

FORMAT = "driftline-bundle/1"


class ModelKind(StrEnum):
    """What a model's score means."""

    UNKNOWN = "unknown"
    ANOMALY = "anomaly"
    CLASSIFIER = "classifier"
    FORECAST = "forecast"


@record(namespace="models")
class Port:
    """An input or output of the ONNX graph."""

    name: Annotated[str, "Its name in the graph."]
    type: Annotated[str, "Its element type as ONNX Runtime names it, such as tensor(float)."]
    shape: Annotated[tuple[int, ...], "Its shape; -1 is the batch."]


@record(namespace="models")
class BundleFile:
    """One file of the bundle."""

    sha256: Annotated[str, "SHA-256 of its bytes, in hex."]
    bytes: Annotated[int, "Its size."]


@record(namespace="models")
class Limits:
    """What the model may take on the device; the self-test refuses a bundle that takes more."""

    latency_ms: Annotated[float, "Time of one unbatched inference, 99th percentile, milliseconds."]
    memory_bytes: Annotated[int, "Rise of the resident memory when the model is loaded."]


@record(namespace="models")
class Golden:
    """Inputs and the outputs that they must give on every device."""

    inputs: Annotated[tuple[tuple[float | None, ...], ...], "Raw feature vectors, rows; null is missing."]
    score: Annotated[tuple[float, ...], "Expected score per row."]
    decision: Annotated[tuple[bool, ...], "Expected decision per row."]
    confidence: Annotated[tuple[float, ...], "Expected confidence per row."]
    tolerance: Annotated[float, "Largest difference of a score or confidence; no decision may differ."]


@record(namespace="models")
class Rule:
    """Limits on one feature, for safe mode: outside them the device calls it an anomaly without a model."""

    feature: Annotated[str, "The feature's name in the pipeline."]
    low: Annotated[float | None, "Below is an anomaly."] = None
    high: Annotated[float | None, "Above is an anomaly."] = None
    max_rate_per_s: Annotated[float | None, "A faster change, per second, is an anomaly."] = None


@record(namespace="models")
class Manifest:
    """A bundle's contents, needs and promises."""

    format: Annotated[str, "How the bundle is laid out: driftline-bundle/1."]
    model: Annotated[str, "The model's name."]
    version: Annotated[str, "The version; model/version is the model_id elsewhere."]
    kind: Annotated[ModelKind, "What the score means."]
    algorithm: Annotated[str, "What was trained, such as isolation_forest."]
    pipeline: Annotated[str, "The pipeline it wants, as name/version."]
    features: Annotated[tuple[str, ...], "The input's columns, in order; the pipeline's."]
    grid_id: Annotated[str, "The pipeline's grid, in grid.json."]
    baseline_id: Annotated[str, "The model's baseline, in baseline.json."]
    opset: Annotated[Mapping[str, int], "ONNX operator sets by domain; the default domain is ai.onnx."]
    inputs: Annotated[tuple[Port, ...], "The graph's inputs."]
    outputs: Annotated[tuple[Port, ...], "The graph's outputs: score, decision, confidence."]
    limits: Annotated[Limits, "What it may take on the device."]
    golden: Annotated[Golden, "Its self-test."]
    rules: Annotated[tuple[Rule, ...], "Safe mode."]
    files: Annotated[Mapping[str, BundleFile], "Every other file of the bundle, by name."]
    threshold: Annotated[float, "A score above it is an anomaly; baked into the graph."] = 0.0
    horizon_ms: Annotated[int, "Forecasts: how far ahead; 0 for other models."] = 0
    target: Annotated[str, "Forecasts: the feature that is foretold; empty for other models."] = ""
    trained_on: Annotated[str, "Fingerprint of the training data, SHA-256 in hex; empty if unknown."] = ""
    metrics: Annotated[Mapping[str, float], "Quality on the held-out data, by name."] = field(default_factory=dict)
    made_with: Annotated[Mapping[str, str], "Versions of what made it: git revision, Python, libraries."] = field(
        default_factory=dict
    )
    licence: Annotated[str, "Licence of the model, an SPDX expression; empty if none is given."] = ""

    @property
    def model_id(self) -> str:
        return f"{self.model}/{self.version}"
