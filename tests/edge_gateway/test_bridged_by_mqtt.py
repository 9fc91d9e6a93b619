"""A gateway that reaches the fleet over an MQTT broker and a bridge behind it."""

import contextlib
import json
import time

import pytest
from a_bridge import Grounds, bridge_on
from drift_fleet import Fleet
from feed_reading import first_on, records_on
from live_gateway import Live
from mqtt_brokers import MOSQUITTO, Amqtt, Mosquitto
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from patience import PATIENCE_S, eventually

from edge_gateway import BridgeAwayError, ConfigError, UplinkConfig
from edge_gateway.link import Origin
from edge_gateway.mqtt_bridge import MqttBridge
from edge_gateway.parcel_link import ParcelLink
from edge_gateway.spool import Lane, Spooled
from schemas.catalogue import topic_named
from schemas.cluster import Cluster
from schemas.codec import codec_of
from schemas.operators import AuditEntry
from schemas.parcel import Letter, Parcel, pack
from schemas.tracing import span, stop_tracing
from streams.bridge import MqttDoorSettings

BOOT = "0b5d2f0e-8f2f-4a3a-9a63-0f7f9f0c8f11"
NOWHERE = Cluster(bootstrap="127.0.0.1:1", registry_url="http://127.0.0.1:1")


@pytest.fixture
def broker(unused_tcp_port):
    made = Amqtt(unused_tcp_port)
    yield made
    made.stop()


def parcel(number, device_id="press-7"):
    codec = codec_of(topic_named("audit.log").record)
    entry = AuditEntry(
        subject=f"device/{device_id}", action=f"said {number}", who=f"gateway {device_id}", why="", at_ms=1
    )
    letter = Letter(number=number, topic="audit.log", schema=codec.fingerprint, body=codec.encode(entry))
    return Parcel(parcel_id=f"0b5d2f0e-8f2f-4a3a-9a63-{number:012d}", boot_id=BOOT, letters=(letter,))


def carried(bridge, sent):
    """Carry a parcel as a gateway does: again and again, until there is a receipt."""

    def receipt():
        with contextlib.suppress(BridgeAwayError):
            return bridge.carry(sent)

    return eventually(receipt)


def test_a_gateway_behind_an_mqtt_broker_is_like_any_other(tmp_path, foundry, cluster, broker, write):
    url = f"mqtt://127.0.0.1:{broker.port}"
    write("rollouts.commands", foundry.command(foundry.bundle("1"), 1))
    with bridge_on(cluster, mqtt=MqttDoorSettings(url=url)):
        live = Live(tmp_path, foundry, NOWHERE, uplink=UplinkConfig(kind="mqtt", url=url, timeout_s=5.0))
        acks = records_on(cluster, "rollouts.acks", lambda found: any(ack.phase == "succeeded" for ack in found))
        stats = records_on(cluster, "telemetry.feature-stats", lambda found: {s.seq for s in found} >= {0, 1, 2})
        summary = live.close()

    assert [ack.phase for ack in acks] == ["received", "downloading", "installed", "trial", "succeeded"]
    assert {each.device_id for each in stats} == {"press-7"}
    assert (summary.waiting, summary.lost) == (0, 0)


def test_a_trace_goes_on_through_the_mqtt_door_both_ways(cluster, foundry, broker, write, receiver):
    """A window's trace is in the headers of its record, a command's trace is told with the command."""
    url, settled, found = f"mqtt://127.0.0.1:{broker.port}", [], []
    topic = topic_named("telemetry.feature-stats")
    window = Fleet().window("press-7", 0)
    spooled = Spooled(1, Lane.WINDOWS, topic.name, "press-7", 1, 0, codec_of(topic.record).encode(window))
    definition = json.dumps(codec_of(topic.record).schema)
    with span("issue a command") as trace:
        write("rollouts.commands", foundry.command(foundry.bundle("1"), 1), trace)
    with bridge_on(cluster, mqtt=MqttDoorSettings(url=url)):
        device = MqttBridge(UplinkConfig(kind="mqtt", url=url, timeout_s=5.0), "press-7", found.append, resume=None)
        device.start()
        link = ParcelLink(device)

        def is_taken():
            """Send it as a gateway does: again and again, until there is a receipt."""
            settled.clear()
            link.send(spooled, definition, Origin("gateways/press-7", BOOT), settled.append)
            eventually(lambda: [link.poll(0.1)] and settled)
            return settled == [None]

        eventually(is_taken)
        eventually(lambda: found)
        link.close(1)
        record = first_on(cluster, topic.name)
        device.close()
    stop_tracing()

    tries, (issued,) = receiver.wait_for("send a window", "issue a command")
    assert dict(record.headers)["traceparent"].decode().split("-")[1:3] in [[one.trace, one.span] for one in tries]
    assert dict(found[0].trace)["traceparent"].decode().split("-")[1:3] == [issued.trace, issued.span]


