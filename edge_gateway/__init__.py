"""The agent on the device: inference, windows, spool, slots, commands."""

from edge_gateway.agent import Gateway
from edge_gateway.config import (
    GatewayConfig,
    InferenceConfig,
    SamplingConfig,
    SpoolConfig,
    UpdateConfig,
    WatchConfig,
    WindowConfig,
)
from edge_gateway.errors import (
    BundleRefusedError,
    ConfigError,
    DownloadError,
    GatewayError,
    InferenceError,
    SlotsError,
    SpoolError,
)
from edge_gateway.runner import Network, Running, Summary, online, run
from edge_gateway.sources import Opened, open_source

__all__ = [
    "BundleRefusedError",
    "ConfigError",
    "DownloadError",
    "Gateway",
    "GatewayConfig",
    "GatewayError",
    "InferenceConfig",
    "InferenceError",
    "Network",
    "Opened",
    "Running",
    "SamplingConfig",
    "SlotsError",
    "SpoolConfig",
    "SpoolError",
    "Summary",
    "UpdateConfig",
    "WatchConfig",
    "WindowConfig",
    "online",
    "open_source",
    "run",
]
