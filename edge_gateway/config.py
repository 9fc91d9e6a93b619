"""Settings of a gateway, section `[gateway]` of `driftline.toml`; every default works on a laptop."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_gateway.errors import ConfigError
from edge_gateway.logs import LOG_FORMATS
from edge_gateway.uplink_config import UplinkConfig
from sensing.sources.mqtt import MqttSettings

__all__ = [
    "SOURCES",
    "ApiConfig",
    "GatewayConfig",
    "InferenceConfig",
    "SamplingConfig",
    "SourceConfig",
    "SpoolConfig",
    "UpdateConfig",
    "UplinkConfig",
    "WatchConfig",
    "WindowConfig",
]


SOURCES = ("simulator", "mqtt", "replay", "http", "openweather")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolConfig:
    """Where records wait until the broker has them."""

    max_bytes: int = 64 * 1024**2
    max_age_s: float = 7 * 86_400.0
    # Records of an outage that are caught up, beside the live ones.
    backlog_per_s: float = 2_000.0
    batch: int = 500
    # False: a killed process still loses nothing, a power cut may; for many simulated gateways on one disk.
    survive_power_cut: bool = True

    def __post_init__(self) -> None:
        _at_least("spool.max_bytes", self.max_bytes, 1024**2)
        _above("spool.max_age_s", self.max_age_s)
        _above("spool.backlog_per_s", self.backlog_per_s)
        _at_least("spool.batch", self.batch, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowConfig:
    """Windows of event time over which features and health are summed up."""

    length_s: float = 60.0
    lateness_s: float = 5.0
    # Feature state and open windows are put on disk this often; what a power cut may take away.
    checkpoint_s: float = 10.0
    # Change-only reporting: windows that look alike go out as their sum, at the latest when a span of so many seconds
    # is over; 300 fits the panes of the drift worker; 0: every window by itself.
    quiet_s: float = 0.0
    # How far a feature's values may move, on average and in bins of the grid (of 16), and still look alike; what moves
    # less is told with the span's end. Readings that follow each other wander over half of the bins in a minute.
    deadband: float = 10.0

    def __post_init__(self) -> None:
        _above("windows.length_s", self.length_s)
        _at_least("windows.lateness_s", self.lateness_s, 0)
        _above("windows.checkpoint_s", self.checkpoint_s)
        _above("windows.deadband", self.deadband)
        if self.quiet_s and (self.quiet_s < self.length_s or self.quiet_s % self.length_s):
            raise ConfigError(
                "windows.quiet_s", self.quiet_s, f"0, or a multiple of windows.length_s ({self.length_s:g})"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceConfig:
    """How models are run."""

    threads: int = 1
    # Vectors that are scored in one call, where that many are waiting.
    micro_batch: int = 256

    def __post_init__(self) -> None:
        _at_least("inference.threads", self.threads, 1)
        _at_least("inference.micro_batch", self.micro_batch, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig:
    """Single predictions that are kept and sent, for retraining and for labels."""

    uniform_per_window: int = 2
    anomalies_per_window: int = 10
    # Vectors just before an anomaly that go with it.
    context: int = 2

    def __post_init__(self) -> None:
        _at_least("sampling.uniform_per_window", self.uniform_per_window, 0)
        _at_least("sampling.anomalies_per_window", self.anomalies_per_window, 0)
        _at_least("sampling.context", self.context, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchConfig:
    """When a model is no longer good enough; bake and watch judge by the same limits."""

    bake_s: float = 300.0
    # Windows in a row, and decisions in them, that a bake must have seen.
    bake_windows: int = 3
    bake_decisions: int = 20
    error_rate: float = 0.05
    latency_ms: float = 1_000.0
    # Share of the machine's memory.
    memory: float = 0.8
    # Rise of the anomaly rate above, and fall of the confidence below, both what was promised and the model before.
    degradation: float = 0.1
    # Bad windows in a row before falling back; good ones before leaving safe mode.
    bad_windows: int = 3
    good_windows: int = 5

    def __post_init__(self) -> None:
        _above("watch.bake_s", self.bake_s)
        for name in ("error_rate", "memory", "degradation"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"watch.{name}", getattr(self, name), "above 0, at most 1")
        for name in ("bake_windows", "bake_decisions", "bad_windows", "good_windows"):
            _at_least(f"watch.{name}", getattr(self, name), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateConfig:
    """How commands are carried out."""

    # Starts that do not last `lasts_s`, after which a bundle is abandoned.
    boots: int = 3
    lasts_s: float = 60.0
    # Tries at a download before the command has failed; pauses between them grow to ten minutes.
    attempts: int = 100
    keep_bundles: int = 3
    keep_days: float = 30.0
    download_bytes_per_s: int = 0
    # Left free on the disk whatever is downloaded.
    reserve_bytes: int = 32 * 1024**2
    # Folders and URL schemes that bundles may come from.
    schemes: tuple[str, ...] = ("https", "http", "file")
    # The device's own key, for bundles that are encrypted to it.
    device_key: Path | None = None
    # Where successors of the keyring lie, as <version>.json; empty: they are brought by hand.
    keyrings: str = ""
    keyrings_every_s: float = 3_600.0
    # Hours in local time, such as "02:00-04:00 Europe/Vienna"; empty: at any time. A command may say otherwise.
    maintenance: str = ""
    # One-minute load per core above which an update waits; 0: never.
    busy_load: float = 0.0

    def __post_init__(self) -> None:
        _at_least("updates.boots", self.boots, 1)
        _above("updates.keyrings_every_s", self.keyrings_every_s)
        if self.keyrings and self.keyrings.partition(":")[0] not in self.schemes:
            raise ConfigError("updates.keyrings", self.keyrings, f"a URL by {', '.join(self.schemes)}")
        _at_least("updates.keep_bundles", self.keep_bundles, 2)
        _at_least("updates.download_bytes_per_s", self.download_bytes_per_s, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """Where readings come from: simulator, mqtt, replay, http or openweather."""

    kind: str = "simulator"
    # The pipeline whose channels are read, by its name or the file that declares it; a bundle for others is refused.
    pipeline: str = "machine/1"
    # replay: a CSV or Parquet file.
    path: Path | None = None
    # replay: how times are written, as for strptime; empty: ISO 8601, or seconds or milliseconds since 1970.
    time_format: str = ""
    # replay: numbers that stand for nothing measured, such as -200.
    missing: tuple[float, ...] = ()
    # simulator and replay: 60 plays a minute a second, 0 as fast as it goes.
    speed: float = 1.0
    # simulator: which device of the fleet it plays.
    device: int = 0
    seed: int = 0
    # openweather: cities as the service names them.
    cities: tuple[str, ...] = ()
    mqtt: MqttSettings = field(default_factory=MqttSettings)

    def __post_init__(self) -> None:
        if self.kind not in SOURCES:
            raise ConfigError("source.kind", self.kind, f"one of {', '.join(SOURCES)}")
        if self.kind == "replay" and self.path is None:
            raise ConfigError("source.path", None, "a CSV or Parquet file")
        _at_least("source.speed", self.speed, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiConfig:
    """The local HTTP API; port 0: none."""

    host: str = "127.0.0.1"
    port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """One gateway."""

    device_id: str
    data: Path
    # Keys that commands and bundles are verified with, pinned at enrolment.
    keyring: Path
    labels: Mapping[str, str] = field(default_factory=dict)
    heartbeat_s: float = 60.0
    # Send only so often, in one go; 0: at once.
    sync_interval_s: float = 0.0
    # text, or json for one object a line.
    logs: str = "text"
    source: SourceConfig = field(default_factory=SourceConfig)
    api: ApiConfig = field(default_factory=ApiConfig)
    uplink: UplinkConfig = field(default_factory=UplinkConfig)
    spool: SpoolConfig = field(default_factory=SpoolConfig)
    windows: WindowConfig = field(default_factory=WindowConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)
    updates: UpdateConfig = field(default_factory=UpdateConfig)

    def __post_init__(self) -> None:
        if not self.device_id or len(self.device_id) > 200 or "/" in self.device_id:
            raise ConfigError("device_id", self.device_id, "1 to 200 characters, none of them a slash")
        _above("heartbeat_s", self.heartbeat_s)
        _at_least("sync_interval_s", self.sync_interval_s, 0)
        if self.logs not in LOG_FORMATS:
            raise ConfigError("logs", self.logs, f"one of {', '.join(LOG_FORMATS)}")


def _above(key: str, found: float) -> None:
    if not found > 0:
        raise ConfigError(key, found, "more than 0")


def _at_least(key: str, found: float, least: float) -> None:
    if not found >= least:
        raise ConfigError(key, found, f"{least} or more")
