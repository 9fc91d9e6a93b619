"""The demo's devices: real gateways on simulated machines, a thread each, whose world can be made to change."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from edge_gateway import Gateway, GatewayConfig, Running, Summary, UpdateConfig, WatchConfig, WindowConfig, online
from edge_gateway.clock import wall_ms
from schemas.cluster import Cluster
from sensing.simulator import Simulated
from sensing.sources import SimulatedSource
from sensing.sources.base import Readings
from trust import read_keyring

__all__ = ["FLEET", "Machine", "Machines"]

FLEET = "machine"
# Five minutes of the machines' time in a second of ours.
SPEED = 300.0


@dataclass(frozen=True, slots=True)
class Machine:
    """One simulated machine: its device_id, and which of the simulator's it is."""

    device_id: str
    number: int
    labels: dict[str, str]


class _ChangingWorld:
    """A simulated source whose first channel can be made to read higher from some moment on."""

    refused = 0

    def __init__(self, sensor: Simulated) -> None:
        self._source = SimulatedSource([sensor], speed=SPEED)
        self.channels = self._source.channels
        self.warmer_by = 0.0

    @property
    def done(self) -> bool:
        return False

    def poll(self, timeout_s: float) -> list[Readings]:
        arrived = self._source.poll(timeout_s)
        for readings in arrived:
            readings.values[:, 0] += self.warmer_by
        return arrived

    def close(self) -> None:
        self._source.close()


class Machines:
    """All machines of the demo, each with its own gateway, spool and slots."""

    def __init__(
        self,
        machines: Iterable[Machine],
        *,
        cluster: Cluster,
        folder: Path,
        keyring: Path,
        behind_them: int,
        begin_ms: int,
    ) -> None:
        self._stopped = threading.Event()
        self._failures: list[BaseException] = []
        self.summaries: list[Summary] = []
        self._worlds: dict[str, _ChangingWorld] = {}
        self._threads = []
        for machine in machines:
            sensor = Simulated(FLEET, device=machine.number, stream=machine.number % 10, start_ms=begin_ms)
            # What the models were trained on has passed.
            sensor.take(behind_them)
            self._worlds[machine.device_id] = _ChangingWorld(sensor)
            config = GatewayConfig(
                device_id=machine.device_id,
                data=folder / machine.device_id,
                keyring=keyring,
                labels=machine.labels,
                heartbeat_s=1.0,
                windows=WindowConfig(length_s=60.0, lateness_s=0.0),
                # The world has just changed: what the model before makes of it is no yardstick for the new one.
                watch=WatchConfig(bake_windows=2, degradation=1.0),
                updates=UpdateConfig(reserve_bytes=0),
            )
            work = self._work_of(config, self._worlds[machine.device_id], cluster)
            self._threads.append(threading.Thread(target=work, name=machine.device_id))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Let every gateway send what it still has, and end."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def check(self) -> None:
        """Raise what ended a gateway."""
        if self._failures:
            raise self._failures[0]

    def warm_up(self, device_id: str, degrees: float) -> None:
        """Let a machine run warmer from now on than it did in training."""
        self._worlds[device_id].warmer_by = degrees

    def _work_of(self, config: GatewayConfig, world: _ChangingWorld, cluster: Cluster) -> Callable[[], None]:
        def work() -> None:
            try:
                with ThreadPoolExecutor(1) as executor:
                    gateway = Gateway(
                        config, read_keyring(config.keyring), executor=executor, rng=Random(), now_ms=wall_ms()
                    )
                    running = Running(gateway, world, online(gateway, cluster, rng=Random()))
                    while not self._stopped.is_set():
                        running.turn()
                    self.summaries.append(running.close())
            except BaseException as failure:  # noqa: BLE001 - raised again by `check`.
                self._failures.append(failure)

        return work
