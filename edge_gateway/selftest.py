"""The self-test: what a bundle must show before it may serve on this device."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_gateway.errors import BundleRefusedError
from edge_gateway.inference import Decisions, Model
from edge_gateway.resources import resident_bytes
from schemas.manifest import Golden
from sensing.errors import GridError, PipelineError, UnknownPipelineError
from sensing.grids import check_grid
from sensing.pipelines import Pipeline, pipeline_of
from trust import Bundle

__all__ = ["Probed", "check_fits", "probe"]

_RUNS = 200
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Probed:
    """What the self-test measured."""

    model: Model
    load_s: float
    latency_p99_ms: float
    memory_bytes: int


def check_fits(bundle: Bundle, channels: tuple[str, ...] | None) -> Pipeline:
    """Refuse a bundle whose pipeline this gateway lacks, or that wants other readings than the source gives."""
    manifest = bundle.manifest
    try:
        check_grid(bundle.grid)
        pipeline = pipeline_of(bundle.grid)
    except (UnknownPipelineError, PipelineError, GridError) as error:
        raise BundleRefusedError(f"bundle {manifest.model_id}: {error}", hint=error.hint) from error
    if manifest.features != pipeline.feature_names:
        raise BundleRefusedError(
            f"bundle {manifest.model_id} has {len(manifest.features)} features that are not those of {pipeline.id}"
        )
    if channels is not None and pipeline.channel_names != channels:
        raise BundleRefusedError(
            f"bundle {manifest.model_id} wants {', '.join(pipeline.channel_names)}; "
            f"the source gives {', '.join(channels)}"
        )
    return pipeline


def probe(bundle: Bundle, *, threads: int = 1) -> Probed:
    """Load the model, compare its golden outputs, and measure it; `BundleRefusedError` says what it failed."""
    manifest = bundle.manifest
    before, begun = resident_bytes(), time.perf_counter()
    model = Model(bundle.model, features=len(manifest.features), threads=threads)
    load_s = time.perf_counter() - begun
    golden = np.array(
        [[np.nan if value is None else value for value in row] for row in manifest.golden.inputs], dtype=np.float32
    ).reshape(-1, len(manifest.features))
    _compare(manifest.model_id, manifest.golden, model.decide(golden))
    latency_ms = _latency_p99_ms(model, golden[:1])
    for _ in range(_TRIES - 1):
        if latency_ms > manifest.limits.latency_ms:
            # A processor that was shared for a moment is no slow one.
            latency_ms = min(latency_ms, _latency_p99_ms(model, golden[:1]))
    memory = max(resident_bytes() - before, 0)
    if latency_ms > manifest.limits.latency_ms:
        raise BundleRefusedError(
            f"{manifest.model_id} takes {latency_ms:.3g} ms an inference here; at most {manifest.limits.latency_ms:g}"
        )
    if memory > manifest.limits.memory_bytes:
        raise BundleRefusedError(
            f"{manifest.model_id} takes {memory} bytes of memory; at most {manifest.limits.memory_bytes}"
        )
    return Probed(model=model, load_s=load_s, latency_p99_ms=latency_ms, memory_bytes=memory)


def _compare(model_id: str, golden: Golden, found: Decisions) -> None:
    if found.anomaly.tolist() != list(golden.decision):
        row = next(i for i, (f, g) in enumerate(zip(found.anomaly, golden.decision, strict=True)) if f != g)
        raise BundleRefusedError(
            f"{model_id} decides {bool(found.anomaly[row])} on golden input {row}; wanted {golden.decision[row]}"
        )
    for what, values, wanted in (
        ("score", found.score, golden.score),
        ("confidence", found.confidence, golden.confidence),
    ):
        off = np.abs(np.asarray(values, dtype=np.float64) - np.asarray(wanted))
        worst = int(np.nanargmax(np.where(np.isnan(off), np.inf, off))) if len(off) else 0
        if len(off) and not off[worst] <= golden.tolerance:
            raise BundleRefusedError(
                f"{model_id} gives {what} {values[worst]:.6g} on golden input {worst}; "
                f"wanted {wanted[worst]:.6g} within {golden.tolerance:g}"
            )


def _latency_p99_ms(model: Model, one: NDArray[np.float32]) -> float:
    """Measure by this thread's processor time: beside a gateway that decides, a clock on the wall mostly tells how long
    the interpreter's lock was waited for, and good models were refused for that."""
    if not len(one):
        return 0.0
    times = []
    for _ in range(_RUNS):
        begun = time.thread_time()
        model.decide(one)
        times.append(time.thread_time() - begun)
    return float(np.percentile(times, 99)) * 1000
