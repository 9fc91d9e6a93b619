"""The stack from official images."""

import re
import subprocess

import pytest
import redis
from confluent_kafka.admin import AdminClient
from confluent_kafka.schema_registry import SchemaRegistryClient
from patience import PATIENCE_S

from driftline.stack.compose import (
    IMAGES,
    SERVICES,
    Compose,
    compose_file,
    engine_problem,
    missing_images,
    pull_problem,
)
from driftline.stack.lock import read_lock
from driftline.stack.valkey import valkey_binary


@pytest.fixture(scope="module")
def engine():
    problem = engine_problem() or pull_problem(missing_images())
    if problem:
        pytest.skip(f"no containers here: {problem}")


def test_the_images_are_of_the_versions_that_run_embedded():
    text = compose_file().read_text()
    (kafka,) = (c.version for c in read_lock().kafka if c.artifact.startswith("kafka_"))
    valkey = subprocess.run([valkey_binary(), "--version"], capture_output=True, text=True, check=True).stdout

    assert tuple(re.findall(r"image: (\S+)", text)) == IMAGES
    assert [image.rpartition(":")[2] for image in IMAGES] == [
        kafka,
        read_lock().registry.version,
        re.search(r"v=(\S+)", valkey)[1],
    ]


def test_containers_are_published_on_loopback_only():
    published = re.findall(r'- "(.*:\d+)"', compose_file().read_text())

    assert len(published) == len(SERVICES)
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_docker_that_is_not_there_is_refused_with_the_way_out(driftline, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")

    refused = driftline("up", "--docker")

    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-2].startswith("error: Docker can't be used: ")
    assert refused.stderr.splitlines()[-1] == "hint: leave --docker out; the stack runs without"


@pytest.mark.docker
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("engine")
def test_containers_come_up_serve_crash_and_end(driftline):
    up = driftline("up", "--docker")
    assert up.returncode == 0, up.stderr
    endpoints = driftline.endpoints()

    assert AdminClient({"bootstrap.servers": endpoints["bootstrap"]}).list_topics(timeout=PATIENCE_S).brokers
    assert SchemaRegistryClient({"url": endpoints["registry_url"]}).get_compatibility() == "FULL_TRANSITIVE"
    assert redis.Redis.from_url(endpoints["redis_url"]).ping()
    assert "the stack is up already" in driftline("up", "--docker").stdout
    project = Compose(driftline.data.resolve(), {}).project
    assert all(name.startswith(project) for server in SERVICES for name in _volumes(_container(driftline, server)))
    assert "Kafka Server started" in driftline("logs", "kafka", "--lines", "1000").stdout
    assert "is of the docker kind, asked for was embedded" in driftline("up").stderr

    subprocess.run(["docker", "kill", _container(driftline, "valkey")], check=True)
    assert driftline.status()["valkey"]["condition"] == "crashed"
    assert "started again: valkey" in driftline("up", "--docker").stdout

    down = driftline("down", "--purge")
    assert down.returncode == 0, down.stderr
    assert _container(driftline, "kafka") == ""
    assert not driftline.data.exists()


def _container(shell, service: str) -> str:
    label = f"label=com.docker.compose.project={Compose(shell.data.resolve(), {}).project}"
    command = ["docker", "ps", "-q", "--filter", label, "--filter", f"label=com.docker.compose.service={service}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _volumes(container: str) -> list[str]:
    """A volume without a name of ours would outlive the stack."""
    each = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{end}}{{end}}'
    command = ["docker", "inspect", "--format", each, container]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
