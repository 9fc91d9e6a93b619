"""A gateway that reaches the fleet over a bridge: mutual TLS, a real broker behind it."""

import contextlib
import io
import json
import socket
import ssl
import time
from random import Random

import fastavro
import pytest
from a_bridge import Grounds, bridge_on
from drift_fleet import Fleet
from feed_reading import first_on, records_on
from live_gateway import Live
from patience import PATIENCE_S, eventually

from edge_gateway import BridgeAwayError, GatewayConfig, UplinkConfig
from edge_gateway.doctor import examine
from edge_gateway.https_bridge import Asker, HttpsCarrier
from edge_gateway.link import Origin
from edge_gateway.parcel_link import ParcelLink
from edge_gateway.spool import Lane, Spool, SpoolConfig, Spooled
from edge_gateway.uplink import Uplink
from schemas.catalogue import topic_named
from schemas.cluster import Cluster
from schemas.codec import codec_of
from schemas.fleet import Device, DeviceState
from schemas.operators import AuditEntry
from schemas.parcel import Letter, Parcel
from schemas.tracing import span, stop_tracing
from trust import write_keyring

BOOT = "0b5d2f0e-8f2f-4a3a-9a63-0f7f9f0c8f11"
OTHER = "1b5d2f0e-8f2f-4a3a-9a63-0f7f9f0c8f11"
NOWHERE = Cluster(bootstrap="127.0.0.1:1", registry_url="http://127.0.0.1:1")


@pytest.fixture(scope="module")
def grounds(tmp_path_factory):
    return Grounds(tmp_path_factory.mktemp("grounds"))


@pytest.fixture
def bridge(cluster, grounds):
    with bridge_on(cluster, https=grounds.https()) as running:
        yield running


@pytest.fixture
def reach(grounds, bridge):
    """Say how a device reaches the bridge, by default with its own certificate."""

    def uplink(device_id="press-7", *, paper=None, **changes):
        paper = paper or grounds.devices.device(device_id)
        said = {
            "kind": "https",
            "url": f"https://127.0.0.1:{bridge.port}",
            "ca": grounds.servers.file,
            "certificate": paper.certificate,
            "key": paper.key,
        }
        return UplinkConfig(**{**said, **changes})

    return uplink


def parcel(*letters, definitions=None):
    return Parcel(parcel_id=OTHER, boot_id=BOOT, letters=letters, definitions=definitions or {})


def entry(device_id, number=0):
    return AuditEntry(
        subject=f"device/{device_id}", action=f"said {number}", who=f"gateway {device_id}", why="", at_ms=number
    )


def letter(record, number=0, topic="audit.log"):
    codec = codec_of(topic_named(topic).record)
    return Letter(number=number, topic=topic, schema=codec.fingerprint, body=codec_of(type(record)).encode(record))


def test_a_gateway_behind_a_bridge_is_like_any_other(tmp_path, foundry, cluster, reach, write):
    live = Live(tmp_path, foundry, NOWHERE, uplink=reach())
    write("rollouts.commands", foundry.command(foundry.bundle("1"), 1))

    acks = records_on(cluster, "rollouts.acks", lambda found: any(ack.phase == "succeeded" for ack in found))
    stats = records_on(cluster, "telemetry.feature-stats", lambda found: {s.seq for s in found} >= {0, 1, 2})
    heartbeats = records_on(cluster, "fleet.heartbeats", lambda found: any(each.model_id == "demo/1" for each in found))
    summary = live.close()

    assert [ack.phase for ack in acks] == ["received", "downloading", "installed", "trial", "succeeded"]
    assert {each.device_id for each in stats} == {"press-7"}
    assert heartbeats
    assert (summary.waiting, summary.lost) == (0, 0)


def test_records_stand_on_their_topics_as_if_the_gateway_had_written_them(cluster, reach):
    carrier = HttpsCarrier(reach())

    receipt = carrier.carry(parcel(letter(entry("press-7"), 41)))
    carrier.close()

    event = first_on(cluster, "audit.log")
    assert receipt.taken == (41,)
    assert event.key == "device/press-7"
    assert dict(event.headers)["ce_source"] == b"gateways/press-7"
    assert dict(event.headers)["ce_id"] == f"{BOOT}/41".encode()


