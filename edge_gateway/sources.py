"""From settings to the source of readings."""

import time
from collections.abc import Mapping
from typing import NamedTuple

from edge_gateway.config import SourceConfig
from edge_gateway.errors import ConfigError
from sensing.pipelines import Pipeline, pipeline_in
from sensing.simulator import Simulated
from sensing.sources import InboxSource, MqttSource, OpenWeatherSource, ReplaySource, SimulatedSource, Source, TableForm

__all__ = ["Opened", "open_source"]

_PLACES = 10


class Opened(NamedTuple):
    """A source, the pipeline that it is read for, and the inbox where readings are pushed into it."""

    source: Source
    pipeline: Pipeline
    inbox: InboxSource | None = None


def open_source(config: SourceConfig, environ: Mapping[str, str]) -> Opened:
    """Open the source that the settings name."""
    pipeline = pipeline_in(config.pipeline)
    match config.kind:
        case "mqtt":
            return Opened(MqttSource(config.mqtt, pipeline.channel_names), pipeline)
        case "replay" if config.path is not None:
            form = TableForm(time_format=config.time_format, missing=config.missing)
            return Opened(ReplaySource(config.path, pipeline.channel_names, form=form, speed=config.speed), pipeline)
        case "http":
            inbox = InboxSource(pipeline.channel_names)
            return Opened(inbox, pipeline, inbox)
        case "openweather":
            return Opened(OpenWeatherSource(config.cities, environ.get("OPENWEATHER_API_KEY", "")), pipeline)
        case _:
            return Opened(_simulator(config, pipeline), pipeline)


def _simulator(config: SourceConfig, pipeline: Pipeline) -> SimulatedSource:
    if pipeline.declaration:
        raise ConfigError("source.kind", config.kind, f"mqtt, replay or http, for {pipeline.id} is not simulated")
    fleet, every_ms = pipeline.name, pipeline.every_ms
    # A weather station knows ten places; the others one sensor each.
    streams = _PLACES if fleet == "weather" else 1
    start_ms = time.time_ns() // 1_000_000 // every_ms * every_ms
    sensors = [
        Simulated(fleet, device=config.device, stream=stream, seed=config.seed, start_ms=start_ms)
        for stream in range(streams)
    ]
    return SimulatedSource(sensors, speed=config.speed)
