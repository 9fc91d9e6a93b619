"""The way up and the way down, joined: how a gateway is connected, as its settings say."""

import time
from pathlib import Path
from random import Random
from typing import Protocol

from edge_gateway.agent import Gateway
from edge_gateway.clock import wall_ms
from edge_gateway.commands import Follower
from edge_gateway.link import Link
from edge_gateway.uplink import Uplink
from schemas.cluster import Cluster
from schemas.registry import Registry

__all__ = ["Network", "online"]

# Who is told to stop has some seconds until he is killed.
_DRAIN_S = 5.0
_SILENCE_S = 1.5


class Network(Protocol):
    """The way up and the way down; absent while a gateway works offline."""

    def pump(self, now_ms: int) -> None: ...

    def close(self) -> None: ...

    @property
    def sent(self) -> int: ...

    @property
    def drained(self) -> bool: ...


class Downlink(Protocol):
    """A thread that brings commands to the gateway's inbox."""

    def start(self) -> None: ...

    def stop(self, timeout_s: float) -> None:
        """End it; where somebody who does not answer is being waited for, it ends by itself a little later."""


class _Online:
    def __init__(self, gateway: Gateway, link: Link, downlink: Downlink, rng: Random) -> None:
        self._link = link
        self._uplink = Uplink(gateway.spool, link, source=f"gateways/{gateway.config.device_id}", rng=rng)
        self._downlink = downlink
        downlink.start()

    @property
    def sent(self) -> int:
        return self._uplink.state.sent

    @property
    def drained(self) -> bool:
        return self._uplink.idle and self._uplink.empty

    def pump(self, now_ms: int) -> None:
        self._link.poll()
        self._uplink.pump(now_ms)

    def drain(self) -> None:
        """Send what waits, for so long as somebody takes it and there is time; the rest goes out at the next start."""
        begun_s = heard_s = time.monotonic()
        sent = self.sent
        while not self.drained and time.monotonic() < min(begun_s + _DRAIN_S, heard_s + _SILENCE_S):
            self._link.poll(0.05)
            self._uplink.pump(wall_ms())
            if self.sent > sent:
                sent, heard_s = self.sent, time.monotonic()

    def close(self) -> None:
        self.drain()
        self._downlink.stop(1.0)
        self._link.close(0.5)


def online(gateway: Gateway, cluster: Cluster, *, rng: Random, cache_dir: Path | None = None) -> Network:
    """Connect a gateway; it works all the same while nobody answers. A bridge needs no `cluster`."""
    link, downlink = _ways(gateway, cluster, rng, cache_dir or gateway.config.data / "schemas")
    return _Online(gateway, link, downlink, rng)


def _ways(gateway: Gateway, cluster: Cluster, rng: Random, cache_dir: Path) -> tuple[Link, Downlink]:
    settings, device_id = gateway.config.uplink, gateway.config.device_id
    # Each way has libraries of its own; a small box loads those of one.
    if settings.kind == "https":
        from edge_gateway.https_bridge import Asker, HttpsCarrier
        from edge_gateway.parcel_link import ParcelLink

        asker = Asker(settings, gateway.inbox.put, resume=gateway.command_position, rng=rng)
        return ParcelLink(HttpsCarrier(settings)), asker
    if settings.kind == "mqtt":
        from edge_gateway.mqtt_bridge import MqttBridge
        from edge_gateway.parcel_link import ParcelLink

        bridge = MqttBridge(settings, device_id, gateway.inbox.put, resume=gateway.command_position)
        return ParcelLink(bridge), bridge
    from edge_gateway.kafka_link import KafkaLink

    follower = Follower(cluster, [device_id], gateway.inbox.put, resume=gateway.command_position, cache_dir=cache_dir)
    return KafkaLink(cluster, Registry(cluster, cache_dir=cache_dir)), follower
