"""Running the stack as processes of this machine."""

import base64
import random
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from driftline.stack.errors import ServerDiedError
from driftline.stack.layout import assign_ports, endpoints, lay_out
from driftline.stack.lifecycle import start, wait_ready
from driftline.stack.lock import read_lock
from driftline.stack.ports import reserving
from driftline.stack.processes import Process, kill, marked, terminate
from driftline.stack.server import Server
from driftline.stack.state import State, save
from driftline.stack.store import Software, provide

__all__ = ["Embedded"]

_BIND_ATTEMPTS = 3


class Embedded:
    """The processes that belong to the data folder `data`."""

    kind = "embedded"

    def __init__(self, data: Path, *, cache: Path, usual_ports: bool = True) -> None:
        self._data = data
        self._cache = cache
        self._usual_ports = usual_ports

    def running(self) -> dict[str, int | None]:
        return {process.name: process.pid for process in marked(self._data)}

    def start(self, before: State | None, *, brokers: int, port: int | None) -> State:
        # Servers of a stack that is not up are left over from a start that was killed.
        self.stop()
        software = provide(read_lock(), self._cache)
        cluster_id = before.cluster_id if before else _new_cluster_id()
        for attempt in range(1, _BIND_ATTEMPTS + 1):
            try:
                with reserving(self._cache / "ports") as reserve:
                    ports = assign_ports(
                        brokers,
                        asked=port,
                        before=before.ports if before else {},
                        usual=self._usual_ports,
                        reserve=reserve,
                        rng=random.Random(),
                    )
                    return self._start_afresh(brokers, cluster_id, ports, software)
            except ServerDiedError as error:
                # Another program was quicker between our look and the server's; look again.
                if not error.port_taken or attempt == _BIND_ATTEMPTS:
                    raise
        raise AssertionError("the last attempt either returns or raises")

    def start_again(self, state: State, names: Sequence[str]) -> None:
        self._start_all([server for server in self._servers(state) if server.name in names])

    def kill(self, name: str) -> None:
        kill(process for process in marked(self._data) if process.name == name)

    def restart(self, state: State, name: str) -> None:
        terminate(process for process in marked(self._data) if process.name == name)
        self.start_again(state, [name])

    def stop(self) -> tuple[str, ...]:
        return _end(marked(self._data))

    def purge(self, state: State) -> None:
        for name in (*state.servers, "logs"):
            shutil.rmtree(self._data / name, ignore_errors=True)

    def _start_afresh(self, brokers: int, cluster_id: str, ports: dict[str, int], software: Software) -> State:
        servers = lay_out(self._data, brokers=brokers, cluster_id=cluster_id, ports=ports, software=software)
        state = State(
            kind=self.kind,
            brokers=brokers,
            cluster_id=cluster_id,
            up=False,
            servers=tuple(server.name for server in servers),
            ports=ports,
            endpoints=endpoints(brokers, ports),
        )
        save(self._data, state)
        self._start_all(servers)
        return state

    def _servers(self, state: State) -> list[Server]:
        software = provide(read_lock(), self._cache)
        return lay_out(
            self._data, brokers=state.brokers, cluster_id=state.cluster_id, ports=state.ports, software=software
        )

    def _start_all(self, servers: list[Server]) -> None:
        """Start `servers` and wait for all; if that fails, end those that were started."""
        names = {server.name for server in servers}
        try:
            for together in _in_turn(servers):
                wait_ready(start(together, self._data))
            for server in servers:
                server.complete()
        except BaseException:
            _end(process for process in marked(self._data) if process.name in names)
            raise


def _in_turn(servers: list[Server]) -> Iterator[list[Server]]:
    """A single broker comes up beside those who lean on it: they wait for it, and that is quicker.

    Of several brokers the registry replicates its topics to those that it finds, so all of them come first.
    """
    brokers = [server for server in servers if server.name.startswith("kafka")]
    if len(brokers) > 1:
        yield brokers
        servers = [server for server in servers if server not in brokers]
    if servers:
        yield servers


def _end(processes: Iterable[Process]) -> tuple[str, ...]:
    """End Kafka after those who lean on it, or they fill their logs with complaints."""
    brokers: list[Process] = []
    others: list[Process] = []
    for process in processes:
        (brokers if process.name.startswith("kafka") else others).append(process)
    terminate(others)
    terminate(brokers)
    return tuple(process.name for process in (*others, *brokers))


def _new_cluster_id() -> str:
    """A Kafka UUID: 128 bits in URL-safe base64. A leading dash would read as an option."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text
