"""The pipelines that this process knows: those that every installation has, and those that it was told of."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from schemas.grid import Grid
from sensing.errors import PipelineError, UnknownPipelineError
from sensing.pipelines.base import Pipeline
from sensing.pipelines.declared import declared, read_declaration
from sensing.pipelines.machine import MACHINE
from sensing.pipelines.vibration import VIBRATION
from sensing.pipelines.weather import WEATHER

__all__ = ["PIPELINES", "learn", "pipeline_in", "pipeline_named", "pipeline_of", "runnable"]

# What every installation has.
PIPELINES: Mapping[str, Pipeline] = MappingProxyType(
    {pipeline.id: pipeline for pipeline in (MACHINE, VIBRATION, WEATHER)}
)
_learned: dict[str, Pipeline] = {}


def pipeline_named(pipeline_id: str) -> Pipeline:
    """Return the pipeline, named as name/version."""
    found = PIPELINES.get(pipeline_id) or _learned.get(pipeline_id)
    if found is None:
        raise UnknownPipelineError(pipeline_id, (*PIPELINES, *_learned))
    return found


def pipeline_in(text: str) -> Pipeline:
    """Return a pipeline as people name it: by name/version, or by the TOML file that declares it."""
    return _with_a_name_of_its_own(read_declaration(Path(text))) if text.endswith(".toml") else pipeline_named(text)


def pipeline_of(grid: Grid) -> Pipeline:
    """Return the pipeline whose features a grid counts: the one that came with it, or the one of that name."""
    if not grid.declaration:
        return pipeline_named(grid.pipeline)
    pipeline = _with_a_name_of_its_own(declared(grid.declaration))
    if pipeline.id != grid.pipeline:
        raise PipelineError(f"grid {grid.grid_id:.12} is of {grid.pipeline}, but declares {pipeline.id}")
    return pipeline


def learn(pipeline: Pipeline) -> Pipeline:
    """Make a declared pipeline known by its name, in this process; one name means one thing."""
    if pipeline.declaration:
        known = _learned.setdefault(_with_a_name_of_its_own(pipeline).id, pipeline)
        if known != pipeline:
            raise PipelineError(
                f"{pipeline.id} is known, and was declared otherwise", hint="what is declared anew has a new version"
            )
    return pipeline


def runnable(source: Pipeline | None) -> tuple[str, ...]:
    """Say what a gateway can run whose readings are those of a pipeline; of a declared one, whichever version comes.

    >>> runnable(PIPELINES["weather/1"])
    ('weather/1',)
    """
    if source is None:
        return tuple(PIPELINES)
    known = tuple(name for name, one in PIPELINES.items() if one.channel_names == source.channel_names)
    return (*known, f"{source.name}/*") if source.declaration else known


def _with_a_name_of_its_own(pipeline: Pipeline) -> Pipeline:
    if pipeline.id in PIPELINES:
        raise PipelineError(f"{pipeline.id} is a pipeline that every gateway has", hint="choose another name")
    return pipeline
