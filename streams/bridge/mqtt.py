"""The bridge's MQTT door: the same parcels and receipts through any MQTT broker, and each device's command retained.

<root>/<device>/records     up: parcels            <root>/<device>/receipts    down: their receipts
<root>/<device>/command     down, retained: the device's command

Who sends is the topic's device; the MQTT broker sees to it that a client reaches only the topics of its own
certificate (docs/bridge.md shows how). The broker's word that it has a parcel is worth nothing to a device: it waits
for the receipt, which the bridge gives when Kafka has the records.
"""

import asyncio
import logging
import ssl
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from schemas.parcel import pack
from streams.bridge.desk import Held
from streams.bridge.errors import BadParcelError, BridgeError, BusyError, IdentityError
from streams.bridge.intake import Intake
from streams.bridge.roster import Roster

__all__ = ["MqttDoor", "MqttDoorSettings"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttDoorSettings:
    """Where the MQTT broker is, and how it knows the bridge."""

    # mqtts://host:8883, or mqtt:// on a network of one's own.
    url: str
    root: str = "driftline"
    client_id: str = "driftline-bridge"
    username: str = ""
    password: str = field(default="", repr=False)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise BridgeError(f"the MQTT broker is {self.url!r}; wanted: mqtts://host:port or mqtt://host:port")


class MqttDoor:
    """Works between an MQTT broker and the bridge's event loop."""

    def __init__(
        self,
        settings: MqttDoorSettings,
        intake: Intake,
        roster: Roster,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._settings = settings
        self._intake = intake
        self._roster = roster
        self._loop = loop
        self._commands: dict[str, Held | None] = {}
        self._client = self._made(settings)

    def open(self) -> None:
        parts = urlsplit(self._settings.url)
        self._client.connect_async(
            str(parts.hostname), parts.port or (8883 if parts.scheme == "mqtts" else 1883), keepalive=30
        )
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def tell(self, device_id: str, held: Held | None) -> None:
        """Leave a device's command at the broker, in the place of the one before; it keeps it for who is away."""
        if not _fits_a_topic(device_id):
            _log.error("device cannot be told over MQTT: %r has a wildcard in its name", device_id)
            return
        self._commands[device_id] = held
        if self._client.is_connected():
            self._leave(device_id, held)

    def _made(self, settings: MqttDoorSettings) -> paho.Client:
        # A session that the broker keeps, and acks of ours: parcels that arrive while we are away wait there.
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=settings.client_id, clean_session=False, manual_ack=True
        )
        if settings.username:
            client.username_pw_set(settings.username, settings.password)
        if settings.url.startswith("mqtts:"):
            client.tls_set_context(_context(settings))
        client.max_queued_messages_set(0)
        client.reconnect_delay_set(1, 30)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_message = self._arrived
        return client

    def _connected(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            _log.error("mqtt refused: broker=%s reason=%s", self._settings.url, reason)
            return
        _log.info("mqtt connected: broker=%s root=%s", self._settings.url, self._settings.root)
        client.subscribe(f"{self._settings.root}/+/records", qos=1)
        # A broker that was made anew has forgotten what it was to keep.
        for device_id, held in list(self._commands.items()):
            self._leave(device_id, held)

    def _disconnected(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        _log.warning("mqtt disconnected: broker=%s reason=%s", self._settings.url, reason)

    def _arrived(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        device_id = message.topic.removeprefix(f"{self._settings.root}/").removesuffix("/records")
        taking = asyncio.run_coroutine_threadsafe(self._take(device_id, bytes(message.payload)), self._loop)
        taking.add_done_callback(lambda done: self._answer(device_id, message, done))

    async def _take(self, device_id: str, packed: bytes) -> bytes | None:
        """Return the receipt; None: the device hears nothing, and sends the parcel again."""
        try:
            self._roster.check(device_id)
            return pack(await self._intake.take(device_id, packed))
        except (BadParcelError, BusyError, IdentityError) as error:
            _log.warning("parcel not taken: device=%s why=%s", device_id, error)
            return None

    def _answer(self, device_id: str, message: paho.MQTTMessage, done: "Future[bytes | None]") -> None:
        if done.cancelled() or (failure := done.exception()) is not None:
            # Without an ack the broker gives it to us again when we come back.
            _log.error("parcel failed: device=%s", device_id, exc_info=None if done.cancelled() else failure)
            return
        receipt = done.result()
        if receipt is not None:
            self._client.publish(f"{self._settings.root}/{device_id}/receipts", receipt, qos=1)
        self._client.ack(message.mid, message.qos)

    def _leave(self, device_id: str, held: Held | None) -> None:
        content = b"" if held is None else held.content
        self._client.publish(f"{self._settings.root}/{device_id}/command", content, qos=1, retain=True)


def _fits_a_topic(device_id: str) -> bool:
    return not any(sign in device_id for sign in "+#/\0")


def _context(settings: MqttDoorSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if settings.ca is None else str(settings.ca))
        if settings.certificate is not None:
            context.load_cert_chain(settings.certificate, settings.key)
    except (OSError, ssl.SSLError) as error:
        raise BridgeError(f"the certificates for {settings.url} cannot be used: {error}") from error
    return context
