"""What the drift worker knows of grids and baselines, from their topics."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from schemas import feeds
from schemas.cluster import Cluster
from schemas.columns import GridShape
from schemas.errors import DriftlineError
from schemas.grid import Baseline, Grid
from streams.drift.references import ScoredAgainst, lay_out

__all__ = ["Known", "following"]

_LOOK_AGAIN_S = 0.5


@contextmanager
def following(cluster: Cluster) -> Iterator["Known"]:
    """Follow grids and baselines; gives what is known of them once all of the past was read."""
    with feeds.table(cluster, "models.grids") as grids, feeds.table(cluster, "models.baselines") as baselines:
        grids.wait_until_current()
        baselines.wait_until_current()
        yield Known(grids, baselines)


class Known:
    """Grids by id and baselines by model, laid out for scoring once.

    Of several baselines of a model the one with the lowest id counts, so that all workers take the same.
    """

    def __init__(self, grids: Mapping[str, Grid], baselines: Mapping[str, Baseline]) -> None:
        self._grids, self._baselines = grids, baselines
        self._shapes: dict[str, GridShape] = {}
        self._laid_out: dict[tuple[str, str], ScoredAgainst] = {}
        self._by_model: dict[str, Baseline] = {}
        self._looked_s = 0.0

    def shape_of(self, grid_id: str) -> GridShape | None:
        shape = self._shapes.get(grid_id)
        if shape is None and grid_id in self._grids:
            grid = self._grids[grid_id]
            shape = self._shapes[grid_id] = GridShape(features=len(grid.features), bins=grid.bins)
        return shape

    def against(self, model_id: str, grid_id: str) -> ScoredAgainst | str:
        """Return what windows of a model are compared with, or why there is nothing."""
        known = self._laid_out.get((model_id, grid_id))
        if known is not None:
            return known
        baseline = self._baseline_of(model_id)
        if baseline is None:
            return f"model {model_id!r}: found no baseline, wanted one on models.baselines"
        if baseline.grid_id != grid_id:
            return (
                f"model {model_id!r}: its baseline {baseline.baseline_id:.12} is on grid {baseline.grid_id:.12}, "
                f"the window on {grid_id:.12}"
            )
        try:
            found = lay_out(self._grids[grid_id], baseline)
        except DriftlineError as why:
            return str(why)
        self._laid_out[model_id, grid_id] = found
        return found

    def _baseline_of(self, model_id: str) -> Baseline | None:
        found = self._by_model.get(model_id)
        if found is None and time.monotonic() - self._looked_s > _LOOK_AGAIN_S:
            self._looked_s = time.monotonic()
            held = sorted(self._baselines.items(), reverse=True)
            self._by_model = {baseline.model_id: baseline for _, baseline in held}
            found = self._by_model.get(model_id)
        return found
