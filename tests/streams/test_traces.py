"""One trace leads from what gateways send to what a device is told, through real workers over real Kafka."""

import asyncio
import threading
import time

from console_fleet import release
from drift_fleet import MINUTE_MS, Fleet
from feed_reading import first_on
from patience import PATIENCE_S, eventually

from edge_gateway.commands import Follower
from edge_gateway.kafka_link import KafkaLink
from edge_gateway.link import Origin
from edge_gateway.spool import Lane, Spooled
from schemas.canonical import canonical_json
from schemas.codec import codec_of
from schemas.feature_stats import FeatureStats
from schemas.registry import Registry
from schemas.tracing import context_in, span
from schemas.wire import Contract
from streams.drift.service import make_drift_app
from streams.rollouts.controller import ControllerOptions
from streams.rollouts.service import RolloutService, ServiceOptions
from streams.rollouts.simulated import SimulatedFleet, SimulatedGateway
from trainer.desk import DeskPolicy
from trainer.publishing import Publisher
from trainer.worker.watching import DeskWatch
from trust import Keyring, Kind, load_signer, make_key, pin


async def test_an_alert_names_the_windows_it_stands_on_and_the_desk_goes_on_in_its_trace(
    cluster, publish, running, receiver
):
    fleet, now_ms = Fleet(model_id="pump/1"), int(time.time() * 1000)
    start_ms = now_ms - now_ms % MINUTE_MS - 12 * MINUTE_MS
    publish("models.grids", [fleet.grid])
    publish("models.baselines", [fleet.baseline])
    windows = [fleet.window("d-1", minute, start_ms=start_ms) for minute in range(6)]
    for minute in range(6, 12):
        values = fleet.readings(shift=1.0, feature=1)
        windows.append(fleet.window("d-1", minute, values=values, start_ms=start_ms))
    await asyncio.to_thread(send_as_a_gateway, cluster, windows)

    async with running(make_drift_app(cluster)):
        alert = await asyncio.to_thread(first_on, cluster, "drift.alerts")
    desk = DeskWatch(cluster, DeskPolicy(sustained_ms=0, devices=1), now_ms=0)
    try:
        champion = {"pump/1": release("1", model="pump")}
        request = await asyncio.to_thread(asked_for, desk, champion)
        behind = desk.traces_of(request)
    finally:
        desk.close()

    told, sent = receiver.wait_for("tell of an alert", "send a window")
    first = next(one for one in told if one.about["alert"] == alert.value.alert_id)
    assert {one.about["device"] for one in sent} == {"d-1"}
    assert first.links
    assert set(first.links) <= {one.span for one in sent}
    assert first.span in context_in(alert.headers)[0][1].decode()
    assert behind == [context_in(alert.headers)]


def test_a_command_goes_on_in_the_trace_of_its_release(cluster, receiver, tmp_path):
    key = make_key(tmp_path / "controller.pem")
    signer = load_signer(f"file:{tmp_path / 'controller.pem'}", environ={})
    keyring = Keyring(keys=(pin("controller", key, Kind.COMMAND),))
    service = RolloutService(
        cluster, [signer], ServiceOptions(turn_s=0.05, controller=ControllerOptions(judge_every_ms=200))
    )
    thread = threading.Thread(target=service.run)
    thread.start()
    received = []
    follower = Follower(cluster, ["press-7"], received.append)
    follower.start()
    try:
        with SimulatedFleet(cluster, [SimulatedGateway("press-7", "pump/1", {})], keyring):
            assert service.leads.wait(PATIENCE_S)
            first_on(cluster, "fleet.devices")
            publisher = Publisher(cluster, Contract.connect(cluster), name="trainer").start()
            with span("publish a release") as trace:
                publisher.publish([("models.releases", release("2", model="pump"))], trace=trace)
            publisher.close()
            eventually(lambda: received)
    finally:
        follower.stop()
        service.stop()
        thread.join(PATIENCE_S)

    (released,), (issued, *_) = receiver.wait_for("publish a release", "issue a command")
    assert (issued.trace, issued.parent, issued.about["device"]) == (released.trace, released.span, "press-7")
    assert issued.span in received[0].trace[0][1].decode()


def send_as_a_gateway(cluster, windows):
    contract, link = Contract.connect(cluster), KafkaLink(cluster, Registry(cluster))
    definition = canonical_json(codec_of(FeatureStats).schema).decode()
    failures = []
    try:
        eventually(lambda: link.ready)
        for number, window in enumerate(windows):
            key, value = contract.encode("telemetry.feature-stats", window)
            spooled = Spooled(number, Lane(0), "telemetry.feature-stats", key.decode(), 0, 0, value[5:])
            link.send(spooled, definition, Origin("urn:device:d-1", "boot"), failures.append)
        eventually(lambda: link.poll(0.1) or len(failures) == len(windows))
    finally:
        link.close(PATIENCE_S)
    assert set(failures) == {None}


def asked_for(desk, releases):
    requests = []
    eventually(lambda: requests.extend(desk.due(releases, now_ms=int(time.time() * 1000))) or requests)
    return requests[0]