def test_a_record_about_another_device_is_refused_and_kept_as_a_dead_letter(cluster, reach):
    carrier = HttpsCarrier(reach())

    receipt = carrier.carry(parcel(letter(entry("press-7"), 1), letter(entry("press-8"), 2)))
    carrier.close()
    letters = records_on(cluster, "dead-letters", lambda found: len(found) >= 1)

    assert receipt.taken == (1,)
    assert list(receipt.refused) == ["2"]
    assert "the certificate is that of 'press-7'" in receipt.refused["2"]
    assert (letters[0].source_topic, letters[0].source_offset) == ("bridge/press-7", 2)


def test_who_has_no_certificate_of_the_devices_authority_is_not_let_in(grounds, reach):
    for paper in (grounds.strangers.device("press-7"), grounds.servers.server("press-7")):
        with pytest.raises(BridgeAwayError):
            HttpsCarrier(reach(paper=paper)).carry(parcel())


def test_a_device_does_not_talk_to_a_server_of_another_authority(grounds, reach):
    with pytest.raises(BridgeAwayError, match="certificate verify failed"):
        HttpsCarrier(reach(ca=grounds.devices.file)).carry(parcel())


def test_a_certificate_that_was_taken_back_is_not_let_in(cluster, grounds, reach):
    paper = grounds.devices.device("press-9")
    with bridge_on(cluster, https=grounds.https(revoked=grounds.devices.revoke(paper))) as strict:
        url = f"https://127.0.0.1:{strict.port}"
        with pytest.raises(BridgeAwayError):
            HttpsCarrier(reach(paper=paper, url=url)).carry(parcel())

        assert HttpsCarrier(reach(url=url)).carry(parcel()).taken == ()


def test_a_device_that_the_fleet_has_revoked_is_turned_away_at_once(reach, write):
    carrier = HttpsCarrier(reach())
    assert carrier.carry(parcel()).taken == ()

    write(
        "fleet.devices",
        Device(
            device_id="press-7", state=DeviceState.REVOKED, labels={}, model_id="", revision=0, registered_ms=0,
            last_seen_ms=0,
        ),
    )  # fmt: skip

    with pytest.raises(BridgeAwayError, match="403: press-7 was revoked"):
        eventually(lambda: not carrier.carry(parcel()), or_say="press-7 is let in")


def test_bytes_that_are_no_parcel_are_answered_in_words(reach):
    carrier = HttpsCarrier(reach())

    with pytest.raises(BridgeAwayError, match="answers 400: Parcel: found"):
        carrier._line.ask("POST", "/v1/records", body=b"nonsense")
    with pytest.raises(BridgeAwayError, match="answers 413"):
        carrier._line.ask("POST", "/v1/records", body=bytes(2_000_000))
    with pytest.raises(BridgeAwayError, match="wait_s is 'nan'"):
        carrier._line.ask("GET", "/v1/command?wait_s=nan")
    with pytest.raises(BridgeAwayError, match="answers 404"):
        carrier._line.ask("GET", "/v1/other")
    assert carrier.carry(parcel()).taken == ()


def test_a_record_that_an_older_version_left_in_the_spool_goes_out_with_its_schema(cluster, reach):
    schema = {**codec_of(AuditEntry).schema}
    schema["fields"] = [field for field in schema["fields"] if field["name"] != "evidence"]
    link = ParcelLink(HttpsCarrier(reach()))
    outcomes = []

    out = io.BytesIO()
    plain = {"subject": "device/press-7", "action": "old", "who": "gateway press-7", "why": "", "at_ms": 1}
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), plain)
    record = Spooled(7, Lane.CONTROL, "audit.log", "device/press-7", 1, 0, out.getvalue())
    for turn in range(2):
        link.send(record, json.dumps(schema), Origin("gateways/press-7", BOOT), outcomes.append)
        while len(outcomes) <= turn:
            link.poll(0.1)
    link.close(1)

    assert outcomes[0].why == "1 schemas are not known here"
    assert outcomes[1] is None
    assert [each.action for each in records_on(cluster, "audit.log", lambda found: len(found) >= 1)] == ["old"]


