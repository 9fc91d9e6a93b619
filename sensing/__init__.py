"""What a number means, for device, trainer and streams alike: pipelines, grids, sketches, simulated fleets."""

from schemas.canonical import canonical_json, content_id
from sensing.errors import GridError, PipelineError, ReadingError, SensingError, UnknownPipelineError
from sensing.grids import DEFAULT_BINS, Binner, bin_counts, check_grid, make_grid
from sensing.pipelines import (
    PIPELINES,
    Pipeline,
    Stream,
    Vectors,
    learn,
    pipeline_in,
    pipeline_named,
    pipeline_of,
    remembers,
    run_batch,
)
from sensing.sketch import Sketch, SketchedWindow, feature_stats, merge, tally_of
from sensing.tally import Tally

__all__ = [
    "DEFAULT_BINS",
    "PIPELINES",
    "Binner",
    "GridError",
    "Pipeline",
    "PipelineError",
    "ReadingError",
    "SensingError",
    "Sketch",
    "SketchedWindow",
    "Stream",
    "Tally",
    "UnknownPipelineError",
    "Vectors",
    "bin_counts",
    "canonical_json",
    "check_grid",
    "content_id",
    "feature_stats",
    "learn",
    "make_grid",
    "merge",
    "pipeline_in",
    "pipeline_named",
    "pipeline_of",
    "remembers",
    "run_batch",
    "tally_of",
]
