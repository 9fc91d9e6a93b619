"""Feature pipelines: declared, named, versioned, and the same for device, trainer and streams."""

from sensing.pipelines.base import Arrays, Channel, Feature, Gap, Kernel, Pipeline, Vectors
from sensing.pipelines.known import PIPELINES, learn, pipeline_in, pipeline_named, pipeline_of, runnable
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
    "learn",
    "pipeline_in",
    "pipeline_named",
    "pipeline_of",
    "remembers",
    "run_batch",
    "runnable",
]
