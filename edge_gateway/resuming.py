"""What a restart goes on with: rolling windows, lags and open windows."""

import logging

import numpy as np

from edge_gateway.arrays import unpack
from edge_gateway.engine import Engine
from edge_gateway.scorer import Scorer
from sensing.pipelines.base import Arrays, Pipeline
from sensing.pipelines.state import join, part

__all__ = ["frozen", "thaw"]

_log = logging.getLogger(__name__)


def frozen(engine: Engine, scorer: Scorer) -> Arrays:
    """Return the state of both, and whose it is; to be packed by whoever has the time."""
    loaded = scorer.loaded
    identity = {"pipeline": _identity(loaded.pipeline), "grid": loaded.grid.grid_id, "model": loaded.model_id}
    named = {name: np.array(value) for name, value in identity.items()}
    return join(of=named, engine=engine.freeze(), scorer=scorer.freeze())


def thaw(kept: bytes, engine: Engine, scorer: Scorer) -> bool:
    """Give both their state back, as far as it is theirs; False: it is of no use, and the engine is to be made anew."""
    loaded = scorer.loaded
    try:
        state = unpack(kept)
        if str(state["of.pipeline"]) != _identity(loaded.pipeline):
            return True
        engine.thaw(part(state, "engine"))
        if (str(state["of.grid"]), str(state["of.model"])) == (loaded.grid.grid_id, loaded.model_id):
            scorer.thaw(part(state, "scorer"))
    except (ValueError, KeyError, OSError) as error:
        _log.error("feature state is of no use, starting afresh: %s", error)
        return False
    return True


def _identity(pipeline: Pipeline) -> str:
    return pipeline.declaration or pipeline.id
