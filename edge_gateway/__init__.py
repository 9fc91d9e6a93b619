"""The agent on the device: inference, windows, spool, slots, commands."""

from edge_gateway.agent import Gateway
from edge_gateway.config import (
    GatewayConfig,
    InferenceConfig,
    SamplingConfig,
    SpoolConfig,
    UpdateConfig,
    UplinkConfig,
    WatchConfig,
    WindowConfig,
)
from edge_gateway.errors import (
    BridgeAwayError,
    BundleRefusedError,
    ConfigError,
    DownloadError,
    GatewayError,
    InferenceError,
    SlotsError,
    SpoolError,
)
from edge_gateway.network import Network, online
from edge_gateway.runner import Running, Station, Summary, run, run_together
from edge_gateway.sources import Opened, open_source

__all__ = [
    "BridgeAwayError",
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
    "Station",
    "Summary",
    "UpdateConfig",
    "UplinkConfig",
    "WatchConfig",
    "WindowConfig",
    "online",
    "open_source",
    "run",
    "run_together",
]