def test_without_a_bridge_the_brokers_word_counts_for_nothing(broker):
    settings = UplinkConfig(kind="mqtt", url=f"mqtt://127.0.0.1:{broker.port}", timeout_s=1.0)
    alone = MqttBridge(settings, "press-7", lambda _: None, resume=None)
    alone.start()
    assert alone._subscribed.wait(PATIENCE_S)

    with pytest.raises(BridgeAwayError, match="no receipt within 1 s"):
        alone.carry(parcel(1))

    alone.close()


def test_messages_that_are_no_parcels_cost_nothing_else(cluster, broker):
    url = f"mqtt://127.0.0.1:{broker.port}"
    with bridge_on(cluster, mqtt=MqttDoorSettings(url=url)):
        device = MqttBridge(UplinkConfig(kind="mqtt", url=url, timeout_s=3.0), "press-7", lambda _: None, resume=None)
        device.start()
        stranger = paho.Client(CallbackAPIVersion.VERSION2)
        stranger.connect("127.0.0.1", broker.port)
        stranger.loop_start()
        assert carried(device, parcel(1)).taken == (1,)

        for nonsense in (b"", b"nonsense", bytes(100_000)):
            stranger.publish("driftline/press-7/records", nonsense, qos=1).wait_for_publish(PATIENCE_S)
        stranger.publish("driftline/press-7/receipts", b"nonsense", qos=1).wait_for_publish(PATIENCE_S)
        stranger.publish("driftline/press-7/command", b"{", qos=1).wait_for_publish(PATIENCE_S)
        receipt = carried(device, parcel(2))
        device.close()
        stranger.disconnect()
        stranger.loop_stop()

    assert receipt.taken == (2,)


def test_a_name_that_would_be_a_pattern_is_refused():
    with pytest.raises(ConfigError, match="device_id is 'press-#'"):
        MqttBridge(UplinkConfig(kind="mqtt", url="mqtt://127.0.0.1"), "press-#", lambda _: None, resume=None)


@pytest.mark.skipif(MOSQUITTO is None, reason="Mosquitto is not installed")
def test_behind_mosquitto_a_certificate_opens_its_own_topics_only(tmp_path, foundry, cluster, write):
    grounds = Grounds(tmp_path / "grounds")
    mosquitto = Mosquitto(tmp_path / "mosquitto", servers=grounds.servers, devices=grounds.devices)
    url = f"mqtts://127.0.0.1:{mosquitto.port}"
    found = []

    def reach(paper, **more):
        return {"url": url, "ca": grounds.servers.file, "certificate": paper.certificate, "key": paper.key, **more}

    own, other = grounds.devices.device("press-7"), grounds.devices.device("press-8")
    door = MqttDoorSettings(**reach(grounds.devices.device("driftline-bridge")))
    with bridge_on(cluster, mqtt=door):
        device = MqttBridge(
            UplinkConfig(kind="mqtt", timeout_s=3.0, **reach(own)), "press-7", found.append, resume=None
        )
        device.start()
        receipt = carried(device, parcel(1))
        mosquitto.stop()
        mosquitto.start()
        after = carried(device, parcel(2))
        write("rollouts.commands", foundry.command(foundry.bundle("1"), 1))
        eventually(lambda: found)
        told = len(found)
        seen = steal(mosquitto.port, grounds, other, parcel(3))
        device.close()
    mosquitto.stop()
    written = records_on(cluster, "audit.log", lambda found: len({each.action for each in found}) >= 2)

    assert (receipt.taken, after.taken) == ((1,), (2,))
    assert (told, found[0].command.revision) == (1, 1)
    # Nothing of the thief's: neither a record nor another's command.
    assert {each.action for each in written} == {"said 1", "said 2"}
    assert seen == []


def steal(port, grounds, paper, sent):
    """Try, with one device's certificate, to send and to listen on another's topics."""
    seen = []
    thief = paho.Client(CallbackAPIVersion.VERSION2)
    thief.tls_set(str(grounds.servers.file), str(paper.certificate), str(paper.key))
    thief.on_message = lambda _client, _data, message: seen.append(message.topic)
    thief.connect("127.0.0.1", port)
    thief.loop_start()
    thief.subscribe([("driftline/press-7/command", 1), ("driftline/#", 1)])
    thief.publish("driftline/press-7/records", pack(sent), qos=1).wait_for_publish(PATIENCE_S)
    time.sleep(1.0)
    thief.disconnect()
    thief.loop_stop()
    return seen
