"""From data to a signed release: the whole of training, as one function of its inputs.

Same data, order, grid, key and environment give the same bytes. What differs from run to run, such as measured
times, stands beside the bundle, never in it.
"""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version

from schemas.grid import Baseline, Grid
from schemas.manifest import Limits as DeviceLimits
from schemas.manifest import Manifest, ModelKind
from schemas.release import ModelRelease, ReleaseStage
from sensing import make_grid, pipeline_named
from trainer.baseline import make_baseline
from trainer.check import Check
from trainer.data.checks import Limits as DataLimits
from trainer.data.checks import check_data, refuse_failed, silent_devices
from trainer.data.dataset import Dataset
from trainer.data.splitting import Split, in_equal_parts, split_by_time
from trainer.data.truth import with_truth
from trainer.errors import DataRefusedError, TrainerError
from trainer.export.graph import export
from trainer.export.parity import OnnxModel, Parity, check_parity
from trainer.export.quantising import quantise
from trainer.export.signature import opset_of, ports_of
from trainer.export.timing import Timing, time_model
from trainer.golden import make_golden
from trainer.models import Algorithm, Model, Settings, algorithm_named
from trainer.quality import measure_quality
from trainer.rules import make_rules
from trust import Bundle, Keyring, Kind, Signer, open_bundle, pack_bundle, pin

__all__ = ["Order", "Progress", "Trained", "keyring_of", "metrics_of", "release_of", "train_release"]

# Told what is being done and how much of the whole is behind, 0 to 1.
Progress = Callable[[str, float], None]

_LATENCY_MS = 10.0
_MIB = 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to train, as what."""

    model: str
    version: str
    algorithm: str = "isolation_forest"
    settings: Settings = field(default_factory=Settings)
    holdout: float = 0.25
    data_limits: DataLimits = field(default_factory=DataLimits)
    # None: what a small Linux box can take.
    device_limits: DeviceLimits | None = None
    licence: str = ""
    git_revision: str = ""
    # Since when the world is another; 0 where it is not known to be.
    changed_ms: int = 0

    def __post_init__(self) -> None:
        for what, name in (("model", self.model), ("version", self.version)):
            if not name.isprintable() or not name.strip() or "/" in name:
                raise TrainerError(f"the {what} is {name!r}; wanted a name without a slash")

    @property
    def model_id(self) -> str:
        return f"{self.model}/{self.version}"


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained and packed model, with everything that a report or a promotion wants to know of it."""

    order: Order
    model: Model
    split: Split
    # Devices whose sensors were silent, and from which nothing was learned.
    left_out: tuple[str, ...]
    checks: tuple[Check, ...]
    # Of the graph in full precision.
    parity: Parity
    # Whether the graph that is shipped has int8 weights, and why.
    quantised: str
    timing: Timing
    quality: Mapping[str, float]
    bundle: Bundle
    # The bundle as a file.
    content: bytes


def train_release(
    dataset: Dataset,
    order: Order,
    signers: Sequence[Signer],
    *,
    grid: Grid | None = None,
    known_dispersion: Baseline | None = None,
    algorithm: Algorithm | None = None,
    progress: Progress = lambda _what, _share: None,
) -> Trained:
    """Check the data, train, export, compare, judge, and pack; without `grid` the pipeline gets its first one here.

    `known_dispersion` lends its dispersions where the data are too sparse to learn them, as bounded samples are.
    """
    algorithm = algorithm or algorithm_named(order.algorithm)
    progress("checking the data", 0.0)
    left_out = silent_devices(dataset)
    if len(left_out) == len(dataset.devices):
        raise DataRefusedError((f"no vectors to learn from: {_without(left_out)}",))
    told, forecasts = dataset.without(left_out), algorithm.kind is ModelKind.FORECAST
    if order.changed_ms and not forecasts:
        # A forecast learns from what follows what, and nothing may be missing in between.
        told = in_equal_parts(told, order.changed_ms)
    split = split_by_time(told, holdout=order.holdout, changed_ms=order.changed_ms)
    if forecasts:
        split = _with_truth(split, order.settings)
    checks = check_data(split, order.data_limits)
    refuse_failed(checks)
    progress("training", 0.1)
    model = algorithm.train(split.training, order.settings)
    progress("exporting", 0.6)
    graph = export(model)
    runner = OnnxModel(graph)
    parity = check_parity(model, runner, split.holdout.matrix)
    progress("judging", 0.8)
    quantised = quantise(graph, model.kind, split.holdout)
    if quantised.graph is not None:
        graph, runner = quantised.graph, OnnxModel(quantised.graph)
    # Of what is shipped.
    quality = measure_quality(model.kind, runner.predict(split.holdout.matrix), split.holdout)
    timing = time_model(model, runner, split.holdout.matrix)
    progress("packing", 0.9)
    content = _pack(order, model, split, graph, runner, quality, grid, known_dispersion, signers)
    bundle = open_bundle(content, keyring_of(signers))
    progress("done", 1.0)
    return Trained(
        order=order,
        model=model,
        split=split,
        left_out=left_out,
        checks=checks,
        parity=parity,
        quantised=quantised.why,
        timing=timing,
        quality=quality,
        bundle=bundle,
        content=content,
    )


