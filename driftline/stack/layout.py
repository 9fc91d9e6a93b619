"""The embedded stack laid out: which servers there are, with which files, on which ports."""

import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from driftline.stack.errors import StackError
from driftline.stack.kafka import Broker, broker_properties, kafka_server
from driftline.stack.ports import LOOPBACK, pick
from driftline.stack.registry import registry_server, registry_url
from driftline.stack.server import Server
from driftline.stack.state import Endpoints
from driftline.stack.store import Software
from driftline.stack.valkey import valkey_server, valkey_settings

__all__ = ["SIZES", "assign_ports", "endpoints", "lay_out", "log_file"]

# One broker to work with, three to see replication at work.
SIZES = (1, 3)
_USUAL = {"registry": 8081, "valkey": 6379}
_FIRST_BROKER = 9092


def assign_ports(
    brokers: int,
    *,
    asked: int | None,
    before: Mapping[str, int],
    usual: bool,
    reserve: Callable[[int], bool],
    rng: random.Random,
) -> dict[str, int]:
    """Choose a free port for every listener: where it was `before`, or its `usual` one, or any.

    `asked` is the first broker's, and is that or an error.
    """
    if brokers not in SIZES:
        raise StackError(f"a stack has 1 or 3 brokers, not {brokers}")
    ports = {}
    for name, usual_port in _listeners(brokers):
        preferred = [port for port in (before.get(name), usual_port if usual else None) if port is not None]
        only = asked if name == "broker-1" else None
        ports[name] = pick(name, asked=only, preferred=preferred, reserve=reserve, rng=rng)
    return ports


def lay_out(data: Path, *, brokers: int, cluster_id: str, ports: Mapping[str, int], software: Software) -> list[Server]:
    """Write every server's files below `data` and return the servers, in the order of their starts."""
    cluster = _cluster(brokers, ports)
    servers = []
    for broker in cluster:
        folder = _folder(data, "kafka" if brokers == 1 else f"kafka-{broker.node}")
        (folder / "server.properties").write_text(broker_properties(broker, cluster, folder), encoding="utf-8")
        servers.append(kafka_server(broker, cluster, cluster_id=cluster_id, jars=software.kafka, folder=folder))
    servers.append(
        registry_server(
            port=ports["registry"],
            management_port=ports["registry-management"],
            bootstrap=_bootstrap(cluster),
            home=software.registry,
            folder=_folder(data, "registry"),
        )
    )
    valkey = _folder(data, "valkey")
    (valkey / "valkey.conf").write_text(valkey_settings(port=ports["valkey"], folder=valkey), encoding="utf-8")
    servers.append(valkey_server(port=ports["valkey"], folder=valkey))
    return servers


def endpoints(brokers: int, ports: Mapping[str, int]) -> Endpoints:
    return Endpoints(
        bootstrap=_bootstrap(_cluster(brokers, ports)),
        registry_url=registry_url(ports["registry"]),
        redis_url=f"redis://{LOOPBACK}:{ports['valkey']}/0",
    )


def log_file(data: Path, server: str) -> Path:
    return data / "logs" / f"{server}.log"


def _listeners(brokers: int) -> Iterator[tuple[str, int | None]]:
    for node in range(1, brokers + 1):
        yield f"broker-{node}", _FIRST_BROKER + node - 1
        yield f"controller-{node}", None
    yield "registry", _USUAL["registry"]
    yield "registry-management", None
    yield "valkey", _USUAL["valkey"]


def _cluster(brokers: int, ports: Mapping[str, int]) -> list[Broker]:
    return [Broker(n, ports[f"broker-{n}"], ports[f"controller-{n}"]) for n in range(1, brokers + 1)]


def _bootstrap(cluster: list[Broker]) -> str:
    return ",".join(f"{LOOPBACK}:{broker.port}" for broker in cluster)


def _folder(data: Path, name: str) -> Path:
    folder = data / name
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    return folder