def test_a_trace_goes_on_through_the_bridge_both_ways(cluster, foundry, reach, write, receiver):
    """The bridge itself traces nothing; it hands on what it is given."""
    link, settled, found = ParcelLink(HttpsCarrier(reach())), [], []
    topic = topic_named("telemetry.feature-stats")
    window = Fleet().window("press-7", 0)
    spooled = Spooled(1, Lane.WINDOWS, topic.name, "press-7", 1, 0, codec_of(topic.record).encode(window))
    link.send(spooled, json.dumps(codec_of(topic.record).schema), Origin("gateways/press-7", BOOT), settled.append)
    while not settled:
        link.poll(0.1)
    link.close(1)
    with span("issue a command") as trace:
        write("rollouts.commands", foundry.command(foundry.bundle("1"), 1), trace)
    asker = Asker(reach(), found.append, resume=None, rng=Random(1))
    asker.start()
    eventually(lambda: found)
    asker.stop()
    event = first_on(cluster, topic.name)
    stop_tracing()

    (sent,), (issued,) = receiver.wait_for("send a window", "issue a command")
    assert settled == [None]
    assert dict(event.headers)["traceparent"].decode().split("-")[1:3] == [sent.trace, sent.span]
    assert dict(found[0].trace)["traceparent"].decode().split("-")[1:3] == [issued.trace, issued.span]


def test_a_command_comes_down_as_soon_as_it_is_given(foundry, reach, write):
    found = []
    asker = Asker(reach(), found.append, resume=None, rng=Random(1))
    asker.start()
    time.sleep(1.0)

    begun_s = time.monotonic()
    write("rollouts.commands", foundry.command(foundry.bundle("1"), 1))
    write("rollouts.commands", foundry.command(foundry.bundle("1"), 1, device_id="press-8"))
    eventually(lambda: found)
    took_s = time.monotonic() - begun_s
    time.sleep(0.5)
    asker.stop()

    assert [(each.command.device_id, each.command.revision) for each in found] == [("press-7", 1)]
    # A question that nobody answers is held open for 55 s.
    assert took_s < 25
    again = []
    resumed = Asker(reach(), again.append, resume=found[0].position, rng=Random(1))
    resumed.start()
    time.sleep(1.0)
    resumed.stop()
    assert again == []


def test_what_was_made_while_the_bridge_was_away_arrives_when_it_is_back(tmp_path, cluster, grounds, reach):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spool = Spool(tmp_path / "spool.db", SpoolConfig(), now_ms=0)
    for number in range(300):
        spool.write(lambda write, n=number: write.put(Lane.CONTROL, "audit.log", entry("press-7", n), 0), now_ms=0)
    uplink = Uplink(
        spool, ParcelLink(HttpsCarrier(reach(url=f"https://127.0.0.1:{port}"))), source="gateways/press-7",
        rng=Random(1),
    )  # fmt: skip

    pump(uplink, 2.0)
    buffered = spool.depth().records
    with bridge_on(cluster, https=grounds.https(port=port)):
        pump(uplink, PATIENCE_S, lambda: uplink.idle and uplink.empty)
    left = spool.depth()
    found = records_on(cluster, "audit.log", lambda found: len({each.action for each in found}) >= 300)
    uplink._link.close(1)
    spool.close()

    assert buffered == 300
    assert (left.records, left.dropped) == (0, 0)
    assert {each.action for each in found} == {f"said {number}" for number in range(300)}


def test_nothing_is_forgotten_here_while_kafka_is_away_behind_the_bridge(tmp_path, grounds, registry_url):
    """The bridge has no roster and no broker: it takes nothing, and says so."""
    nobody = Cluster(bootstrap="127.0.0.1:1", registry_url=registry_url)
    paper = grounds.devices.device("press-7")
    with bridge_on(nobody, kafka_away=True, https=grounds.https()) as running:
        carrier = HttpsCarrier(
            UplinkConfig(
                kind="https", url=f"https://127.0.0.1:{running.port}", ca=grounds.servers.file,
                certificate=paper.certificate, key=paper.key,
            )
        )  # fmt: skip
        with pytest.raises(BridgeAwayError, match="503: the bridge has not read yet who was revoked"):
            carrier.carry(parcel(letter(entry("press-7"))))