def metrics_of(trained: Trained) -> dict[str, float]:
    """Return what a release says of its model: quality on the held-out data, and how export and timing went."""
    return {
        **trained.quality,
        "latency_p50_ms": trained.timing.onnx_p50_ms,
        "latency_p99_ms": trained.timing.onnx_p99_ms,
        "reference_latency_p50_ms": trained.timing.reference_p50_ms,
        "parity_score": trained.parity.score,
    }


def release_of(
    bundle: Bundle,
    metrics: Mapping[str, float],
    *,
    bundle_url: str,
    created_ms: int,
    created_by: str,
    request_id: str = "",
) -> ModelRelease:
    """Return the release of a bundle as it begins: a candidate."""
    manifest = bundle.manifest
    return ModelRelease(
        model=manifest.model,
        version=manifest.version,
        stage=ReleaseStage.CANDIDATE,
        pipeline=manifest.pipeline,
        grid_id=manifest.grid_id,
        baseline_id=manifest.baseline_id,
        bundle_sha256=bundle.sha256,
        bundle_bytes=bundle.size,
        bundle_url=bundle_url,
        manifest=bundle.envelope,
        created_ms=created_ms,
        created_by=created_by,
        request_id=request_id,
        trained_on=manifest.trained_on,
        metrics=dict(metrics),
    )


def _pack(
    order: Order,
    model: Model,
    split: Split,
    graph: bytes,
    runner: OnnxModel,
    quality: Mapping[str, float],
    grid: Grid | None,
    known_dispersion: Baseline | None,
    signers: Sequence[Signer],
) -> bytes:
    reference = split.training.reference
    pipeline = pipeline_named(reference.pipeline)
    grid = grid or make_grid(pipeline, reference.matrix)
    manifest = Manifest(
        format="",
        model=order.model,
        version=order.version,
        kind=model.kind,
        algorithm=model.algorithm,
        pipeline=pipeline.id,
        features=pipeline.feature_names,
        grid_id="",
        baseline_id="",
        opset=opset_of(graph),
        inputs=ports_of(runner.session.get_inputs()),
        outputs=ports_of(runner.session.get_outputs()),
        limits=order.device_limits or _small_box(graph),
        golden=make_golden(model, runner, split.holdout, seed=order.settings.seed),
        rules=make_rules(reference),
        files={},
        threshold=model.threshold,
        horizon_ms=model.horizon_ms,
        target=model.target,
        trained_on=split.training.fingerprint(),
        metrics=dict(quality),
        made_with=_made_with(order.git_revision),
        licence=order.licence,
    )
    baseline = make_baseline(order.model_id, grid, reference, known_dispersion=known_dispersion)
    return pack_bundle(manifest, model=graph, grid=grid, baseline=baseline, signers=signers)


def _with_truth(split: Split, settings: Settings) -> Split:
    """Label both sides by what came true within each: no truth crosses the gap."""
    return replace(
        split,
        training=with_truth(split.training, settings.target, settings.ahead),
        holdout=with_truth(split.holdout, settings.target, settings.ahead),
    )


def _without(left_out: Sequence[str]) -> str:
    return f"all sensors are dead or stuck ({', '.join(left_out)})" if left_out else "nothing was seen in the stretch"


def _small_box(graph: bytes) -> DeviceLimits:
    # A loaded graph takes some multiple of its file; the rest is the session's own.
    return DeviceLimits(latency_ms=_LATENCY_MS, memory_bytes=32 * _MIB + 16 * len(graph))


def _made_with(git_revision: str) -> dict[str, str]:
    libraries = ("driftline", "numpy", "onnx", "scikit-learn", "skl2onnx")
    made_with = {name: version(name) for name in libraries} | {"python": platform.python_version()}
    return {**made_with, "git": git_revision} if git_revision else made_with


def keyring_of(signers: Sequence[Signer]) -> Keyring:
    """What was packed is opened as a gateway would open it, trusting the keys at hand."""
    return Keyring(
        keys=tuple(pin(f"signer {number}", signer.public_key, Kind.MANIFEST) for number, signer in enumerate(signers))
    )
