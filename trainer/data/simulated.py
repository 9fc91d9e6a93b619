"""Data from the simulator: labelled by what was done to the sensors."""

import numpy as np

from schemas.errors import DriftlineError
from sensing import remembers, run_batch
from sensing.simulator import Simulated, label_vectors, scripted_faults
from trainer.data.dataset import Dataset, Part
from trainer.errors import DatasetError

__all__ = ["simulated"]


def simulated(
    fleet: str, *, devices: int = 8, samples: int = 5_000, seed: int = 0, trouble: float = 0.1, first_device: int = 0
) -> Dataset:
    """Return what `devices` simulated sensors see in `samples` readings each, a share of which is in trouble."""
    if devices < 1 or samples < 1:
        raise DatasetError(f"{devices} devices with {samples} samples each; wanted at least 1 of both")
    parts = []
    for device in range(first_device, first_device + devices):
        faults = scripted_faults(fleet, samples, seed=seed * 10_000 + device, share=trouble) if trouble else ()
        try:
            sensor = Simulated(fleet, device=device, stream=device % 10, seed=seed, faults=faults)
        except DriftlineError as error:
            raise DatasetError(str(error)) from error
        readings = sensor.take(samples)
        vectors = run_batch(sensor.pipeline, readings.at_ms, readings.values)
        label = (label_vectors(sensor.pipeline, readings, vectors) > 0).astype(np.float64)
        troubled = remembers(sensor.pipeline, readings.at_ms, readings.labels != 0, vectors)
        parts.append(Part(f"{fleet}-{device}", vectors.at_ms, vectors.matrix, label, troubled=troubled))
    return Dataset.of(f"{fleet}/1", parts)
