"""What tests of any room may ask for: real servers, and names of their own on them.

The servers run in Docker where an engine and the images can be had, and as plain processes elsewhere; the head of
the report says which, and why. `--stack` chooses by hand, or names the data folder of a stack that is up. Plain
processes are started once for a whole run, however many processes test side by side.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from hypothesis import HealthCheck, settings
from otlp_receiver import Receiver
from patience import PATIENCE_S

from driftline.stack import Stack, bring_down, cache_folder
from driftline.stack.compose import Compose, compose_file, engine_problem, missing_images, pull_problem
from driftline.stack.containers import Containers
from driftline.stack.ports import reserving
from driftline.stack.registry import require_compatibility
from driftline.stack.state import State, save
from driftline.stack.watchdog import guard
from schemas.cluster import Cluster
from schemas.topics import create_missing
from schemas.tracing import start_tracing, stop_tracing

# How fast a busy machine makes an example says nothing about what is tried with it.
settings.register_profile("driftline", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("driftline")


@dataclass(frozen=True)
class Way:
    docker: bool
    why: str

    def __str__(self) -> str:
        return f"stack: {'containers' if self.docker else 'embedded servers'}, because {self.why}"


WISHES = ("auto", "docker", "embedded")
_ROOM_BYTES = 4 * 1024**3
WAY = pytest.StashKey[Way]()
SHARED = pytest.StashKey[Path]()
"""The data folder of the stack that all processes of this run share."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--stack",
        default="auto",
        metavar="auto|docker|embedded|FOLDER",
        help="how Kafka and the others are run, or the data folder of a stack that is up",
    )


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        config.stash[SHARED] = Path(config.workerinput["stack"])
        return
    folder = Path(tempfile.mkdtemp(prefix="driftline-", dir=_quick_folder())).resolve()
    watch = guard(folder, purge=True)
    config.stash[SHARED] = folder

    def end() -> None:
        bring_down(folder, purge=True)
        watch.dismiss()
        shutil.rmtree(folder, ignore_errors=True)

    config.add_cleanup(end)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["stack"] = str(node.config.stash[SHARED])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files whose tests may take long, so that no process is left with one of them at the end."""
    patience: dict[Path, float] = {}
    for item in items:
        limit = item.get_closest_marker("timeout")
        patience[item.path] = max(patience.get(item.path, 0.0), limit.args[0] if limit else 0.0)
    items.sort(key=lambda item: -patience[item.path])


def pytest_report_header(config: pytest.Config) -> str:
    return str(_way(config))


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """Kafka, schema registry and Valkey, started when the first test asks and shared by all: none may stop them."""
    wish = request.config.getoption("--stack")
    if _way(request.config).docker:
        yield from _containers(request)
    elif wish in WISHES:
        yield Stack.join(request.config.stash[SHARED])
    elif Path(wish).is_dir():
        yield Stack.join(Path(wish))
    else:
        raise pytest.UsageError(f"--stack: found {wish!r}, wanted {', '.join(WISHES)}, or the folder of a stack")


@pytest.fixture(scope="session")
def bootstrap(stack: Stack) -> str:
    return stack.endpoints.bootstrap


@pytest.fixture(scope="session")
def registry_url(stack: Stack) -> str:
    """The root of the registry's Confluent API."""
    return stack.endpoints.registry_url


@pytest.fixture(scope="session")
def redis_url(stack: Stack) -> str:
    return stack.endpoints.redis_url


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> Iterator[str]:
    """A beginning for topics, groups and keys that no other test has; its topics go when the test is over."""
    prefix = f"t-{uuid.uuid4().hex[:8]}-"
    bootstrap = request.getfixturevalue("bootstrap") if "bootstrap" in request.fixturenames else ""
    yield prefix
    if bootstrap:
        _delete_topics(bootstrap, prefix)


@pytest.fixture
def cluster(bootstrap: str, registry_url: str, prefix: str) -> Cluster:
    """A cluster of the test's own, with all its topics."""
    cluster = Cluster(bootstrap=bootstrap, registry_url=registry_url, prefix=prefix)
    create_missing(cluster)
    return cluster


@pytest.fixture(scope="session")
def planned_containers() -> Iterator[tuple[Path, State]]:
    """Where the containers are noted down, and on which ports they will be."""
    with tempfile.TemporaryDirectory(prefix="driftline-") as folder:
        data = Path(folder).resolve()
        cache = cache_folder(os.environ)
        with reserving(cache / "ports") as reserve:
            state = Containers(data, cache=cache, usual_ports=False).plan(None, port=None, reserve=reserve)
        os.environ.update(Compose(data, state.ports).environment)
        yield data, state


@pytest.fixture(scope="session")
def docker_compose_file() -> str:
    return str(compose_file())


@pytest.fixture(scope="session")
def docker_compose_project_name(planned_containers: tuple[Path, State]) -> str:
    data, state = planned_containers
    return Compose(data, state.ports).project


def _quick_folder() -> Path | None:
    """Memory, where there is plenty: tests make and delete thousands of partitions, each of several files."""
    memory = Path("/dev/shm")  # noqa: S108 - the folder in it has a name of its own, and belongs to us
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM_BYTES
    return memory if roomy else None


def _delete_topics(bootstrap: str, prefix: str) -> None:
    """A broker that all tests share keeps a dozen files open for each partition of each topic."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topics = [topic for topic in admin.list_topics(timeout=PATIENCE_S).topics if topic.startswith(prefix)]
    if topics:
        for deleted in admin.delete_topics(topics).values():
            # Whoever still writes there is a test's own; it is enough that the broker has been told.
            deleted.exception(PATIENCE_S)


def _containers(request: pytest.FixtureRequest) -> Iterator[Stack]:
    data, state = request.getfixturevalue("planned_containers")
    watch = guard(data, purge=True)
    request.getfixturevalue("docker_services")
    require_compatibility(state.ports["registry"])
    save(data, state := replace(state, up=True))
    with Stack(data, state, temporary=True, watch=watch) as stack:
        yield stack


def _way(config: pytest.Config) -> Way:
    if WAY not in config.stash:
        config.stash[WAY] = _choose(config.getoption("--stack"))
    return config.stash[WAY]


def _choose(wish: str) -> Way:
    if wish == "embedded":
        return Way(docker=False, why="--stack asks for them")
    if wish not in WISHES:
        return Way(docker=False, why=f"--stack names {wish}")
    problem = engine_problem()
    if not problem and (missing := missing_images()):
        print(f"pulling {', '.join(missing)}", flush=True)
        problem = pull_problem(missing)
    if problem and wish == "docker":
        raise pytest.UsageError(f"--stack=docker: {problem}")
    if problem:
        return Way(docker=False, why=f"Docker can't be used: {problem}")
    return Way(docker=True, why="an engine and the images are there")


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Takes the spans of this process, and of those that it starts."""
    receiver = Receiver()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
    start_tracing("tests", os.environ)
    yield receiver
    stop_tracing()
    receiver.close()
