"""The bridge: its doors, the intake behind them, and the two topics that it follows."""

import asyncio
import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from schemas import feeds
from schemas.cluster import Cluster
from schemas.wire import Contract
from streams.bridge.delivery import Delivery
from streams.bridge.desk import Desk
from streams.bridge.errors import BridgeError
from streams.bridge.https import HttpsDoor, server_context
from streams.bridge.intake import Intake
from streams.bridge.mqtt import MqttDoor, MqttDoorSettings
from streams.bridge.roster import Roster

__all__ = ["Bridge", "BridgeSettings", "HttpsDoorSettings"]

_log = logging.getLogger(__name__)

_CONFIRM_EVERY_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpsDoorSettings:
    """Where devices connect, and the certificates of both sides."""

    certificate: Path
    key: Path
    # Signs the devices' certificates, and nothing else.
    device_ca: Path
    # Certificates that the authority took back, PEM.
    revoked: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8443
    # How long a TLS handshake, and then the head of a request, may take to arrive.
    head_within_s: float = 10.0
    # How long a parcel may take to arrive: one that trickles in holds a connection and its bytes for nothing.
    body_within_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("head_within_s", "body_within_s"):
            if not getattr(self, name) > 0:
                raise BridgeError(f"{name} is {getattr(self, name):g}; wanted: more than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSettings:
    """One bridge; any number of them may stand side by side behind one name."""

    https: HttpsDoorSettings | None = None
    mqtt: MqttDoorSettings | None = None
    # Parcels under way at once; who comes beyond is asked to come again.
    parcels_at_once: int = 1_000
    cache_dir: Path | None = None

    def __post_init__(self) -> None:
        if self.https is None and self.mqtt is None:
            raise BridgeError(
                "the bridge has no door", hint="give --certificate, --key and --device-ca for HTTPS, or --mqtt URL"
            )


class Bridge:
    """Runs until it is stopped.

    `listens` is set when the doors are open, with the HTTPS one's `port`; `ready` when the topics were read as well,
    and devices are served.
    """

    def __init__(self, cluster: Cluster, settings: BridgeSettings, *, now_ms: Callable[[], int]) -> None:
        self.listens = threading.Event()
        self.ready = threading.Event()
        self.registry = CollectorRegistry()
        self.port = 0
        self._cluster = cluster
        self._settings = settings
        self._now_ms = now_ms
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._stopped = False

    def run(self) -> None:
        asyncio.run(self._run())

    def stop(self) -> None:
        """End in good order; may be called from any thread, and from a signal."""
        self._stopped = True
        if self._loop is not None and self._stopping is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)

    def waiting(self) -> list[str]:
        """What is missing before devices are served; in words, from any thread."""
        return [] if self.ready.is_set() else ["commands and devices are not read to their end yet"]

    async def _run(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        contract = await asyncio.to_thread(Contract.connect, self._cluster, cache_dir=self._settings.cache_dir)
        delivery = Delivery(self._cluster)
        intake = Intake(contract, delivery, now_ms=self._now_ms, at_once=self._settings.parcels_at_once)
        roster = Roster()
        mqtt = None if self._settings.mqtt is None else MqttDoor(self._settings.mqtt, intake, roster, self._loop)
        desk = Desk(None if mqtt is None else mqtt.tell)
        https = await self._https(intake, desk, roster)
        _Metrics(intake, desk, roster, https, self.registry)
        if mqtt is not None:
            mqtt.open()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._follow("rollouts.commands", desk, roster)),
                    group.create_task(self._follow("fleet.devices", roster, desk)),
                    group.create_task(_keep_confirmed(contract)),
                ]
                self.listens.set()
                if not self._stopped:
                    await self._stopping.wait()
                for task in tasks:
                    task.cancel()
        finally:
            if https is not None:
                await https.close()
            if mqtt is not None:
                mqtt.close()
            await asyncio.to_thread(delivery.close)

    async def _https(self, intake: Intake, desk: Desk, roster: Roster) -> HttpsDoor | None:
        settings = self._settings.https
        if settings is None:
            return None
        context = server_context(settings.certificate, settings.key, settings.device_ca, settings.revoked)
        door = HttpsDoor(
            intake,
            desk,
            roster,
            context,
            head_within_s=settings.head_within_s,
            body_within_s=settings.body_within_s,
        )
        await door.open(settings.host, settings.port)
        self.port = door.port
        _log.info("bridge listens: host=%s port=%d", settings.host, self.port)
        return door

    async def _follow(self, topic: str, mine: Desk | Roster, other: Desk | Roster) -> None:
        cache_dir = self._settings.cache_dir
        async with feeds.read_async(self._cluster, topic, wait_s=math.inf, cache_dir=cache_dir) as feed:
            async for event in feed:
                mine.apply(event)
                if mine.current and other.current:
                    self.ready.set()


class _Metrics:
    """The bridge's figures, read where they are kept."""

    def __init__(
        self, intake: Intake, desk: Desk, roster: Roster, https: HttpsDoor | None, registry: CollectorRegistry
    ) -> None:
        self._registry = registry
        self._gauge(
            "bridge_devices_waiting", "Devices whose question for a command is held open.", lambda: desk.waiting
        )
        self._gauge(
            "bridge_ready", "1: the topics are read, devices are served.", lambda: desk.current and roster.current
        )
        self._gauge("bridge_commands", "Commands that are known.", lambda: len(desk))
        self._gauge("bridge_parcels_under_way", "Parcels that Kafka has not answered for.", lambda: intake.under_way)
        self._gauge("bridge_revoked_turned_away", "Visits of revoked devices.", lambda: roster.turned_away)
        if https is not None:
            self._gauge("bridge_too_slow", "Heads and parcels that came too slowly.", lambda: https.too_slow)
        registry.register(_Counts(intake))

    def _gauge(self, name: str, about: str, value: Callable[[], int]) -> None:
        Gauge(name, about, registry=self._registry).set_function(value)


class _Counts(Collector):
    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def collect(self) -> list[CounterMetricFamily]:
        family = CounterMetricFamily("bridge", "What came in, by what became of it.", labels=["outcome"])
        for outcome, count in sorted(self._intake.counts.items()):
            family.add_metric([outcome], count)
        return [family]


async def _keep_confirmed(contract: Contract) -> None:
    """Check the ids that came from the disk against the registry, as soon as it answers."""
    confirmed = False
    while not confirmed:
        confirmed = await asyncio.to_thread(contract.registry.confirm)
        await asyncio.sleep(_CONFIRM_EVERY_S)
