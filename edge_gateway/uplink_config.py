"""How a gateway reaches the fleet: Kafka itself, or a bridge over HTTPS or MQTT."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from edge_gateway.errors import ConfigError

__all__ = ["UPLINKS", "UplinkConfig"]

UPLINKS = {"kafka": (), "https": ("https",), "mqtt": ("mqtts", "mqtt")}
"""The kinds, with the URL schemes of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkConfig:
    """The way up for records and down for commands."""

    # kafka, https or mqtt.
    kind: str = "kafka"
    # https: the bridge, such as https://bridge.plant7:8443. mqtt: the broker, such as mqtts://broker.plant7:8883.
    url: str = ""
    # The authority that signed the server's certificate; the machine's own authorities if it is not said.
    ca: Path | None = None
    # The device's certificate, which says who it is, and its key.
    certificate: Path | None = None
    key: Path | None = None
    # mqtt: what the topics begin with, and a name and password where the broker wants them.
    root: str = "driftline"
    username: str = ""
    password: str = field(default="", repr=False)
    # https: how long a question for a command is held open.
    wait_s: float = 50.0
    # How long the bridge may take to answer for a parcel.
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        if self.kind not in UPLINKS:
            raise ConfigError("uplink.kind", self.kind, f"one of {', '.join(UPLINKS)}")
        if self.kind == "kafka":
            return
        parts, schemes = urlsplit(self.url), UPLINKS[self.kind]
        if parts.scheme not in schemes or not parts.hostname:
            raise ConfigError("uplink.url", self.url, " or ".join(f"{scheme}://host:port" for scheme in schemes))
        for name in ("certificate", "key"):
            if self.kind == "https" and getattr(self, name) is None:
                raise ConfigError(f"uplink.{name}", None, "a PEM file; the certificate is what a device is known by")
        for name in ("wait_s", "timeout_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"uplink.{name}", getattr(self, name), "more than 0")
