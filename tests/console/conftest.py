"""A console at work over real servers: views, keys for each role, and a fleet that tests fill."""

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from console_servers import Server
from page_visit import CHROMIUM, FLAGS, Visit
from patience import PATIENCE_S, eventually
from playwright.sync_api import Browser, Page, sync_playwright

from console import AuthStore, ConsoleConfig, Role, make_console
from driftline.lending import lent_by_rooms
from schemas.catalogue import CATALOGUE
from schemas.cluster import Cluster
from schemas.topics import create_missing
from schemas.wire import Contract
from streams.views.service import ViewsWorker
from trust import make_key


class Running:
    """A console that runs, with a client for each role."""

    def __init__(self, server: Server, store: AuthStore, cluster: Cluster) -> None:
        self.url, self.store, self.cluster = server.url, store, cluster
        self.keys = {role: store.make_key(role.value, role, by="tests", now_ms=0)[1] for role in Role}
        self._contract = Contract.connect(cluster)
        self._producer = Producer(cluster.producer_settings())

    def client(self, role: Role | None) -> httpx2.Client:
        headers = {} if role is None else {"Authorization": f"Bearer {self.keys[role]}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=PATIENCE_S)

    def publish(self, topic: str, records: Sequence[Any]) -> None:
        for record in records:
            key, value = self._contract.encode(topic, record)
            self._producer.produce(self.cluster.named(topic), key=key, value=value)
        assert self._producer.flush(PATIENCE_S) == 0

    def forget(self, topic: str, key: str) -> None:
        self._producer.produce(self.cluster.named(topic), key=key.encode(), value=None)
        assert self._producer.flush(PATIENCE_S) == 0


@pytest.fixture(scope="session")
def fleet_cluster(bootstrap: str, registry_url: str) -> Iterator[Cluster]:
    """A fleet with all its topics; they go with it, for a broker has room for so many only."""
    cluster = Cluster(bootstrap=bootstrap, registry_url=registry_url, prefix=f"t-{uuid.uuid4().hex[:8]}-")
    create_missing(cluster)
    yield cluster
    admin = AdminClient(cluster.client_settings())
    for deleted in admin.delete_topics([cluster.named(topic) for topic in CATALOGUE]).values():
        deleted.result(PATIENCE_S)


@pytest.fixture(scope="session")
def views_worker(fleet_cluster: Cluster, redis_url: str) -> Iterator[ViewsWorker]:
    worker = ViewsWorker(fleet_cluster, redis_url)
    thread = threading.Thread(target=worker.run)
    thread.start()
    yield worker
    worker.stop()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


@pytest.fixture(scope="session")
def console(
    fleet_cluster: Cluster,
    views_worker: ViewsWorker,
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    """One console for all tests that do no harm to it; each uses names of its own."""
    folder: Path = tmp_path_factory.mktemp("console")
    store = AuthStore(folder / "console.db")
    make_key(folder / "policy.pem")
    lent = lent_by_rooms(fleet_cluster, folder / "backtests", policy_key=f"file:{folder / 'policy.pem'}")
    app = make_console(fleet_cluster, redis_url, store, ConsoleConfig(answer_s=1.0), lent=lent, cache_dir=folder)
    with Server(app) as server:
        running = Running(server, store, fleet_cluster)
        with running.client(Role.VIEWER) as viewer:
            eventually(lambda: viewer.get("/ready").json().get("parts", {}).get("live") == "ok")
        yield running
    store.close()


@pytest.fixture
def viewer(console: Running) -> Iterator[httpx2.Client]:
    with console.client(Role.VIEWER) as client:
        yield client


@pytest.fixture
def operator(console: Running) -> Iterator[httpx2.Client]:
    with console.client(Role.OPERATOR) as client:
        yield client


@pytest.fixture
def admin(console: Running) -> Iterator[httpx2.Client]:
    with console.client(Role.ADMIN) as client:
        yield client


@pytest.fixture
def name() -> str:
    """A name that no other test has."""
    return f"press-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser, console: Running) -> Iterator[Callable[..., Page]]:
    visits: list[Visit] = []

    def visit(role: Role | None = Role.APPROVER, **kind: Any) -> Page:
        visits.append(Visit(chromium, console.url, **kind))
        return visits[-1].sign_in(console.keys[role]) if role else visits[-1].page

    yield visit
    for one in visits:
        one.close()
