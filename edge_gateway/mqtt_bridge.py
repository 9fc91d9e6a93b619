"""A bridge behind an MQTT broker: parcels and receipts are messages, the device's command is one that is retained."""

import hashlib
import logging
import queue
import socket
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from edge_gateway.commands import Received, received_of
from edge_gateway.errors import BridgeAwayError, ConfigError
from edge_gateway.https_bridge import tls_context
from edge_gateway.uplink_config import UplinkConfig
from schemas.errors import BadRecordError, DriftlineError
from schemas.parcel import Parcel, Receipt, pack, unpack

__all__ = ["MqttBridge", "knock"]

_log = logging.getLogger(__name__)

_POSITION = "etag "


def knock(settings: UplinkConfig, timeout_s: float) -> None:
    """Connect to the broker's port, over TLS where that is meant; `BridgeAwayError` says what is in the way."""
    host, port = _address(settings)
    try:
        with socket.create_connection((host, port), timeout_s) as plain:
            if settings.url.startswith("mqtts:"):
                tls_context(settings).wrap_socket(plain, server_hostname=host).close()
    except OSError as error:
        raise BridgeAwayError(
            f"{settings.url}: {error}", hint="the gateway buffers meanwhile; are address and certificates right?"
        ) from error


class MqttBridge:
    """Carries parcels and brings commands over one connection, which comes back by itself after every cut."""

    def __init__(
        self, settings: UplinkConfig, device_id: str, deliver: Callable[[Received], None], *, resume: str | None
    ) -> None:
        from paho.mqtt import client as mqtt
        from paho.mqtt.enums import CallbackAPIVersion

        if any(sign in device_id for sign in "+#"):
            raise ConfigError("device_id", device_id, "no + and no # where the uplink is mqtt")
        self._settings = settings
        self._deliver = deliver
        self._etag = resume.removeprefix(_POSITION) if resume and resume.startswith(_POSITION) else ""
        self._topics = {name: f"{settings.root}/{device_id}/{name}" for name in ("records", "receipts", "command")}
        # None: the gateway ends, and nothing is waited for.
        self._receipts: queue.SimpleQueue[Receipt | None] = queue.SimpleQueue()
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"{settings.root}-{device_id}")
        if settings.username:
            self._client.username_pw_set(settings.username, settings.password)
        if settings.url.startswith("mqtts:"):
            self._client.tls_set_context(tls_context(settings))
        self._client.reconnect_delay_set(1, 60)
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._arrived

    def start(self) -> None:
        host, port = _address(self._settings)
        self._client.connect_async(host, port, keepalive=30)
        self._client.loop_start()

    def stop(self, timeout_s: float = 0.0) -> None:
        """Bring no more commands; parcels may still be carried."""
        self._client.unsubscribe(self._topics["command"])

    def close(self) -> None:
        self._subscribed.clear()
        self._receipts.put(None)
        self._client.disconnect()
        self._client.loop_stop()

    def carry(self, parcel: Parcel) -> Receipt:
        """See `Carrier`."""
        if not self._subscribed.is_set():
            raise BridgeAwayError(f"{self._settings.url} is not connected")
        while not self._receipts.empty():
            # Of parcels that were given up.
            self._receipts.get()
        self._client.publish(self._topics["records"], pack(parcel), qos=1)
        while True:
            try:
                receipt = self._receipts.get(timeout=self._settings.timeout_s)
            except queue.Empty:
                raise BridgeAwayError(
                    f"no receipt within {self._settings.timeout_s:g} s; does a bridge listen at {self._settings.url}?"
                ) from None
            if receipt is None:
                raise BridgeAwayError("the gateway is ending")
            if receipt.parcel_id == parcel.parcel_id:
                return receipt

    def _connected(self, client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            _log.error("mqtt refused: broker=%s reason=%s", self._settings.url, reason)
            return
        _log.info("mqtt connected: broker=%s", self._settings.url)
        client.subscribe([(self._topics["receipts"], 1), (self._topics["command"], 1)])

    def _disconnected(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._subscribed.clear()
        _log.warning("mqtt disconnected: broker=%s reason=%s", self._settings.url, reason)

    def _on_subscribe(self, _client: Any, _data: Any, _mid: Any, reasons: Any, _properties: Any) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            _log.error("mqtt topics refused: topics=%s why=%s", ", ".join(self._topics.values()), refused[0])
            return
        self._subscribed.set()

    def _arrived(self, _client: Any, _data: Any, message: Any) -> None:
        try:
            if message.topic == self._topics["receipts"]:
                self._receipts.put(unpack(Receipt, bytes(message.payload)))
            elif message.topic == self._topics["command"] and message.payload:
                self._take_command(bytes(message.payload))
        except (DriftlineError, BadRecordError) as error:
            _log.error("message of no use: topic=%s why=%s", message.topic, error)

    def _take_command(self, content: bytes) -> None:
        etag = hashlib.sha256(content).hexdigest()[:32]
        # The broker gives the retained one again after every cut.
        if etag != self._etag:
            self._etag = etag
            self._deliver(received_of(content, _POSITION + etag))


def _address(settings: UplinkConfig) -> tuple[str, int]:
    parts = urlsplit(settings.url)
    return str(parts.hostname), parts.port or (8883 if parts.scheme == "mqtts" else 1883)
