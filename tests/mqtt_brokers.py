"""Real MQTT brokers for tests: amqtt in this process, and Mosquitto where the machine has it."""

import asyncio
import shutil
import socket
import subprocess
import threading
from pathlib import Path

from amqtt.broker import Broker
from certificates import Authority
from patience import PATIENCE_S, eventually

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class Amqtt:
    """One broker; with a server's certificate it speaks TLS."""

    def __init__(self, port: int, *, certificate: Path | None = None, key: Path | None = None) -> None:
        self.port = port
        self._tls = {} if certificate is None else {"ssl": True, "certfile": str(certificate), "keyfile": str(key)}
        self.start()

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        config = {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{self.port}", **self._tls}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }

        async def begin() -> None:
            self._broker = Broker(config)
            await self._broker.start()

        asyncio.run_coroutine_threadsafe(begin(), self._loop).result(PATIENCE_S)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._broker.shutdown(), self._loop).result(PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)


OWN_TOPICS_ONLY = """\
pattern write driftline/%u/records
pattern read driftline/%u/receipts
pattern read driftline/%u/command

user driftline-bridge
topic readwrite driftline/#
"""


class Mosquitto:
    """A broker that lets each client at the topics of its own certificate only, as docs/bridge.md has it."""

    def __init__(self, folder: Path, *, servers: Authority, devices: Authority, permits: str = OWN_TOPICS_ONLY) -> None:
        folder.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        paper = servers.server("mosquitto")
        rights = folder / "rights"
        rights.write_text(permits)
        config = folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\ncafile {devices.file}\n"
            f"certfile {paper.certificate}\nkeyfile {paper.key}\n"
            "require_certificate true\nuse_identity_as_username true\nallow_anonymous false\n"
            f"acl_file {rights}\nuser root\n"
        )
        self._config = config
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [str(MOSQUITTO), "-c", self._config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(self._listens, or_say="Mosquitto does not come up")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)
