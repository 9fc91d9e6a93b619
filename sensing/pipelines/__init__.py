"""Feature pipelines: declared, named, versioned, and the same for device, trainer and streams."""

from collections.abc import Mapping

from sensing.errors import UnknownPipelineError
from sensing.pipelines.base import Arrays, Channel, Feature, Gap, Kernel, Pipeline, Vectors
from sensing.pipelines.machine import MACHINE
from sensing.pipelines.memory import remembers
from sensing.pipelines.stream import Stream, Troubles, run_batch
from sensing.pipelines.vibration import VIBRATION
from sensing.pipelines.weather import WEATHER

__all__ = [
    "MACHINE",
    "PIPELINES",
    "VIBRATION",
    "WEATHER",
    "Arrays",
    "Channel",
    "Feature",
    "Gap",
    "Kernel",
    "Pipeline",
    "Stream",
    "Troubles",
    "Vectors",
    "pipeline_named",
    "remembers",
    "run_batch",
]

PIPELINES: Mapping[str, Pipeline] = {pipeline.id: pipeline for pipeline in (MACHINE, VIBRATION, WEATHER)}


def pipeline_named(pipeline_id: str) -> Pipeline:
    """Return the pipeline, named as name/version."""
    try:
        return PIPELINES[pipeline_id]
    except KeyError:
        raise UnknownPipelineError(pipeline_id, tuple(PIPELINES)) from None
