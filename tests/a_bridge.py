"""A bridge that runs on a thread of the test, with the certificates of both its sides."""

import contextlib
import threading
import time
from pathlib import Path

from certificates import Authority
from patience import PATIENCE_S

from streams.bridge import Bridge, BridgeSettings, HttpsDoorSettings


class Grounds:
    """The authorities of a plant: one signs its servers, the other its devices."""

    def __init__(self, folder: Path) -> None:
        self.servers = Authority(folder / "servers", "plant-servers")
        self.devices = Authority(folder / "devices", "plant-devices")
        self.strangers = Authority(folder / "strangers", "plant-devices")
        self._server = self.servers.server()

    def https(self, **changes: object) -> HttpsDoorSettings:
        return HttpsDoorSettings(
            certificate=self._server.certificate,
            key=self._server.key,
            device_ca=self.devices.file,
            **{"port": 0, **changes},
        )


@contextlib.contextmanager
def bridge_on(cluster, *, kafka_away=False, **settings):
    """Run a bridge from here to the end of the block."""
    bridge = Bridge(cluster, BridgeSettings(**settings), now_ms=lambda: time.time_ns() // 1_000_000)
    failures = []

    def run():
        try:
            bridge.run()
        except BaseException as failure:  # noqa: BLE001 - raised again below
            failures.append(failure)
            bridge.listens.set()
            bridge.ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert (bridge.listens if kafka_away else bridge.ready).wait(PATIENCE_S)
        if failures:
            raise failures[0]
        yield bridge
    finally:
        bridge.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
