"""Forecasts that meet their reading: how far off a forecaster was, as soon as that can be known."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_gateway.inference import Decisions
from schemas.manifest import Manifest, ModelKind
from sensing.pipelines.base import Arrays
from sensing.tally import Floats, Ints

__all__ = ["Forecasts", "Met"]

# Forecasts of one stream that wait; more than any horizon of ours, and few enough for a small box.
_WAITING = 4096


class Met(NamedTuple):
    """Forecasts that met their reading: when that was, and by how much each was off."""

    at_ms: Ints
    error: Floats


class Forecasts:
    """Keeps what a forecaster foretold until the time that it was about; other models foretell nothing."""

    def __init__(self, manifest: Manifest, vector_ms: int) -> None:
        foretells = manifest.kind is ModelKind.FORECAST and manifest.target in manifest.features
        self._column = manifest.features.index(manifest.target) if foretells else None
        self._horizon_ms = manifest.horizon_ms
        # A vector that is further from the foretold time than half a step is another one.
        self._tolerance_ms = max(vector_ms // 2, 1)
        self._waiting: dict[str, deque[tuple[int, float]]] = {}

    def take(self, stream: str, at_ms: Ints, matrix: NDArray[np.float32], decisions: Decisions) -> Met | None:
        """Compare what was foretold about these vectors, and remember what is foretold from them."""
        if self._column is None:
            return None
        waiting = self._waiting.setdefault(stream, deque(maxlen=_WAITING))
        met_at, errors = [], []
        truth = matrix[:, self._column].tolist()
        for at, true, score in zip(at_ms.tolist(), truth, decisions.score.tolist(), strict=True):
            while waiting and waiting[0][0] < at - self._tolerance_ms:
                # A gap: nobody will ever know.
                waiting.popleft()
            if waiting and waiting[0][0] <= at + self._tolerance_ms:
                foretold = waiting.popleft()[1]
                if np.isfinite(true):
                    met_at.append(at)
                    errors.append(foretold - true)
            if np.isfinite(score):
                waiting.append((at + self._horizon_ms, score))
        return Met(np.array(met_at, dtype=np.int64), np.array(errors)) if met_at else None

    def freeze(self) -> Arrays:
        names = list(self._waiting)
        pairs = {f"s{place}": np.array(self._waiting[name]).reshape(-1, 2) for place, name in enumerate(names)}
        return {"names": np.array(names, dtype=np.str_), **pairs}

    def thaw(self, state: Arrays) -> None:
        for place, name in enumerate(state["names"].tolist() if state else []):
            pairs: Sequence[Sequence[float]] = state[f"s{place}"].tolist()
            self._waiting[name] = deque(((int(due), score) for due, score in pairs), maxlen=_WAITING)
