"""How well models detect what was done to simulated machines, how small they are, and how quick.

    python -m benchmarks.model_quality            # all algorithms that detect
    python -m benchmarks.model_quality --algorithm isolation_forest

Trained on eight machines of the simulator over 2.2 hours, judged on eight others and another seed: neither the devices
nor the faults were seen. A vector that looks back on a fault which is over is counted for neither side.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from schemas.manifest import ModelKind
from sensing import remembers, run_batch
from sensing.simulator import FaultKind, Simulated, bit_of, label_vectors, scripted_faults
from trainer.data import Dataset, Part, simulated
from trainer.export.parity import OnnxModel
from trainer.export.timing import time_model
from trainer.models import ALGORITHMS
from trainer.quality import detection_quality
from trainer.release import Order, train_release
from trust import load_signer, make_key

SAMPLES, DEVICES = 8_000, 8
TO_REACH = {"normal_kept": 0.983, "normal_precision": 0.983, "recall": 0.80}


def judged_machines() -> tuple[Dataset, dict[str, np.ndarray]]:
    """Other machines, other faults; beside the data, which rows each kind of fault has touched."""
    parts, kinds = [], []
    for device in range(100, 100 + DEVICES):
        faults = scripted_faults("machine", SAMPLES, seed=device, share=0.1, length=100)
        sensor = Simulated("machine", device=device, seed=99, faults=faults)
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


def measure(name: str, training: Dataset, judged: Dataset, kinds: dict[str, np.ndarray], key: str) -> dict[str, float]:
    trained = train_release(training, Order(model="bench", version="1", algorithm=name), [load_signer(key, environ={})])
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


def main() -> None:
    detecting = sorted(name for name, one in ALGORITHMS.items() if one.kind is not ModelKind.FORECAST)
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--algorithm", choices=detecting, action="append")
    arguments.add_argument("--json", action="store_true")
    asked = arguments.parse_args()
    training = simulated("machine", devices=DEVICES, samples=SAMPLES, seed=1)
    judged, kinds = judged_machines()
    with tempfile.TemporaryDirectory() as folder:
        make_key(Path(folder) / "k.pem")
        key = f"file:{folder}/k.pem"
        figures = {name: measure(name, training, judged, kinds, key) for name in asked.algorithm or detecting}
    if asked.json:
        print(json.dumps(figures, indent=2))
        return
    for name, found in figures.items():
        print(f"\n{name}")
        for what, value in found.items():
            wanted = f"   (to reach: {TO_REACH[what]})" if what in TO_REACH else ""
            print(f"  {what:<24} {value:12.4f}{wanted}")


if __name__ == "__main__":
    main()
