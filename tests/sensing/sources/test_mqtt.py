"""MQTT against a real broker."""

import itertools
import json
import time

import pytest
from certificates import Authority
from mqtt_brokers import MOSQUITTO, Amqtt, Mosquitto
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from patience import PATIENCE_S, eventually

from sensing.sources import MqttSettings, MqttSource

CHANNELS = ("temperature", "wind")


@pytest.fixture
def broker(unused_tcp_port):
    made = Amqtt(unused_tcp_port)
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


def read(source, count):
    found = []
    eventually(
        lambda: found.extend(source.poll(0.2)) or sum(len(each.at_ms) for each in found) >= count,
        or_say=lambda: f"found {found}",
    )
    return found


def wait_connected(source, send):
    """Until something arrives, for a subscription has no other sign; and then all that was sent for it."""
    numbers = itertools.count(100_000)

    def hears():
        send({"at_ms": next(numbers), "temperature": 0, "stream": "hello"})
        return source.poll(0.3)

    eventually(hears)
    last = next(numbers)
    send({"at_ms": last, "temperature": 0, "stream": "hello"})
    eventually(lambda: any(last in each.at_ms for each in source.poll(0.3)))


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

    assert 77 in [at for each in read(source, 1) for at in each.at_ms.tolist()]


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "authority", "plant")


@pytest.fixture
def tls_broker(unused_tcp_port, authority):
    paper = authority.server()
    made = Amqtt(unused_tcp_port, certificate=paper.certificate, key=paper.key)
    yield made
    made.stop()


def test_readings_arrive_over_tls_and_are_acknowledged_one_by_one(tls_broker, authority):
    settings = MqttSettings(host="localhost", port=tls_broker.port, client_id="gateway", ca=str(authority.file))
    source = MqttSource(settings, CHANNELS)
    sender = paho.Client(CallbackAPIVersion.VERSION2)
    sender.tls_set(str(authority.file))
    sender.connect("localhost", tls_broker.port)
    sender.loop_start()

    def send(payload):
        sender.publish("sensors/hall", json.dumps(payload), qos=1)

    wait_connected(source, send)
    for number in range(200):
        send({"at_ms": 1000 + number, "temperature": number})
    found = read(source, 200)
    source.close()
    sender.disconnect()
    sender.loop_stop()

    # QoS 1: each at least once.
    assert {at for each in found for at in each.at_ms.tolist()} == set(range(1000, 1200))


@pytest.mark.skipif(not MOSQUITTO, reason="Mosquitto is not installed")
def test_a_gateway_that_was_busy_hears_again_what_mosquitto_held_back(tmp_path, authority):
    devices = Authority(tmp_path / "devices", "devices")
    broker = Mosquitto(tmp_path / "broker", servers=authority, devices=devices, permits="pattern readwrite sensors/#\n")
    paper, other = devices.device("gateway"), devices.device("sensor")
    settings = MqttSettings(
        host="localhost",
        port=broker.port,
        client_id="gateway",
        ca=str(authority.file),
        certificate=paper.certificate,
        key=paper.key,
    )
    source = MqttSource(settings, CHANNELS, capacity=10)
    sender = paho.Client(CallbackAPIVersion.VERSION2)
    sender.tls_set(str(authority.file), certfile=str(other.certificate), keyfile=str(other.key))
    sender.connect("localhost", broker.port)
    sender.loop_start()

    def send(payload):
        sender.publish("sensors/hall", json.dumps(payload), qos=1).wait_for_publish(PATIENCE_S)

    wait_connected(source, send)
    try:
        # More than a broker sends without an acknowledgement, and a bomb among them.
        for number in range(0, 90, 3):
            send([{"at_ms": 1000 + number + each, "temperature": number} for each in range(3)])
        sender.publish("sensors/hall", "[" * 200_000, qos=1).wait_for_publish(PATIENCE_S)
        sender.publish("sensors/hall", b"x" * 1_000_000, qos=1).wait_for_publish(PATIENCE_S)
        time.sleep(1)
        found = read(source, 90)
        send({"at_ms": 5000, "temperature": 1})
        found += read(source, 1)
    finally:
        source.close()
        sender.disconnect()
        sender.loop_stop()
        broker.stop()

    assert [at for each in found for at in each.at_ms.tolist()] == [*range(1000, 1090), 5000]
    assert source.refused == 2


def test_a_broker_of_another_authority_is_not_talked_to(tls_broker, authority, tmp_path, caplog):
    stranger = Authority(tmp_path / "stranger", "elsewhere")

    source = MqttSource(MqttSettings(host="localhost", port=tls_broker.port, ca=str(stranger.file)), CHANNELS)
    time.sleep(2.0)
    found = source.poll(0.1)
    source.close()

    assert found == []
    assert "mqtt connected" not in caplog.text
