"""Real MQTT brokers for tests: amqtt, and Mosquitto where the machine has it."""

import asyncio
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from amqtt.broker import Broker
from certificates import Authority
from patience import PATIENCE_S, eventually

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class Amqtt:
    """One broker, in a process of its own; with a server's certificate it speaks TLS."""

    def __init__(self, port: int, *, certificate: Path | None = None, key: Path | None = None) -> None:
        self.port = port
        tls = {} if certificate is None else {"ssl": True, "certfile": str(certificate), "keyfile": str(key)}
        self._config = {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}", **tls}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(self._config)], stderr=subprocess.DEVNULL
        )
        eventually(lambda: _listens(self.port), or_say="amqtt does not come up")

    def stop(self) -> None:
        """End it as a power cut would; asked to end, amqtt may wait for its clients for ever."""
        self._process.kill()
        self._process.wait(PATIENCE_S)


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
        eventually(lambda: _listens(self.port), or_say="Mosquitto does not come up")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def _serve(config: dict[str, Any]) -> None:
    await Broker(config).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.argv[1])))
