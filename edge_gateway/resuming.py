"""What a restart goes on with: rolling windows, lags and open windows, as one piece of bytes."""

import logging

import numpy as np

from edge_gateway.arrays import pack, unpack
from edge_gateway.engine import Engine
from edge_gateway.scorer import Scorer
from sensing.pipelines.state import join, part

__all__ = ["frozen", "thaw"]

_log = logging.getLogger(__name__)


def frozen(engine: Engine, scorer: Scorer) -> bytes:
    """Return the state of both, and whose it is."""
    loaded = scorer.loaded
    identity = {"pipeline": loaded.pipeline.id, "grid": loaded.grid.grid_id, "model": loaded.model_id}
    named = {name: np.array(value) for name, value in identity.items()}
    return pack(join(of=named, engine=engine.freeze(), scorer=scorer.freeze()))


def thaw(kept: bytes, engine: Engine, scorer: Scorer) -> bool:
    """Give both their state back, as far as it is theirs; False: it is of no use, and the engine is to be made anew."""
    loaded = scorer.loaded
    try:
        state = unpack(kept)
        if str(state["of.pipeline"]) != loaded.pipeline.id:
            return True
        engine.thaw(part(state, "engine"))
        if (str(state["of.grid"]), str(state["of.model"])) == (loaded.grid.grid_id, loaded.model_id):
            scorer.thaw(part(state, "scorer"))
    except (ValueError, KeyError, OSError) as error:
        _log.error("feature state is of no use, starting afresh: %s", error)
        return False
    return True