def pump(uplink, seconds, enough=lambda: False):
    ends_s = time.monotonic() + seconds
    while time.monotonic() < ends_s and not enough():
        uplink._link.poll(0.05)
        uplink.pump(time.time_ns() // 1_000_000)


def test_the_doctor_looks_at_the_bridge_where_there_is_one(tmp_path, foundry, grounds, reach, write):
    write_keyring(tmp_path / "keys.json", foundry.keyring)

    def said(uplink):
        config = GatewayConfig(
            device_id="press-7", data=tmp_path / "data", keyring=tmp_path / "keys.json", uplink=uplink
        )
        return {finding.what: finding for finding in examine(config, NOWHERE, now_ms=0)}

    before = said(reach())["bridge"]
    write("rollouts.commands", foundry.command(foundry.bundle("1"), 1))
    eventually(lambda: said(reach())["bridge"].said.endswith("knows this device"))
    stranger = said(reach(paper=grounds.strangers.device("press-7")))["bridge"]

    assert before.well
    assert before.said.endswith("has no command for it")
    assert not stranger.well
    assert "broker" not in said(reach())


def test_a_parcel_that_trickles_in_is_cut_off_and_holds_up_nobody(cluster, grounds, reach):
    with bridge_on(cluster, https=grounds.https(body_within_s=3.0)) as strict:
        url = f"https://127.0.0.1:{strict.port}"
        slow = trickle(reach("press-8", url=url), strict.port)
        begun_s = time.monotonic()
        meanwhile = HttpsCarrier(reach(url=url)).carry(parcel(letter(entry("press-7"), 1)))
        answer = b""
        while chunk := slow.recv(4096):
            answer += chunk
        took_s = time.monotonic() - begun_s
        slow.close()
        counted = strict.registry.get_sample_value("bridge_too_slow")
        afterwards = HttpsCarrier(reach("press-8", url=url)).carry(parcel(letter(entry("press-8"), 2)))

    assert meanwhile.taken == (1,)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"was not here within 3 s" in answer
    # Where nothing is said, it waits for 30 s.
    assert took_s < 20
    assert counted == 1
    assert afterwards.taken == (2,)


def test_a_head_that_trickles_in_is_cut_off_and_a_resting_connection_is_not(cluster, grounds, reach):
    with bridge_on(cluster, https=grounds.https(head_within_s=2.0)) as strict:
        url = f"https://127.0.0.1:{strict.port}"
        resting = HttpsCarrier(reach(url=url))
        before = resting.carry(parcel(letter(entry("press-7"), 1)))
        silent = socket.create_connection(("127.0.0.1", strict.port))
        lines = [connected(reach("press-8", url=url), strict.port) for _ in range(2)]
        begun_s = time.monotonic()
        for line in lines:
            line.sendall(b"GET /v1/command HTTP/1.1\r\nHost: bridge\r\n")
        for _ in range(4):
            time.sleep(0.6)
            send_or_be_told_off(lines[0], b"X-More: x\r\n")
        ends = [until_it_ends(line) for line in (*lines, silent)]
        took_s = time.monotonic() - begun_s
        counted = strict.registry.get_sample_value("bridge_too_slow")
        # Its connection has rested for longer than a head may take; and it serves as before.
        after = resting.carry(parcel(letter(entry("press-7"), 2)))

    assert (before.taken, after.taken) == ((1,), (2,))
    assert ends == [b"", b"", b""]
    # Where nothing is said, it waits for 10 s.
    assert took_s < 10
    assert counted == 2


def test_a_question_that_is_held_open_is_no_slow_one(cluster, grounds, reach):
    with bridge_on(cluster, https=grounds.https(head_within_s=2.0)) as strict:
        line = connected(reach(url=f"https://127.0.0.1:{strict.port}"), strict.port)
        line.sendall(b"GET /v1/command?wait_s=4 HTTP/1.1\r\nHost: bridge\r\n\r\n")
        first = line.recv(4096)
        line.sendall(b"GET /v1/command HTTP/1.1\r\nHost: bridge\r\n\r\n")
        second = line.recv(4096)

    assert first.startswith(b"HTTP/1.1 204")
    assert second.startswith(b"HTTP/1.1 204")


def trickle(settings, port):
    """Begin a parcel, byte by byte, and never end it."""
    line = connected(settings, port)
    line.sendall(b"POST /v1/records HTTP/1.1\r\nHost: bridge\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(5):
        line.sendall(b"x")
    return line


def connected(settings, port):
    context = ssl.create_default_context(cafile=str(settings.ca))
    context.load_cert_chain(settings.certificate, settings.key)
    line = context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1")
    line.settimeout(PATIENCE_S)
    return line


def send_or_be_told_off(line, content):
    with contextlib.suppress(OSError):
        line.sendall(content)


def until_it_ends(line):
    """What comes until the other side hangs up, whichever way it does so."""
    line.settimeout(PATIENCE_S)
    heard = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while chunk := line.recv(4096):
            heard += chunk
    line.close()
    return heard
