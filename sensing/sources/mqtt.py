"""Readings over MQTT, from any broker: QoS 1, TLS where it is wanted, back by itself after every cut.

A message is a JSON object, or a list of them, with a time (`at_ms` or `timestamp`; the arrival if absent) and a value
for each channel. The stream is the object's own `stream`, or the topic.
"""

import json
import logging
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sensing.errors import ReadingError, SensingError
from sensing.sources.base import Readings
from sensing.sources.inbox import InboxSource
from sensing.sources.parsing import parse_reading

__all__ = ["MqttSettings", "MqttSource"]

_log = logging.getLogger(__name__)

_MAX_PAYLOAD = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """Where the broker is, and how it knows us."""

    host: str = "127.0.0.1"
    port: int = 1883
    topic: str = "sensors/#"
    client_id: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    # A file of authorities makes it TLS; "system" takes the machine's own.
    ca: str = ""
    certificate: Path | None = None
    key: Path | None = None


class MqttSource:
    """Subscribes and buffers; a message is acknowledged to the broker when its readings are taken in."""

    def __init__(self, settings: MqttSettings, channels: Sequence[str]) -> None:
        try:
            from paho.mqtt import client as mqtt
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError:
            raise SensingError("MQTT needs paho-mqtt", hint="pip install 'driftline[gateway]'") from None
        self.channels = tuple(channels)
        self._settings = settings
        self._inbox = InboxSource(channels)
        # A named client has a session of its own on the broker, which keeps messages while we are away.
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            clean_session=not settings.client_id,
            manual_ack=True,
        )
        if settings.username:
            self._client.username_pw_set(settings.username, settings.password)
        if settings.ca:
            self._client.tls_set_context(_context(settings))
        self._client.on_connect = self._subscribe
        self._client.on_disconnect = self._note_disconnect
        self._client.on_message = self._receive
        self._client.reconnect_delay_set(1, 60)
        self._client.connect_async(settings.host, settings.port, keepalive=30)
        self._client.loop_start()

    @property
    def refused(self) -> int:
        return self._inbox.refused

    @property
    def done(self) -> bool:
        return self._inbox.done

    def poll(self, timeout_s: float) -> list[Readings]:
        return self._inbox.poll(timeout_s)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._inbox.close()

    def _subscribe(self, client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            _log.error("mqtt refused: host=%s reason=%s", self._settings.host, reason)
            return
        _log.info("mqtt connected: host=%s topic=%s", self._settings.host, self._settings.topic)
        client.subscribe(self._settings.topic, qos=1)

    def _note_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        _log.warning("mqtt disconnected: host=%s reason=%s", self._settings.host, reason)

    def _receive(self, client: Any, _data: Any, message: Any) -> None:
        taken = [self._inbox.offer(reading) for reading in self._parsed(message)]
        # Without an ack the broker keeps what found no room, and sends it again.
        if all(taken):
            client.ack(message.mid, message.qos)

    def _parsed(self, message: Any) -> list[Any]:
        if len(message.payload) > _MAX_PAYLOAD:
            self._inbox.refuse(f"a message of {len(message.payload)} bytes on {message.topic}")
            return []
        try:
            content = json.loads(message.payload)
        except (ValueError, RecursionError) as error:
            self._inbox.refuse(f"no JSON on {message.topic}: {error}")
            return []
        parsed = []
        now_ms = time.time_ns() // 1_000_000
        for each in content if isinstance(content, list) else [content]:
            try:
                if not isinstance(each, dict):
                    raise ReadingError(f"a {type(each).__name__}; wanted: an object")
                parsed.append(parse_reading(each, self.channels, stream=message.topic, now_ms=now_ms))
            except ReadingError as error:
                self._inbox.refuse(f"{message.topic}: {error}")
        return parsed


def _context(settings: MqttSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=None if settings.ca == "system" else settings.ca)
    if settings.certificate is not None:
        context.load_cert_chain(settings.certificate, settings.key)
    return context
