"""Readings over MQTT, from any broker: QoS 1, TLS where it is wanted, back by itself after every cut.

A message is a JSON object, or a list of them, with a time (`at_ms` or `timestamp`; the arrival if absent) and a value
for each channel. The stream is the object's own `stream`, or the topic.
"""

import json
import logging
import ssl
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sensing.errors import ReadingError, SensingError
from sensing.sources.base import Readings
from sensing.sources.inbox import InboxSource
from sensing.sources.parsing import Parsed, parse_reading

__all__ = ["MqttSettings", "MqttSource"]

_log = logging.getLogger(__name__)

_MAX_PAYLOAD = 256 * 1024
# Messages that wait for room; beyond, what comes is refused (at QoS 0 nothing slows a sender down).
_MOST_HELD = 1_000


class _Held(NamedTuple):
    """A message that is being taken in, and those of its readings that are not yet."""

    mid: int
    qos: int
    connection: int
    readings: deque[Parsed]


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
    """Subscribes and buffers; a message is acknowledged to the broker when its readings are taken in.

    What finds no room waits, unacknowledged, until there is some: a broker that has sent a few such messages (twenty,
    mostly) sends no more meanwhile, and goes on by itself afterwards.
    """

    def __init__(self, settings: MqttSettings, channels: Sequence[str], *, capacity: int = 20_000) -> None:
        try:
            from paho.mqtt import client as mqtt
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError:
            raise SensingError("MQTT needs paho-mqtt", hint="pip install 'driftline[gateway]'") from None
        self.channels = tuple(channels)
        self._settings = settings
        self._inbox = InboxSource(channels, capacity=capacity)
        self._lock = threading.RLock()
        self._held: deque[_Held] = deque()
        # Counts connections: an ack belongs to the one that its message came by.
        self._connection = 0
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
        found = self._inbox.poll(timeout_s)
        with self._lock:
            self._take_in()
        return found

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
        with self._lock:
            self._connection += 1
            if self._settings.client_id:
                # The session is kept, and what was not acknowledged comes again.
                self._held.clear()

    def _receive(self, _client: Any, _data: Any, message: Any) -> None:
        readings = deque(self._parsed(message))
        with self._lock:
            if len(self._held) >= _MOST_HELD:
                self._inbox.refuse("the inbox is full, and the broker waits for no acknowledgement")
                readings.clear()
            self._held.append(_Held(message.mid, message.qos, self._connection, readings))
            self._take_in()

    def _take_in(self) -> None:
        """Take in what there is room for, in order, and acknowledge what is taken whole."""
        while self._held:
            first = self._held[0]
            while first.readings:
                if not self._inbox.has_taken(first.readings[0]):
                    return
                first.readings.popleft()
            self._held.popleft()
            if first.connection == self._connection:
                self._client.ack(first.mid, first.qos)

    def _parsed(self, message: Any) -> list[Parsed]:
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
