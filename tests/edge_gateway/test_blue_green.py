"""Blue-green from end to end: a controller, real gateways, real bundles, real Kafka."""

import json
import threading
import time
import uuid
from contextlib import contextmanager

import pytest
from patience import PATIENCE_S, eventually

from edge_gateway.fleet import members
from schemas import feeds
from schemas.fleet import SlotState
from schemas.operators import OperatorRequest
from schemas.release import ModelRelease, ReleaseStage
from schemas.wire import Contract
from streams.rollouts.controller import ControllerOptions
from streams.rollouts.service import RolloutService, ServiceOptions

LIMITS = {"bake_s": 0, "device_bake_s": 1, "concurrency": 100, "timeout_s": 120}


def now_ms():
    return time.time_ns() // 1_000_000


@contextmanager
def controller(cluster, foundry):
    options = ServiceOptions(turn_s=0.05, controller=ControllerOptions(default_plan=None))
    service = RolloutService(cluster, [foundry.controller], options)
    thread = threading.Thread(target=service.run, daemon=True)
    thread.start()
    try:
        assert service.leads.wait(PATIENCE_S)
        yield
    finally:
        service.stop()
        thread.join(PATIENCE_S)


@pytest.fixture
def say(cluster, write):
    contract = Contract.connect(cluster)
    for topic in ("models.releases", "operators.requests"):
        contract.register(topic)

    def release(made):
        model, _, version = made.model_id.partition("/")
        write(
            "models.releases",
            ModelRelease(
                model=model,
                version=version,
                stage=ReleaseStage.STAGING,
                pipeline="machine/1",
                grid_id="g",
                baseline_id="b",
                bundle_sha256=made.sha256,
                bundle_bytes=len(made.content),
                bundle_url=made.path.as_uri(),
                manifest="{}",
                created_ms=1,
                created_by="test",
            ),
        )

    def ask(rollout_id, action, **arguments):
        request = OperatorRequest(
            request_id=str(uuid.uuid4()),
            subject=f"rollout/{rollout_id}",
            action=action,
            who="eve",
            why="because",
            at_ms=1,
            arguments=arguments,
        )
        write("operators.requests", request)

    def start(rollout_id, model, **document):
        document = {"rollout": rollout_id, "model": model, "limits": LIMITS, **document}
        ask(rollout_id, "start", document=json.dumps(document))

    return release, start, ask


def test_everybody_installs_nobody_switches_and_then_everybody_does(played_fleet, foundry, cluster, say):
    release, start, ask = say
    devices = members(4, ["machine"])

    def phase(rollout_id):
        status = feeds.snapshot(cluster, "rollouts.status").get(rollout_id)
        return status.phase.value if status is not None else ""

    def until(condition, what):
        eventually(lambda: [fleet.run(0.5)] and condition(), or_say=what)

    with (
        played_fleet(devices, heartbeat_s=1.0) as fleet,
        controller(cluster, foundry),
    ):
        serving = lambda: {each.slots.installation.model_id for each in fleet.gateways.values()}  # noqa: E731
        for version in ("1", "2"):
            release(foundry.bundle(version, threshold=6.0 + int(version) / 10))
        until(lambda: len(feeds.snapshot(cluster, "fleet.devices")) == 4, "the fleet is not known")
        start("first", "demo/1", strategy="all-at-once")
        until(lambda: phase("first") == "succeeded", "the first model did not get there")

        start("blue-green", "demo/2", strategy={"kind": "blue-green", "approval": True})
        until(lambda: phase("blue-green") == "awaiting_approval", "not everybody installed")
        fleet.run(3)
        waiting, slots = serving(), [each.slots.installation for each in fleet.gateways.values()]
        ask("blue-green", "approve")
        until(lambda: phase("blue-green") == "succeeded", "not everybody switched")
        after = [each.slots.installation for each in fleet.gateways.values()]

    assert waiting == {"demo/1"}
    held = {(each.slots[each.target].model_id, each.slots[each.target].state) for each in slots}
    assert held == {("demo/2", SlotState.INSTALLED)}
    assert {each.model_id for each in after} == {"demo/2"}
    # The one before stays warm beside it.
    assert {each.slots[each.fallback].model_id for each in after} == {"demo/1"}
    commands = feeds.snapshot(cluster, "rollouts.commands")
    assert {command.revision for command in commands.values()} == {3}
