"""What the demo needs before anything can happen: keys, settings, and the workers' processes."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from driftline.demo.crew import Crew
from driftline.stack import Stack
from schemas.cluster import Cluster
from trust import Keyring, Kind, Signer, load_signer, make_key, pin, write_keyring

__all__ = ["Keys", "make_keys", "start_workers"]

# Drift of three machines is the world's; and a demo has no half hour to see whether it lasts.
_TRAINER = """
[trainer]
key = {key}
store = {store}
public_url = {url}
promote_to = "production"
promote_uncompared = true
cool_down_s = 0
min_rows = 300
desk_sustained_s = 3
desk_cool_down_s = 3600
licence = "Apache-2.0"
"""


class Keys:
    """Who signs what; the gateways' keyring pins all of them."""

    def __init__(self, folder: Path, signers: Mapping[str, Signer], keyring: Path) -> None:
        self.signers = signers
        self.keyring = keyring
        self._folder = folder

    def reference(self, name: str) -> str:
        """How a command line names a key."""
        return f"file:{self._folder / name}.pem"


def make_keys(folder: Path) -> Keys:
    pinned = []
    signers = {}
    for name, kind in (("trainer", Kind.MANIFEST), ("controller", Kind.COMMAND)):
        path = folder / f"{name}.pem"
        make_key(path)
        signers[name] = load_signer(f"file:{path}", environ={})
        pinned.append(pin(name, signers[name].public_key, kind))
    write_keyring(folder / "keyring.json", Keyring(keys=tuple(pinned)))
    return Keys(folder, signers, folder / "keyring.json")


def start_workers(folder: Path, cluster: Cluster, servers: Stack, keys: Keys) -> Crew:
    """Return the crew that works once it is entered; each process writes what it says to a file in `logs`."""
    settings = folder / "driftline.toml"
    store = folder / "store"
    settings.write_text(
        _TRAINER.format(
            key=json.dumps(keys.reference("trainer")), store=json.dumps(str(store)), url=json.dumps(store.as_uri())
        ),
        encoding="utf-8",
    )
    environ = {
        **os.environ,
        # If nobody is left to end them, they end with the servers.
        **servers.mark("demo"),
        "DRIFTLINE_CONFIG": str(settings),
        "DRIFTLINE_DATA": str(folder / "data"),
        "DRIFTLINE_REDIS": servers.endpoints.redis_url,
        "DRIFTLINE_BOOTSTRAP": cluster.bootstrap,
        "DRIFTLINE_REGISTRY": cluster.registry_url,
        "DRIFTLINE_PREFIX": cluster.prefix,
    }
    return Crew(
        folder / "logs",
        environ,
        {
            "drift": ("worker", "drift"),
            "health": ("worker", "health"),
            "views": ("worker", "views"),
            "rollouts": ("worker", "rollouts", "--key", keys.reference("controller")),
            "trainer": ("worker", "trainer"),
            "console": ("console", "--port", "0"),
        },
    )
