"""MQTT against a real broker (amqtt), in this process."""

import asyncio
import json
import threading
import time

import pytest
from amqtt.broker import Broker
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from sensing.sources import MqttSettings, MqttSource

CHANNELS = ("temperature", "wind")


class RealBroker:
    def __init__(self, port):
        self.port = port
        self.start()

    def start(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        config = {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{self.port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }

        async def begin():
            self._broker = Broker(config)
            await self._broker.start()

        asyncio.run_coroutine_threadsafe(begin(), self._loop).result(10)

    def stop(self):
        asyncio.run_coroutine_threadsafe(self._broker.shutdown(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


@pytest.fixture
def broker(unused_tcp_port):
    made = RealBroker(unused_tcp_port)
    yield made
    made.stop()


@pytest.fixture
def source(broker):
    made = MqttSource(MqttSettings(port=broker.port, client_id="gateway"), CHANNELS)
    yield made
    made.close()


@pytest.fixture
def send(broker):
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()

    def publish(payload, topic="sensors/hall"):
        client.publish(topic, payload if isinstance(payload, bytes | str) else json.dumps(payload), qos=1)

    yield publish
    client.disconnect()
    client.loop_stop()


def read(source, count, timeout_s=15.0):
    found = []
    deadline_s = time.monotonic() + timeout_s
    while sum(len(each.at_ms) for each in found) < count:
        assert time.monotonic() < deadline_s, found
        found += source.poll(0.2)
    return found


def wait_connected(source, send):
    """Until something arrives: a subscription has no other sign."""
    deadline_s = time.monotonic() + 15
    while time.monotonic() < deadline_s:
        send({"at_ms": 1, "temperature": 0, "stream": "hello"})
        if source.poll(0.3):
            break
    time.sleep(0.5)
    while source.poll(0.1):
        pass


def test_readings_arrive_and_bad_ones_cost_nothing_else(source, send):
    wait_connected(source, send)

    for payload in ("no json", b"\xff\xfe", "[]", "5", {"at_ms": 1}, {"at_ms": 2, "temperature": "hot"}):
        send(payload)
    send([{"at_ms": 10, "temperature": 20.5, "wind": 3}, {"at_ms": 20, "temperature": 21}])
    found = read(source, 2)

    assert found[0].stream == "sensors/hall"
    assert found[0].at_ms.tolist() == [10, 20]
    assert source.refused == 5


def test_it_comes_back_when_the_broker_does(source, send, broker):
    wait_connected(source, send)

    broker.stop()
    broker.start()
    wait_connected(source, send)
    send({"at_ms": 77, "temperature": 1})

    assert 77 in [at for each in read(source, 1, 30) for at in each.at_ms.tolist()]
