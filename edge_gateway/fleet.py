"""Many gateways in one process, for tests, demos and benchmarks: each with its own identity, spool and slots.

They share one Kafka producer, one follower of the commands, and one thread; everything else is each one's own.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Self

from edge_gateway.agent import Gateway
from edge_gateway.commands import Follower, Received
from edge_gateway.config import GatewayConfig, SpoolConfig
from edge_gateway.kafka_link import KafkaLink
from edge_gateway.runner import Summary
from edge_gateway.uplink import Uplink
from schemas.cluster import Cluster
from schemas.registry import Registry
from sensing import pipeline_named
from sensing.simulator import Fault, Simulated
from sensing.sources import SimulatedSource
from trust import Keyring

__all__ = ["Member", "PlayedFleet", "first_moment_ms", "members"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One device to be played."""

    device_id: str
    fleet: str
    number: int
    labels: Mapping[str, str]


def members(count: int, fleets: Sequence[str] = ("machine", "vibration", "weather")) -> list[Member]:
    """Return so many devices, the kinds in turn, with labels to group them by.

    >>> [member.device_id for member in members(2)]
    ['machine-0000', 'vibration-0001']
    """
    made = []
    for number in range(count):
        fleet = fleets[number % len(fleets)]
        labels = {
            "kind": fleet,
            "region": ("eu", "us", "ap")[number // len(fleets) % 3],
            "hw": ("rev2", "rev3")[number // len(fleets) % 2],
            "firmware": "2.4",
        }
        made.append(Member(device_id=f"{fleet}-{number:04d}", fleet=fleet, number=number, labels=labels))
    return made


def first_moment_ms(fleet: str, speed: float, now_ms: int, behind_clock_s: float) -> int:
    """Return the first moment of a sensor that gives `speed` readings a second and shall stay behind the clock so long.

    A machine has a reading for each second; at 60 of them a second, an hour of play passes 59 hours of the clock:

    >>> first_moment_ms("machine", 60.0, 1_000_000_000, 3600.0)
    787600000
    """
    lives_faster_by = max(speed * pipeline_named(f"{fleet}/1").every_ms / 1000 - 1, 0.0)
    return max(now_ms - int(lives_faster_by * behind_clock_s * 1000), 0)


class PlayedFleet:
    """The gateways of a fleet, played together; `step` gives each of them a turn."""

    def __init__(
        self,
        cluster: Cluster,
        devices: Sequence[Member],
        folder: Path,
        keyring: Keyring,
        *,
        base: GatewayConfig,
        speed: float = 60.0,
        seed: int = 0,
        now_ms: Callable[[], int],
        start_ms: int | None = None,
        passed: int = 0,
        behind_clock_s: float = 0.0,
    ) -> None:
        """`start_ms` is the sensors' first moment, and `passed` readings are behind them.

        Unless it is said, it is now, or so long ago that sensors which live faster than the clock catch up with it
        after `behind_clock_s` of play, and keep its pace from then on: workers refuse windows of the future.
        """
        self.gateways: dict[str, Gateway] = {}
        # What it came to; told by `close`.
        self.summary = Summary(0, 0, 0, 0, 0)
        self._now_ms = now_ms
        self._not_before_time = now_ms if behind_clock_s else None
        self._sensors: dict[str, Simulated] = {}
        self._sources: dict[str, SimulatedSource] = {}
        self._uplinks: dict[str, Uplink] = {}
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="updates")
        self._link = KafkaLink(cluster, Registry(cluster, cache_dir=folder / "schemas"))
        for member in devices:
            sensor = Simulated(
                member.fleet,
                device=member.number,
                stream=member.number,
                seed=seed,
                start_ms=first_moment_ms(member.fleet, speed, self._now_ms(), behind_clock_s)
                if start_ms is None
                else start_ms,
            )
            if passed:
                sensor.take(passed)
            self._add(member, folder, keyring, base, speed, sensor, Random(f"{seed}/{member.device_id}"))
        # Read anew at each start: what was done before is answered once more, which is harmless.
        self._follower = Follower(cluster, list(self.gateways), self._deliver, cache_dir=folder / "schemas")
        self._follower.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def step(self) -> None:
        """Give each gateway a turn."""
        for device_id, gateway in self.gateways.items():
            gateway.take(self._sources[device_id].poll(0.0), self._now_ms())
            gateway.tick(self._now_ms())
            self._uplinks[device_id].pump(self._now_ms())
        self._link.poll()

    def run(self, duration_s: float, *, rest_s: float = 0.02) -> None:
        """Play for a while."""
        ends_s = time.monotonic() + duration_s
        while time.monotonic() < ends_s:
            begun_s = time.monotonic()
            self.step()
            time.sleep(max(rest_s - (time.monotonic() - begun_s), 0.0))

    def suffer(self, device_ids: Sequence[str], fault: Fault) -> None:
        """Let something go wrong with some sensors from now on; the fault's `first` counts from this moment."""
        for device_id in device_ids:
            sensor = self._sensors[device_id]
            sensor.suffer(replace(fault, first=sensor.step + fault.first, last=sensor.step + fault.last))

    def close(self, *, drain_s: float = 10.0) -> Summary:
        """End in good order, after sending what waits for so long as that takes and there is time."""
        self._follower.stop()
        for gateway in self.gateways.values():
            gateway.settle(self._now_ms())
        ends_s = time.monotonic() + drain_s
        while time.monotonic() < ends_s and not all(link.idle and link.empty for link in self._uplinks.values()):
            for uplink in self._uplinks.values():
                uplink.pump(self._now_ms())
            self._link.poll(0.05)
        self.summary = Summary(
            readings_decided=sum(each.decided for each in self.gateways.values()),
            readings_discarded=sum(each.discarded for each in self.gateways.values()),
            sent=sum(each.state.sent for each in self._uplinks.values()),
            waiting=sum(each.spool.depth().records for each in self.gateways.values()),
            lost=sum(each.spool.depth().dropped for each in self.gateways.values()),
        )
        for gateway in self.gateways.values():
            gateway.stop(self._now_ms())
        self._executor.shutdown()
        self._link.close(2.0)
        return self.summary

    def _add(
        self,
        member: Member,
        folder: Path,
        keyring: Keyring,
        base: GatewayConfig,
        speed: float,
        sensor: Simulated,
        rng: Random,
    ) -> None:
        config = replace(
            base,
            device_id=member.device_id,
            data=folder / member.device_id,
            labels=member.labels,
            spool=SpoolConfig(max_bytes=8 * 1024**2, survive_power_cut=False),
        )
        gateway = Gateway(
            config,
            keyring,
            executor=self._executor,
            rng=rng,
            now_ms=self._now_ms(),
            pipeline=sensor.pipeline,
        )
        self.gateways[member.device_id] = gateway
        self._sensors[member.device_id] = sensor
        self._sources[member.device_id] = SimulatedSource(
            [sensor], speed=speed * sensor.pipeline.every_ms / 1000, now_ms=self._not_before_time
        )
        self._uplinks[member.device_id] = Uplink(
            gateway.spool, self._link, source=f"gateways/{member.device_id}", rng=rng
        )

    def _deliver(self, received: Received) -> None:
        gateway = self.gateways.get(received.command.device_id)
        if gateway is not None:
            gateway.inbox.put(Received(received.command, "", received.trace))
