"""How well models detect what was done to simulated machines, how small they are, and how quick.

    python -m benchmarks.model_quality            # all algorithms that detect
    python -m benchmarks.model_quality --algorithm isolation_forest --seed 7
    python -m benchmarks.model_quality --data shuttle
    python -m benchmarks.model_quality --data weather --seed 7 11 13     # the forecaster

Trained on eight machines of the simulator over 2.2 hours, judged on eight others and another seed: neither the devices
nor the faults were seen. A vector that looks back on a fault which is over is counted for neither side.

`shuttle` is NASA's Statlog (Shuttle) set as it comes inside the river package: 49,097 readings of nine numbers, 7 % of
them anomalous. Its rows are in no order of time and have no look-back, so it tells of single vectors only, nothing of
delays or events: trained on the first three quarters of the rows, judged on the rest.

`weather` judges the forecaster on stations that it has not seen, beside the forecast that nothing changes. Of several
seeds each figure is the mean, and its least and greatest stand beside it.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from river.datasets import Shuttle

from schemas.manifest import ModelKind
from sensing import pipeline_named, remembers, run_batch
from sensing.simulator import FaultKind, Simulated, bit_of, label_vectors, scripted_faults
from trainer.data import Dataset, Part, Split, simulated, split_by_time
from trainer.data.truth import with_truth
from trainer.export.graph import export
from trainer.export.parity import OnnxModel
from trainer.export.timing import time_model
from trainer.models import ALGORITHMS, Settings, algorithm_named
from trainer.quality import detection_quality, forecast_quality
from trainer.release import Order, train_release
from trust import load_signer, make_key

SAMPLES, DEVICES = 8_000, 8
# A pipeline of nine features, as the shuttle's rows are; algorithms see columns, not what they are called.
NINE_FEATURES = "vibration/1"
POINTWISE = ("vectors", "accuracy", "normal_kept", "normal_precision", "recall", "precision", "f1")
TO_REACH = {"normal_kept": 0.983, "normal_precision": 0.983, "recall": 0.80}


def shuttle() -> Split:
    rows = [(list(values.values()), label) for values, label in Shuttle()]
    matrix = np.array([values for values, _ in rows], dtype=np.float32)
    label = np.array([float(anomalous) for _, anomalous in rows])
    # Apart by more than any look-back: no row troubles its neighbours.
    part = Part("shuttle", np.arange(len(rows)) * 3_600_000, matrix, label)
    return split_by_time(Dataset.of(NINE_FEATURES, [part]), holdout=0.25)


def measure_shuttle(name: str, split: Split, seed: int) -> dict[str, float]:
    model = algorithm_named(name).train(split.training, Settings(seed=seed))
    found = detection_quality(OnnxModel(export(model)).predict(split.holdout.matrix), split.holdout)
    return {name: found[name] for name in POINTWISE}


def judged_machines(seed: int) -> tuple[Dataset, dict[str, np.ndarray]]:
    """Other machines, other faults; beside the data, which rows each kind of fault has touched."""
    parts, kinds = [], []
    for device in range(100, 100 + DEVICES):
        faults = scripted_faults("machine", SAMPLES, seed=seed * 1_000 + device, share=0.1, length=100)
        sensor = Simulated("machine", device=device, seed=98 + seed, faults=faults)
        readings = sensor.take(SAMPLES)
        vectors = run_batch(sensor.pipeline, readings.at_ms, readings.values)
        bits = label_vectors(sensor.pipeline, readings, vectors)
        troubled = remembers(sensor.pipeline, readings.at_ms, readings.labels != 0, vectors)
        label = (bits > 0).astype(float)
        parts.append(Part(f"machine-{device}", vectors.at_ms, vectors.matrix, label, troubled=troubled))
        kinds.append(bits)
    data = Dataset.of("machine/1", parts)
    bits = np.concatenate(kinds)
    return data, {kind.value: (bits & bit_of(kind)) > 0 for kind in FaultKind}


def measure(
    name: str, training: Dataset, judged: Dataset, kinds: dict[str, np.ndarray], key: str, seed: int
) -> dict[str, float]:
    order = Order(model="bench", version="1", algorithm=name, settings=Settings(seed=seed))
    trained = train_release(training, order, [load_signer(key, environ={})])
    graph = OnnxModel(trained.bundle.model)
    predictions = graph.predict(judged.matrix)
    timing = time_model(trained.model, graph, judged.matrix, runs=2_000)
    found = {
        **detection_quality(predictions, judged),
        "bundle_bytes": float(trained.bundle.size),
        "graph_bytes": float(len(trained.bundle.model)),
        "onnx_p50_ms": timing.onnx_p50_ms,
        "onnx_p99_ms": timing.onnx_p99_ms,
        "reference_p50_ms": timing.reference_p50_ms,
        "onnx_times_as_fast": timing.reference_p50_ms / timing.onnx_p50_ms,
    }
    for kind, touched in kinds.items():
        if touched.any():
            found[f"recall_{kind}"] = float(predictions.decision[touched].mean())
    return found


def machine_figures(names: list[str], seed: int) -> dict[str, dict[str, float]]:
    training = simulated("machine", devices=DEVICES, samples=SAMPLES, seed=seed)
    judged, kinds = judged_machines(seed)
    with tempfile.TemporaryDirectory() as folder:
        make_key(Path(folder) / "k.pem")
        return {name: measure(name, training, judged, kinds, f"file:{folder}/k.pem", seed) for name in names}


def weather_figures(seed: int) -> dict[str, dict[str, float]]:
    settings = Settings(seed=seed)
    training = simulated("weather", devices=DEVICES, samples=SAMPLES, seed=seed, trouble=0)
    others = simulated("weather", devices=DEVICES, samples=SAMPLES, seed=98 + seed, trouble=0, first_device=100)
    judged = with_truth(others, settings.target, settings.ahead)
    model = algorithm_named("forecaster").train(training, settings)
    found = forecast_quality(OnnxModel(export(model)).predict(judged.matrix), judged)
    now = judged.matrix[:, pipeline_named(judged.pipeline).feature_names.index(settings.target)]
    unchanged = float(np.nanmean(np.abs(now - judged.label)))
    return {"forecaster": {**found, "mae_unchanged": unchanged, "mae_of_unchanged": found["mae"] / unchanged}}


def over_seeds(runs: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Return mean, least and greatest of each figure that all runs have."""
    return {
        name: {
            what: (float(np.mean(values)), min(values), max(values))
            for what in runs[0][name]
            if len(values := [run[name][what] for run in runs if what in run[name]]) == len(runs)
        }
        for name in runs[0]
    }


