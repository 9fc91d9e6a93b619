"""Samples and labels as gateways and people send them."""

import uuid
from collections.abc import Callable

import numpy as np
import pytest

from schemas.sample import Label, Sample, SampledBecause


def _id(number: int) -> str:
    return str(uuid.UUID(int=number))


@pytest.fixture
def sample() -> Callable[..., Sample]:
    def made(number: int, *, device: str = "a", **changes) -> Sample:
        facts = {
            "device_id": device,
            "prediction_id": _id(number),
            "model_id": "bearing/1",
            "pipeline": "machine/1",
            "at_ms": number * 1000,
            "features": np.full(16, number, dtype="<f4").tobytes(),
            "score": 0.5,
            "anomaly": False,
            "confidence": 0.5,
            "because": SampledBecause.UNIFORM,
        }
        return Sample(**{**facts, **changes})

    return made


@pytest.fixture
def label() -> Callable[[int, float, int], Label]:
    def made(number: int, value: float, at_ms: int) -> Label:
        return Label(device_id="a", prediction_id=_id(number), value=value, at_ms=at_ms, by="ops")

    return made
