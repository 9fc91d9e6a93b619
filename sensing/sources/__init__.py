"""Where readings come from."""

from sensing.sources.base import Readings, Source
from sensing.sources.columns import TableForm
from sensing.sources.inbox import InboxSource
from sensing.sources.mqtt import MqttSettings, MqttSource
from sensing.sources.openweather import OpenWeatherSource
from sensing.sources.parsing import parse_reading
from sensing.sources.replay import ReplaySource
from sensing.sources.simulated import SimulatedSource

__all__ = [
    "InboxSource",
    "MqttSettings",
    "MqttSource",
    "OpenWeatherSource",
    "Readings",
    "ReplaySource",
    "SimulatedSource",
    "Source",
    "TableForm",
    "parse_reading",
]