def main() -> None:
    detecting = sorted(name for name, one in ALGORITHMS.items() if one.kind is not ModelKind.FORECAST)
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--algorithm", choices=detecting, action="append")
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("--data", choices=["machine", "shuttle", "weather"], default="machine")
    arguments.add_argument("--seed", type=int, nargs="+", default=[1])
    asked = arguments.parse_args()
    names = asked.algorithm or detecting
    if asked.data == "shuttle":
        split = shuttle()
        runs = [{name: measure_shuttle(name, split, seed) for name in names} for seed in asked.seed]
    elif asked.data == "weather":
        runs = [weather_figures(seed) for seed in asked.seed]
    else:
        runs = [machine_figures(names, seed) for seed in asked.seed]
    figures = over_seeds(runs)
    if asked.json:
        print(json.dumps(figures, indent=2))
        return
    for name, found in figures.items():
        print(f"\n{name}")
        for what, (mean, least, greatest) in found.items():
            wanted = f"   (to reach: {TO_REACH[what]})" if asked.data == "machine" and what in TO_REACH else ""
            spread = f"   {least:.4f} to {greatest:.4f}" if len(asked.seed) > 1 else ""
            print(f"  {what:<24} {mean:12.4f}{spread}{wanted}")


if __name__ == "__main__":
    main()
