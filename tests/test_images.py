"""Our own images, built from this tree and run: alone, and all of `docker/compose.yaml` as one stack.

`BASE` names another base image, `PIP_CONF` and `PIP_CA` what pip needs to know, as for compose itself.
"""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest
from confluent_kafka import Consumer
from patience import PATIENCE_S

from driftline.stack.compose import IMAGES, engine_problem, missing_images, pull_problem

COMPOSE = Path(__file__).parent.parent / "docker" / "compose.yaml"
GATEWAYS = {"gateway-1", "gateway-2"}
# The container's, in memory.
TMP = "/tmp"  # noqa: S108
ALONE = ["docker", "run", "--rm", "--network", "none", "--read-only", "--tmpfs", TMP, "--cap-drop", "ALL"]

pytestmark = [pytest.mark.docker, pytest.mark.nightly, pytest.mark.timeout(1800)]


@dataclass(frozen=True)
class Project:
    """All services of `docker/compose.yaml`, under a name and on ports of their own."""

    name: str
    environment: dict[str, str]

    def __call__(self, *arguments: str) -> str:
        command = ["docker", "compose", "--file", str(COMPOSE), "--project-name", self.name, *arguments]
        done = subprocess.run(command, env={**os.environ, **self.environment}, capture_output=True, text=True)
        assert done.returncode == 0, f"{arguments}:\n{done.stderr[-4000:]}"
        return done.stdout

    def driftline(self, service: str, *arguments: str) -> str:
        """Run the command inside `service`."""
        return self("exec", "-T", service, "driftline", *arguments)

    def left(self) -> dict[str, list[str]]:
        """What the engine still has of this project."""
        kinds = {"container": ["ps", "--all"], "volume": ["volume", "ls"], "network": ["network", "ls"]}
        label = f"label=com.docker.compose.project={self.name}"
        return {kind: output("docker", *words, "--quiet", "--filter", label).split() for kind, words in kinds.items()}


@pytest.fixture(scope="module")
def images() -> None:
    """Both images; what has not changed since they were last built comes from the engine's cache."""
    wanted = [os.environ.get("BASE", "python:3.11-slim"), *IMAGES]
    if problem := engine_problem() or pull_problem(missing_images(wanted)):
        pytest.skip(f"no images can be built and run here: {problem}")
    Project("driftline-images", {})("build")


@pytest.fixture(scope="module")
def everything(images: None) -> Iterator[Project]:
    names = [f"DRIFTLINE_COMPOSE_{server}_PORT" for server in ("KAFKA", "REGISTRY", "VALKEY")] + ["CONSOLE_PORT"]
    project = Project(f"driftline-images-{os.getpid()}", dict(zip(names, map(str, free_ports(4)), strict=True)))
    try:
        project("up", "--detach", "--wait")
        yield project
    finally:
        project("down", "--volumes")
    assert project.left() == {"container": [], "volume": [], "network": []}


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("image", ["driftline", "driftline-gateway"])
def test_an_image_runs_without_root_and_without_what_only_its_build_may_see(image):
    shell = [*ALONE, "--entrypoint", "sh", image, "-c"]

    assert output(*shell, "id -u; id -g").split() == ["10001", "10001"]
    assert "Read-only file system" in refusal(*shell, "echo > /opt/x")
    assert output(*shell, "ls -d /etc/pip.conf /run/secrets /src /opt/driftline/bin/pip 2>/dev/null || true") == ""
    assert "Usage: driftline" in output(*ALONE, "--entrypoint", "driftline", image, "--help")


@pytest.mark.usefixtures("images")
def test_a_gateway_says_what_it_wants_and_what_its_image_leaves_out():
    assert "device_id" in refusal(*ALONE, "driftline-gateway")
    assert "driftline[streams]" in refusal(*ALONE, "--entrypoint", "driftline", "driftline-gateway", "worker", "drift")


def test_all_services_are_healthy_and_the_console_is_ready(everything):
    services = {each["Service"]: each for each in map(json.loads, everything("ps", "--format", "json").splitlines())}
    with urlopen(f"http://127.0.0.1:{everything.environment['CONSOLE_PORT']}/ready", timeout=PATIENCE_S) as answer:
        ready = json.load(answer)

    assert {name: each["Health"] for name, each in services.items()} == dict.fromkeys(services, "healthy")
    assert {"kafka", "registry", "valkey", "drift", "health", "views", "rollouts", "trainer", "console"} <= set(
        services
    )
    assert set(services) >= GATEWAYS
    assert ready["status"] == "ready"


def test_both_gateways_send_their_heartbeats(everything):
    bootstrap = f"127.0.0.1:{everything.environment['DRIFTLINE_COMPOSE_KAFKA_PORT']}"
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "heard", "auto.offset.reset": "earliest"})
    consumer.subscribe(["fleet.heartbeats"])

    heard, deadline = set(), time.monotonic() + PATIENCE_S
    while heard != GATEWAYS and time.monotonic() < deadline:
        if (message := consumer.poll(1)) and not message.error():
            heard.add(message.key().decode())
    consumer.close()

    assert heard == GATEWAYS


def test_no_private_key_lies_where_it_is_not_needed(everything):
    owners = {"controller": "rollouts", "trainer": "trainer", "operator": "console"}

    for service in (*owners.values(), "drift", "gateway-1"):
        found = everything("exec", "-T", service, "sh", "-c", "find /keys /trust -type f").split()
        keys = {Path(path).parent.name for path in found if path.endswith(".pem")}
        assert keys == {name for name, owner in owners.items() if owner == service}, service


def test_a_model_that_is_trained_in_the_stack_reaches_both_gateways(everything):
    data, bundle, key = f"{TMP}/train.parquet", f"{TMP}/press-1.bundle", "file:/keys/trainer/key.pem"
    described = ("--pipeline", "machine/1", "--model", "press", "--key", key)
    compared = ("--data", data, "--keyring", "/trust/keyring.json", "--store", "/store")

    everything.driftline("trainer", "simulate", "data", "--fleet", "machine", "--samples", "7200", "-o", data)
    everything.driftline("trainer", "train", "--data", data, *described, "-o", bundle)
    everything.driftline(
        "trainer", "models", "register", bundle, "--store", "/store", "--url", "file:///store", "--key", key
    )
    everything.driftline("trainer", "models", "promote", "press/1")
    everything.driftline("trainer", "models", "promote", "press/1", *compared)

    deadline = time.monotonic() + 120
    while (served := {name: health(everything, name)["model_id"] for name in GATEWAYS}) != dict.fromkeys(
        GATEWAYS, "press/1"
    ):
        assert time.monotonic() < deadline, served
        time.sleep(2)


def health(project: Project, gateway: str) -> dict:
    """What `gateway` says of itself; its answer is 503 while it has no model."""
    ask = (
        "import http.client; c = http.client.HTTPConnection('127.0.0.1', 8080);"
        "c.request('GET', '/health'); print(c.getresponse().read().decode())"
    )
    return json.loads(project("exec", "-T", gateway, "python3", "-c", ask))


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def refusal(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0, done.stdout
    return done.stderr


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports
