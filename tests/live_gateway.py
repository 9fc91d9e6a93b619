"""A gateway that runs on a thread of the test."""

import threading
from concurrent.futures import ThreadPoolExecutor
from random import Random

from edge_gateway import Gateway, GatewayConfig, Running, WatchConfig, WindowConfig, online
from edge_gateway.clock import wall_ms
from edge_gateway.config import UpdateConfig
from sensing.simulator import Simulated
from sensing.sources import SimulatedSource


class Live:
    """A gateway that runs on a thread of the test, against real servers."""

    def __init__(self, folder, foundry, cluster, *, speed=60.0, **config):
        self.config = GatewayConfig(
            device_id="press-7",
            data=folder,
            keyring=folder / "keys.json",
            windows=WindowConfig(length_s=10.0, lateness_s=0.0, checkpoint_s=0.5),
            watch=WatchConfig(bake_s=0.5, bake_windows=2, bake_decisions=10),
            updates=UpdateConfig(reserve_bytes=0),
            heartbeat_s=1.0,
            **config,
        )
        self._executor = ThreadPoolExecutor(1)
        gateway = Gateway(self.config, foundry.keyring, executor=self._executor, rng=Random(1), now_ms=wall_ms())
        source = SimulatedSource([Simulated("machine", device=9)], speed=speed)
        self.running = Running(gateway, source, online(gateway, cluster, rng=Random(2)))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()

    def _loop(self):
        while not self._stop.is_set():
            self.running.turn()

    def close(self):
        self._stop.set()
        self._thread.join()
        summary = self.running.close()
        self._executor.shutdown()
        return summary
